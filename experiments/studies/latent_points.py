"""What PEARL earns once it has seen a goal: points with goals on a half circle, in the third episode of a trial.

Returns are told as a share of what who sees the goal earns, where standing still is 0: the agent's return less that of
standing still, over the same of going there straight.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import networks
import replay
from agents.common import optimisers
from agents.pearl import Networks, pearl
from envs import keys
from envs.base import Array, Box, Key
from envs.tasks.point_goals import SPEED, point_goals
from experiments.studies import learned
from networks.initializers import orthogonal

if TYPE_CHECKING:
    import flax.linen as nn

    from agents.base import Agent, Tree

HORIZON, EPISODES, LATENT, LANES, UNROLL = 20, 3, 5, 16, 4
ROWS = EPISODES * (HORIZON + 1)
KINDS: dict[str, dict[str, bool]] = {"pearl": {}, "blind": {"blind": True}, "cut": {"cut": True}}


def networks_of(hidden: tuple[int, ...] = (64, 64)) -> Networks:
    """Encoder, policy and two critics of points in the plane."""

    def seeing(width: int, head: "nn.Module") -> networks.Network:
        return networks.q_network(networks.Torso(Box((width,)), hidden, cnn=None), head)

    return Networks(
        seeing(7, networks.GaussianPolicy(LATENT, state_dependent=True, kernel_init=orthogonal(1.0))),
        seeing(2 + LATENT, networks.TanhGaussianPolicy(2)),
        networks.ensemble(seeing(4 + LATENT, networks.Value()), 2),
    )


def straight(goals: Array) -> Array:
    """The returns of an episode that goes straight to goals `[N, 2]`."""

    def step(place: Array, _: None) -> tuple[Array, Array]:
        place = place + SPEED * jnp.clip((goals - place) / SPEED, -1.0, 1.0)
        return place, -jnp.linalg.norm(place - goals, axis=-1)

    return jnp.sum(jax.lax.scan(step, jnp.zeros_like(goals), None, HORIZON)[1], axis=0)


def shares(agent: "Agent", actor: "Tree", key: Key, trials: int = 200) -> Array:
    """The share of each episode of a trial, `[EPISODES]`, on average over trials of new goals."""
    env = point_goals("half-circle", horizon=HORIZON, episodes=EPISODES, told=True)
    k_env, k_act = jax.random.split(key)
    world, timestep = jax.vmap(env.reset)(jax.random.split(k_env, trials))
    goals = world.inner.task

    def row(live: tuple, key: Key) -> tuple[tuple, Array]:
        world, timestep, carry = live
        action, carry, _ = agent.act(actor, key, carry, timestep, False)
        world, timestep = jax.vmap(env.step)(world, action)
        return (world, timestep, carry), timestep.reward

    reward = jax.lax.scan(row, (world, timestep, agent.begin(trials)), jax.random.split(k_act, ROWS - 1))[1]
    reward = jnp.concatenate([jnp.zeros((1, trials)), reward])  # the row that opens each episode pays 0
    returns = jnp.sum(reward.reshape(EPISODES, HORIZON + 1, trials), axis=1)
    still = -float(HORIZON)  # goals are at distance 1
    return jnp.mean(returns - still, axis=1) / jnp.mean(straight(goals) - still)


@cache
def outcome(seed: int, kind: str = "pearl", iterations: int = 3000) -> np.ndarray:
    """The share of each episode of a trial, `[EPISODES]`.

    Args:
      seed: of the run.
      kind: "pearl"; "blind", whose z is 0; or "cut", whose encoder gets no gradient of the critics.
      iterations: of four steps in 16 lanes, each with an update.
    """
    env = point_goals("half-circle", horizon=HORIZON, episodes=EPISODES, told=True)
    chains = optimisers.adam(5e-4), optimisers.adam(5e-4)
    agent = pearl(networks_of(), *chains, LATENT, 2, **KINDS[kind])
    storage = replay.uniform(200_000, 32, ROWS - 1)

    def whole(key: Key) -> Array:
        k_learn, k_test = jax.random.split(key)
        state, _ = learned(env, agent, storage, k_learn, LANES, UNROLL, iterations, lambda rows: ())
        return shares(agent, agent.actor(state), k_test)

    return np.asarray(jax.jit(whole)(keys.key(seed)))


def third(seeds: Sequence[int], kind: str = "pearl", iterations: int = 3000) -> np.ndarray:
    """The share of the third episode, after two that showed the task, `[seeds]`."""
    return np.array([outcome(seed, kind, iterations)[-1] for seed in seeds])
