"""MLSH on moving bandits: what a master gains while it learns a task, and what each shared policy alone is good for."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import networks
from agents.base import Agent, Array, Key, Sample, Step, TimeStep, Tree
from agents.common import optimisers
from agents.common.masters import gated, unsure
from agents.mlsh import mlsh
from agents.ppo import ppo
from envs import keys
from envs.base import Discrete
from envs.tasks.moving_bandits import family, moving_bandits

SUBS, HORIZON, BLOCK, LANES = 2, 50, 40, 10


class Found(NamedTuple):
    """Of each seed."""

    gain: np.ndarray  # [seeds], the mean return in the last window of the warm-up less that in the first
    alone: np.ndarray  # [seeds, SUBS, 2], the return of each shared policy alone where one or the other target pays


def agents(warmup: int, joint: int, rate: float) -> tuple[Agent, Agent]:
    """The agent, and the one of its low level."""
    spec = family(HORIZON).make(jnp.int32(0)).spec

    def network(actions: int) -> networks.Network:
        torso = lambda: networks.Torso(spec.observation, (64, 64), cnn=None, activation=jnp.tanh)  # noqa: E731
        return networks.actor_critic(torso(), networks.CategoricalPolicy(actions), networks.Value(), None, torso())

    assert isinstance(spec.action, Discrete)
    settings: Any = {"discount": 0.99, "lambda_": 0.98, "epochs": 10}
    high = ppo(unsure(network(SUBS), 0.1), optimisers.adam(1e-2), minibatches=4, **settings)
    low = ppo(gated(network(spec.action.num), SUBS), optimisers.adam(rate), minibatches=15, **settings)
    return mlsh(high, low, horizon=HORIZON, episodes=BLOCK, warmup=warmup, joint=joint), low


def returns_alone(low: Agent, actor: Tree, key: Key, episodes: int = 200) -> Array:
    """`[SUBS, 2]`: mean returns of the shared policies alone, as they are drawn from in training, by the target."""

    def of(sub: int, right: Array, key: Key) -> Array:
        env = family(HORIZON).make(right)
        choice = jnp.full(episodes, sub)

        def step(live: tuple[Tree, TimeStep], key: Key) -> tuple[tuple[Tree, TimeStep], Array]:
            state, timestep = live
            seen = timestep._replace(observation={"observation": timestep.observation, "choice": choice})
            action, _, _ = low.act(actor, key, (), seen, True)
            state, timestep = jax.vmap(env.step)(state, action)
            return (state, timestep), timestep.reward

        k_reset, k_run = jax.random.split(key)
        start = jax.vmap(env.reset)(jax.random.split(k_reset, episodes))
        _, reward = jax.lax.scan(step, start, jax.random.split(k_run, HORIZON))
        return jnp.mean(jnp.sum(reward, axis=0))

    return jnp.stack([jnp.stack([of(sub, jnp.int32(right), key) for right in range(2)]) for sub in range(SUBS)])


@cache
def trained(seeds: tuple[int, ...], warmup: int, joint: int, iterations: int, rate: float) -> Found:
    """Runs of so many windows each, side by side, and what their policies are good for in the end."""
    env = moving_bandits(HORIZON, warmup + joint, BLOCK)
    agent, low = agents(warmup, joint, rate)

    def act(state: Tree, key: Key, memory: Tree, timestep: TimeStep) -> tuple[Tree, Step]:
        action, memory, extras = agent.act(agent.actor(state), key, memory, timestep, True)
        return memory, Step(timestep, action, extras)

    def window(live: tuple, key: Key) -> tuple[tuple, Array]:
        state, rest = live[0], live[1:]
        k_rows, k_peek, k_update = jax.random.split(key, 3)

        def row(live: tuple, key: Key) -> tuple[tuple, Step]:
            memory, lane, timestep = live
            memory, row = act(state, key, memory, timestep)
            return (memory, *jax.vmap(env.step)(lane, row.action)), row

        rest, rows = jax.lax.scan(row, rest, jax.random.split(k_rows, BLOCK * (HORIZON + 1)))
        _, peek = act(state, k_peek, rest[0], rest[2])
        rows = jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), rows, peek)
        state, info = agent.update(state, k_update, Sample(rows))
        return (state, *rest), info.metrics["gain"]

    def run(key: Key) -> tuple[Array, Array]:
        k_env, k_init, k_run, k_alone = jax.random.split(key, 4)
        lane, timestep = jax.vmap(env.reset)(jax.random.split(k_env, LANES))
        live = (agent.init(k_init, timestep), agent.begin(LANES), lane, timestep)
        (state, *_), gains = jax.lax.scan(window, live, jax.random.split(k_run, iterations))
        last = jnp.mean(gains[-max(1, iterations // 20) :])
        return last, returns_alone(low, low.actor(state.low), k_alone)

    return Found(*(np.asarray(x) for x in jax.jit(jax.vmap(run))(keys.key(np.asarray(seeds)))))


def separated(
    seeds: Sequence[int],
    figure: Literal["gain", "on", "off"] = "gain",
    warmup: int = 60,
    joint: int = 2,
    iterations: int = 4_000,
    rate: float = 3e-4,
) -> np.ndarray:
    """Whether masters gain from choosing, and whether the two shared policies go to different targets.

    Args:
      seeds: of everything that is drawn.
      figure: "gain", the return in the last window of the warm-up less that in the first; "on", the least return of a
        shared policy alone where its own target pays, policies and targets being paired for the best; "off", the most
        of one where the other target pays.
      warmup: W.
      joint: U.
      iterations: windows of 40 episodes in each of 10 tasks.
      rate: step size of the shared policies.

    Returns:
      `[seeds]`.
    """
    found = trained(tuple(seeds), warmup, joint, iterations, rate)
    if figure == "gain":
        return found.gain
    straight = np.einsum("skk->sk", found.alone)
    crossed = np.einsum("skk->sk", found.alone[:, :, ::-1])
    paired = (straight.sum(1) >= crossed.sum(1))[:, None]
    own, other = np.where(paired, straight, crossed), np.where(paired, crossed, straight)
    return own.min(1) if figure == "on" else other.max(1)
