"""Other libraries' tasks under our types: gymnax in graph; envpool, atari, gymnasium, mujoco, meta on the host."""
