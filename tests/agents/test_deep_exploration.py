"""DeepSea of size 8, whose claim is docs/results/claims/noisy_deep_sea.toml: what its ablation leaves out."""

import jax
import numpy as np

from agents.base import Sample, Step
from envs import keys
from envs.tasks.deep_sea import deep_sea
from experiments.studies import deep_sea as study

ENV = deep_sea(study.SIZE)


def moved(frozen: bool) -> dict[str, bool]:
    """Whether the parameters of each name move in one update, by name."""
    agent = study.agent_of(ENV, sigma=0.5, noisy=True, frozen=frozen, epsilon=0.0, learning_rate=1e-3)
    _, opening = jax.vmap(ENV.reset)(keys.split(keys.key(0), 4))
    row = Step(opening, np.zeros(4, np.int32), {})
    steps = jax.tree.map(lambda x: np.stack([x, x]), row)
    steps = steps._replace(timestep=steps.timestep._replace(step_type=np.ones((2, 4), np.int8), reward=np.ones((2, 4))))
    before = agent.init(keys.key(1), opening)
    after, _ = jax.jit(agent.update)(before, keys.key(2), Sample(steps))
    found: dict[str, bool] = {}
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(before.params), jax.tree.leaves(after.params), strict=True
    ):
        name = str(path[-1].key)
        found[name] = found.get(name, False) or bool((x != y).any())
    return found


def test_a_frozen_sigma_stays_and_everything_else_learns() -> None:
    assert moved(False) == {"kernel": True, "bias": True, "sigma_kernel": True, "sigma_bias": True}
    assert moved(True) == {"kernel": True, "bias": True, "sigma_kernel": False, "sigma_bias": False}
