"""The best of a dataset alone, which all commands can learn from whose episodes are better or worse by their return."""

from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from experiments import parts
from experiments.run import data, flags, prepare
from tests.experiments.words import flags_of, offline_systems, small

REACH_GOALS = {"hiql", "qrl", "crl"}
"""Their episodes pursue a goal, and are learned from as what leads to any other; a return does not say how well."""
RANKED = sorted({*offline_systems()} - REACH_GOALS)


def test_the_flags_are_those_of_every_command_but_where_goals_are_reached() -> None:
    assert [name for name in offline_systems() if isinstance(flags_of(name)().agent, parts.offline.Best)] == RANKED


@pytest.mark.parametrize("name", RANKED)
def test_rows_are_drawn_from_the_best_episodes_alone(name: str) -> None:
    experiment = import_module(f"experiments.{name}").experiment
    seen: dict[str, set[int]] = {}
    for by in ("trajectories", "steps"):
        words = [*small(name, 1), "--agent.top", "0.2", "--agent.top-by", by]
        config: Any = data.completed(flags.parse(experiment.flags, words, f"x.{name}"))
        env = envs.make(config.env)
        held = data.held(config, env.spec)
        memory = experiment.make(config.agent, env.spec, prepare.size_of(config, held.facts)).replay
        state = memory.init(held.arrays.rows)._replace(data=jax.tree.map(jnp.asarray, held.arrays))
        keys = jax.random.split(jax.random.key(0), 16)
        index = jax.jit(jax.vmap(lambda key: memory.sample(state, key).index))(keys)  # noqa: B023
        seen[by] = {int(x) for x in np.unique(held.arrays.episode[np.asarray(index)])}
    rewards = np.add.reduceat(held.arrays.rows.timestep.reward, held.arrays.begins[:-1])
    best, second = np.argsort(-rewards)[:2]
    # Of six episodes of one length a fifth is more than one and less than two.
    assert seen == {"trajectories": {best, second}, "steps": {best}}
