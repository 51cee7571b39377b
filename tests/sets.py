"""Small datasets for tests: random numbers in the shapes of a task, which take no playing."""

import functools
import tempfile
from pathlib import Path

import jax
import numpy as np

import envs
import replay
from envs.base import Box, Discrete, Spec, blank
from replay import dataset
from replay.base import Step


def drawn(spec: Spec, episodes: int = 6, transitions: int = 9, seed: int = 0, **known: object) -> replay.Dataset:
    """Episodes of random observations, actions and rewards; every other one terminates."""
    rng, made = np.random.default_rng(seed), []
    for number in range(episodes):
        timestep = jax.tree.map(np.array, blank(spec, transitions + 1))
        timestep.step_type[:] = [0, *[1] * (transitions - 1), 2]
        timestep.discount[:] = 1.0
        timestep.discount[-1] = number % 2
        timestep.reward[1:] = rng.normal(size=transitions)
        observation = jax.tree.map(lambda x: rng.uniform(0, 1, x.shape).astype(x.dtype), timestep.observation)
        shape = (transitions + 1, *spec.action.shape)
        if isinstance(spec.action, Box):
            action = rng.uniform(spec.action.low, spec.action.high, shape).astype(np.float32)
        else:
            most = spec.action.num if isinstance(spec.action, Discrete) else np.array(spec.action.nums)
            action = rng.integers(0, most, shape).astype(np.int32)
        made.append(Step(timestep._replace(observation=observation), action))
    return dataset.joined(made, **known)


@functools.cache
def path_of(env: str, folder: str = "") -> str:
    """The file of such a dataset of a task in graph; the same for all tests of a process."""
    path = Path(folder or tempfile.mkdtemp(prefix="bellmax-sets-")) / f"{env.rpartition('/')[2]}.npz"
    replay.save(drawn(envs.make(env).spec, env=env), path)
    return str(path)
