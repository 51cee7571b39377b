"""A corridor in JAX and one of gymnasium."""

import gymnasium as gym
import numpy as np


def corridor(length: int = 5):
    import jax.numpy as jnp

    from envs import Box, Discrete, Spec, episodic

    def begin(key):
        return jnp.int32(0)

    def transition(key, place, action):
        new = jnp.clip(place + 2 * action - 1, 0, length)
        return new, jnp.where(new == length, 1.0, -0.01), new == length

    def observe(place):
        return (place / length)[None].astype(jnp.float32)

    return episodic(begin, transition, observe, Spec("corridor", Box((1,), 0.0, 1.0), Discrete(2), 20))


class Corridor(gym.Env):
    metadata = {  # noqa: RUF012 - as gymnasium documents it
        "render_modes": ["rgb_array"],
        "render_fps": 5,
    }

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return np.float32([0.0]), {}

    def step(self, action):
        self.place = max(0, self.place + (1 if action else -1))
        over = self.place == 5
        return np.float32([self.place / 5]), 1.0 if over else -0.01, over, False, {}

    def render(self):
        frame = np.zeros((16, 96, 3), np.uint8)
        frame[:, self.place * 16 : self.place * 16 + 16] = 255
        return frame


gym.register("Corridor-v0", entry_point="my_tasks:Corridor", max_episode_steps=20)
