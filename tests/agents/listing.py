"""The agents that the contract and the probes run over. A new agent adds one entry here."""

from collections.abc import Callable
from typing import Any, NamedTuple

import networks
import replay
from agents import optimisers
from agents.a2c import a2c
from agents.dqn import dqn
from agents.ppo import ppo
from envs.base import Box, Spec
from experiments.drivers import Parts
from experiments.loops import Schedule


class Entry(NamedTuple):
    """How to build an agent for the tests, and what it takes to learn catch."""

    make: Callable[..., Parts]
    """`(spec, **overrides)`; the overrides are arguments of the agent."""
    chunks: int = 24
    """Chunks of 200 steps in each of 8 lanes in which it learns catch on every seed."""
    whole: dict[str, Any] = {}  # noqa: RUF012
    """Overrides under which an update takes one gradient step on the whole window."""


def torso(spec: Spec) -> networks.Torso:
    return networks.Torso(spec.observation, (32,), cnn=None)


def actor_critic(spec: Spec, core: Any = None) -> networks.Network:
    if isinstance(spec.action, Box):
        policy: Any = networks.GaussianPolicy(spec.action.shape[0])
    else:
        policy = networks.CategoricalPolicy(spec.action.num)
    return networks.actor_critic(torso(spec), policy, networks.Value(), core)


def q_learner(spec: Spec, core: Any = None, length: int = 1, **overrides: Any) -> Parts:
    network = networks.q_network(torso(spec), networks.QValues(spec.action.num), core)
    settings = {"discount": 0.9, "epsilon": 0.2, "target_rate": 0.05, **overrides}
    agent = dqn(network, optimisers.adam(2e-3), **settings)
    return Parts(agent, replay.uniform(4000, 32, length), Schedule(4, 2, 8))


def dqn_parts(spec: Spec, **overrides: Any) -> Parts:
    return q_learner(spec, **overrides)


def drqn_parts(spec: Spec, **overrides: Any) -> Parts:
    return q_learner(spec, networks.GRU(16), 6, **overrides)


def a2c_parts(spec: Spec, **overrides: Any) -> Parts:
    agent = a2c(actor_critic(spec), optimisers.adam(3e-3, 1.0), **{"discount": 0.9, "lambda_": 0.9, **overrides})
    return Parts(agent, replay.on_policy(8), Schedule(8))


def ppo_parts(spec: Spec, core: Any = None, **overrides: Any) -> Parts:
    settings = {"discount": 0.95, "entropy_cost": 0.01, "minibatches": 4, **overrides}
    agent = ppo(actor_critic(spec, core), optimisers.adam(2e-3, 1.0), **settings)
    return Parts(agent, replay.on_policy(16), Schedule(16))


def ppo_lstm_parts(spec: Spec, **overrides: Any) -> Parts:
    return ppo_parts(spec, networks.LSTM(16), **overrides)


WHOLE = {"epochs": 1, "minibatches": 1}

AGENTS = {
    "dqn": Entry(dqn_parts),
    "drqn": Entry(drqn_parts),
    "a2c": Entry(a2c_parts),
    "ppo": Entry(ppo_parts, whole=WHOLE),
    "ppo_lstm": Entry(ppo_lstm_parts, whole=WHOLE),
}
