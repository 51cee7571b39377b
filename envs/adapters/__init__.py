"""Other libraries' tasks under this one's types: gymnax in graph; envpool, atari, gymnasium and mujoco on the host."""
