"""Schedules over more updates than a 32-bit integer can count."""

import dataclasses
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import keys
from experiments import parts
from experiments.drivers import in_graph
from experiments.run.plans import Size

MANY = 10**12


@pytest.mark.parametrize("over", [10, 2**31 + 2, 4e9])
def test_a_line_falls_to_its_end(over):
    rate = jax.jit(parts.linear(2.0, 1.0, over))
    done = np.array([0, min(over / 2, 2**31 - 1), min(over, 2**31 - 1)])
    np.testing.assert_allclose([rate(jnp.int32(t)) for t in done], 2 - done / over, rtol=1e-5)


@pytest.mark.parametrize(
    ("experiment", "agent", "swept"),
    [
        ("ppo", {"unroll": 8, "epochs": 10, "minibatches": 4, "anneal_clip": True}, "learning_rate"),
        ("pqn", {"unroll": 4, "epochs": 2, "minibatches": 2}, "epsilon_fraction"),
        ("dqn", {"anneal": True}, "epsilon_fraction"),
    ],
)
def test_runs_of_very_many_steps_are_traced(experiment, agent, swept):
    """Without compiling; a swept number is traced."""
    module, env = import_module(f"experiments.{experiment}"), envs.make("bellmax/catch")
    config = dataclasses.replace(module.Config(), **agent)

    def step(value):
        made = module.make(dataclasses.replace(config, **{swept: value}), env.spec, Size(4, 1, MANY))
        loop = in_graph.loop(env, *made, num_envs=4, iterations=1)
        return loop.step(loop.init(keys.key(0)))

    assert "loss" in jax.eval_shape(step, jnp.float32(0.1))[1]
