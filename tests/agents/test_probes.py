"""The probe tasks: what each agent must value at, to a few hundredths; the first that fails says where to look."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents.a2c import a2c
from agents.base import FIRST, MID, TimeStep
from agents.common import optimisers, recurrence
from agents.dqn import dqn
from agents.ppo import ppo
from envs import keys
from envs.tasks import probes
from experiments.drivers import contract, in_graph
from networks.base import Network
from tests.agents.listing import actor_critic, torso

DISCOUNT = 0.9
PROBES = {
    "constant": probes.constant,
    "observation": probes.observation,
    "two_step": probes.two_step,
    "action": probes.action,
    "both": probes.both,
}


def q_learner(spec: Any, double: bool) -> tuple[Network, Any, Any, contract.Schedule]:
    network = networks.q_network(torso(spec), networks.QValues(spec.action.num))
    agent = dqn(network, optimisers.adam(3e-3), discount=DISCOUNT, epsilon=0.5, target_rate=0.1, double=double)
    return network, agent, replay.uniform(2000, 32), contract.Schedule(1, 1, 8)


def actor_critics(spec: Any, build: Any) -> tuple[Network, Any, Any, contract.Schedule]:
    network = actor_critic(spec)
    agent = build(network, optimisers.adam(5e-3, 1.0), discount=DISCOUNT, entropy_cost=0.001)
    return network, agent, replay.on_policy(8), contract.Schedule(8)


AGENTS = {
    "dqn": partial(q_learner, double=False),
    "double_dqn": partial(q_learner, double=True),
    "a2c": partial(actor_critics, build=partial(a2c, lambda_=0.9)),
    "ppo": partial(actor_critics, build=partial(ppo, minibatches=2)),
}


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("name", [pytest.param("dqn", marks=pytest.mark.slow), *list(AGENTS)[1:]])
def test_values(name: str, probe: str) -> None:
    env, answer = PROBES[probe](), probes.answers(DISCOUNT)[probe]
    network, agent, storage, schedule = AGENTS[name](env.spec)
    loop = in_graph.loop(env, agent, storage, schedule, num_envs=8, iterations={"a2c": 700, "ppo": 250}.get(name, 1200))
    run, _ = jax.jit(lambda key: loop.step(loop.init(key)))(keys.key(0))
    count = len(answer.observations)
    step_type = jnp.where(jnp.arange(count) == 0, FIRST, MID).astype(jnp.int8)
    rows = TimeStep(step_type, jnp.zeros(count), jnp.ones(count), jnp.asarray(answer.observations))
    output, _ = recurrence.step(network, run.agent.params, keys.key(1), (), rows)
    if "dqn" in name:
        np.testing.assert_allclose(output, answer.q, atol=0.1)
        return
    policy, value = output
    # A policy that still explores earns a little less than the best one.
    np.testing.assert_allclose(value, answer.q.max(axis=1), atol=0.15)
    if np.ptp(answer.q, axis=1).max() > 0:
        np.testing.assert_array_equal(policy.mode(), answer.q.argmax(axis=1))
