"""Modulated locomotor controllers: a low level that feels the body alone, and a high level that modulates it.

Heess, Wayne, Tassa, Lillicrap, Riedmiller and Silver, "Learning and transfer of modulated locomotor controllers",
arXiv:1610.05182. The low, spinal level knows proprioception o_P and a modulation c; the high, cortical one knows
everything, and sets c anew every K steps:

    a_t ~ N(μ_L(o_P, tanh c_t), σ_L²)      c_t = c_{t-1}, and every K steps a new one

1. `practised`: both levels learn a simple task by policy gradient, through c, which is no random number there.
2. `spinal`: the high level is discarded and the low one frozen, its σ with it. A new high level, recurrent or not,
   draws c_t ~ N(μ_H, σ_H²) and learns another task by any policy gradient, for which c is its action and a step without
   a new one has probability 1 (`Held`). So it explores by movements of K steps. Values do not know c.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, select
from envs import parallel
from envs.base import Environment
from networks.base import Network

BODY = "proprioception"
"""The entry of observations that the low level knows."""


class State(NamedTuple):
    """What is learned: the new high level, by an agent of its own; and what stays."""

    high: Any
    low: Any  # parameters
    score: Array  # of the practice: the mean reward of its last rollout

    @property
    def params(self) -> Any:
        """What is learned by gradient."""
        return self.high.params


class Actor(NamedTuple):
    """What acting needs."""

    high: Any
    low: Any


class Carry(NamedTuple):
    """Memory of the lanes."""

    age: Array  # int32 [B], rows since the modulation was set
    held: Any  # the modulation, or what was seen when it was set, [B, ...]
    inner: Any


class Held(NamedTuple):
    """A distribution over modulations of which a new one is drawn where `new`; elsewhere nothing is left to chance."""

    inner: Any
    new: Array  # float32 [...], 1 or 0

    def sample(self, key: Key) -> Array:
        """`[..., D]`."""
        return self.inner.sample(key)

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """A sample and its log-density, 0 where it is not new."""
        action, log_prob = self.inner.sample_and_log_prob(key)
        return action, self.new * log_prob

    def log_prob(self, action: Array) -> Array:
        """The log-density of actions `[..., D]`, 0 where they are not new."""
        return self.new * self.inner.log_prob(action)

    def entropy(self) -> Array:
        """`[...]`, 0 where nothing is drawn."""
        return self.new * self.inner.entropy()

    def mode(self) -> Array:
        """`[..., D]`."""
        return self.inner.mode()

    def kl(self, other: "Held") -> Array:
        """`[...]`, 0 where nothing is drawn."""
        return self.new * self.inner.kl(other.inner)


def held(network: Network) -> Network:
    """The network `observation -> (distribution, value)` of a high level; observations say what is `new`."""

    def apply(params: Any, key: Key | None, carry: Any, observation: Any, first: Array) -> tuple[Any, Any]:
        (policy, value), carry = network.apply(params, key, carry, observation, first)
        return (Held(policy, observation["new"]), value), carry

    return network._replace(apply=apply)


def modulated(low: Network, params: Any, observation: Any, modulation: Array, first: Array) -> Any:
    """What the low level does at rows `[T, B]`: a distribution over actions."""
    seen = {BODY: observation[BODY], "modulation": jnp.tanh(modulation)}
    return low.apply(params, None, (), seen, first)[0]


def both(low: Network, high: Network, value: Network, size: int) -> Network:
    """Both levels as one network `observation -> (distribution, value)`, for the practice; all feed-forward.

    Args:
      low: of `proprioception` and `modulation`, to a distribution over actions.
      high: observation -> modulation `[size]`; it is given what was seen when the modulation was set, `held`.
      value: observation -> value.
      size: of a modulation.
    """

    def init(key: Key, observation: Any) -> dict[str, Any]:
        k_low, k_high, k_value = jax.random.split(key, 3)
        lanes = observation[BODY].shape[0]
        below = {BODY: observation[BODY], "modulation": jnp.zeros((lanes, size))}
        return {
            "low": low.init(k_low, below),
            "high": high.init(k_high, observation["held"]),
            "value": value.init(k_value, observation),
        }

    def apply(params: Any, key: Key | None, carry: Any, observation: Any, first: Array) -> tuple[Any, Any]:
        c = high.apply(params["high"], None, (), observation["held"], first)[0]
        told = value.apply(params["value"], None, (), observation, first)[0]
        return (modulated(low, params["low"], observation, c, first), told), carry

    return Network(init, apply, lambda batch: ())


def remembering(agent: Agent, period: int) -> Agent:
    """The agent, whose observations hold as `held` what was seen when the modulation was set, every `period` rows."""

    def see(timestep: TimeStep, before: Any) -> TimeStep:
        return timestep._replace(observation={**timestep.observation, "held": before})

    def init(key: Key, timestep: TimeStep) -> Any:
        return agent.init(key, see(timestep, timestep.observation))

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        if not isinstance(carry, Carry):
            carry = Carry(jnp.zeros(timestep.reward.shape, jnp.int32) - 1, timestep.observation, ())
        age = jnp.where(timestep.first(), 0, carry.age + 1) % period
        before = select(age == 0, timestep.observation, carry.held)
        action, _, extras = agent.act(actor, key, (), see(timestep, before), explore)
        return action, Carry(age, before, ()), {**extras, "held": before}

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        steps = sample.steps
        seen = steps._replace(timestep=see(steps.timestep, steps.extras["held"]))
        return agent.update(state, key, sample._replace(steps=seen))

    return Agent(init, agent.actor, lambda batch: (), act, update)


def practised(
    agent: Agent, env: Environment, period: int, *, lanes: int, unroll: int, rollouts: int
) -> Callable[[Key], tuple[Any, Array]]:
    """The practice: `(key) -> (parameters of the low level, mean reward of the last rollout)`, all in one graph.

    Args:
      agent: on-policy, of a network made by `both`.
      env: the simple task.
      period: K.
      lanes: environments side by side.
      unroll: steps of a rollout.
      rollouts: how many; 0 leaves the low level as it is at first.
    """
    agent = remembering(agent, period)

    def run(key: Key) -> tuple[Any, Array]:
        k_env, k_init, k_run = jax.random.split(key, 3)
        state, timestep = jax.vmap(env.reset)(jax.random.split(k_env, lanes))
        learned = agent.init(k_init, timestep)
        _, carry, _ = agent.act(agent.actor(learned), k_init, (), timestep, True)

        def rollout(all_of: Any, key: Key) -> tuple[Any, Array]:
            learned, state, timestep, carry = all_of
            actor = agent.actor(learned)

            def step(lane: Any, key: Key) -> tuple[Any, Step]:
                state, timestep, carry = lane
                action, carry, extras = agent.act(actor, key, carry, timestep, True)
                return (*jax.vmap(env.step)(state, action), carry), Step(timestep, action, extras)

            k_play, k_peek, k_update = jax.random.split(key, 3)
            now: Any = (state, timestep, carry)
            lane, rows = jax.lax.scan(step, now, jax.random.split(k_play, unroll))
            action, _, extras = agent.act(actor, k_peek, lane[2], lane[1], True)
            peek = Step(lane[1], action, extras)
            window: Any = jax.tree.map(lambda x, last: jnp.concatenate([x, last[None]]), rows, peek)
            learned, _ = agent.update(learned, k_update, Sample(window))
            return (learned, *lane), jnp.mean(rows.timestep.reward)

        begun: Any = (learned, state, timestep, carry)
        (learned, *_), paid = jax.lax.scan(rollout, begun, jax.random.split(k_run, rollouts))
        return learned.params["low"], paid[-1] if rollouts else jnp.float32(0)

    return run


def spinal(
    low: Network, high: Agent, practice: Callable[[Key], tuple[Any, Array]], size: int, *, period: int = 10
) -> Agent:
    """The agent; it learns from what `high` learns from.

    Args:
      low: see `both`.
      high: acts in the space of modulations `[size]` by a network made by `held`, such as PPO.
      practice: gives the low level; called once, by `init`.
      size: of a modulation.
      period: K, steps for which a modulation is held.
    """

    def see(timestep: TimeStep, new: Array) -> TimeStep:
        return timestep._replace(observation={**timestep.observation, "new": new.astype(jnp.float32)})

    def init(key: Key, timestep: TimeStep) -> State:
        k_high, k_low = jax.random.split(key)
        params, score = practice(k_low)
        return State(high.init(k_high, see(timestep, timestep.first())), params, parallel.mean(score))

    def begin(batch: int) -> Carry:
        return Carry(jnp.zeros(batch, jnp.int32) - 1, jnp.zeros((batch, size)), high.begin(batch))

    def act(actor: Actor, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        k_high, k_low = jax.random.split(key)
        age = jnp.where(timestep.first(), 0, carry.age + 1) % period
        drawn, inner, extras = high.act(actor.high, k_high, carry.inner, see(timestep, age == 0), explore)
        c = select(age == 0, drawn, carry.held)
        row = jax.tree.map(lambda x: x[None], timestep)
        chosen = modulated(low, actor.low, row.observation, c[None], row.first())
        action = (chosen.sample(k_low) if explore else chosen.mode())[0]
        return action, Carry(age, c, inner), {**extras, "modulation": c, "new": age == 0}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps
        above = steps._replace(timestep=see(steps.timestep, steps.extras["new"]), action=steps.extras["modulation"])
        learned, info = high.update(state.high, key, sample._replace(steps=above))
        return state._replace(high=learned), info._replace(metrics={**info.metrics, "practice": state.score})

    def stored(carry: Carry) -> Any:
        return high.stored(carry.inner)

    return Agent(init, lambda s: Actor(high.actor(s.high), s.low), begin, act, update, stored)
