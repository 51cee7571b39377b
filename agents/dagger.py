"""DAgger: an expert labels the states that the learner comes to, and the learner imitates all labels so far.

Ross, Gordon and Bagnell, "A reduction of imitation learning and structured prediction to no-regret online learning",
AISTATS 2011. In round i every action is the expert's with probability β_i and else the learner's, and of every row the
expert says what it would have done, whoever acted; then the learner is fitted to the aggregate. β_0 = 1: the first
round is behavioural cloning. A round is an unroll of a run and the updates after it, on `replay.aggregate`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, select
from envs import parallel


class Teacher(NamedTuple):
    """Who labels: a function, or the policy of a run."""

    begin: Callable[[int], Any]
    """`(B) -> carry`."""
    act: Callable[..., tuple[Tree, Any]]
    """`(key, carry, timestep[B]) -> (action[B], carry)`."""


class State(NamedTuple):
    """The learner, and where in the rounds it is."""

    inner: Any
    origin: Any  # the learner as it was made, if rounds begin with it; else ()
    updates: Array  # int32


class Actor(NamedTuple):
    """What acting needs."""

    inner: Any
    beta: Array


class Carry(NamedTuple):
    """Of the lanes: both memories, and when the expert is asked."""

    inner: Any
    teacher: Any
    age: Array  # int32 [B], rows until it is asked


def of_function(act: Callable[[Tree], Array]) -> Teacher:
    """The teacher that a function `(observation[B]) -> action[B]` is."""
    return Teacher(lambda lanes: (), lambda key, carry, timestep: (act(timestep.observation), carry))


def first(round_: Array) -> Array:
    """β: 1 in the first round and 0 then, which has no parameter."""
    return jnp.where(round_ == 0, 1.0, 0.0)


def exponential(base: float | Array) -> Callable[[Array], Array]:
    """β_i = p^i, with 0^0 = 1."""
    return lambda round_: jnp.where(round_ == 0, 1.0, jnp.asarray(base, jnp.float32) ** round_)


def linear(rounds: int | Array) -> Callable[[Array], Array]:
    """β_i = max(0, 1 - i / n)."""
    return lambda round_: jnp.maximum(0.0, 1.0 - round_ / jnp.maximum(rounds, 1)).astype(jnp.float32)


def dagger(
    agent: Agent,
    teacher: Teacher,
    *,
    updates: int,
    beta: Callable[[Array], Array] = first,
    every: int = 1,
    restart: bool = False,
    sampled: bool = False,
) -> Agent:
    """The agent; learns from `replay.aggregate`.

    Args:
      agent: that imitates the actions of its samples, such as `agents.bc`.
      teacher: the expert.
      updates: of a round.
      beta: round -> β.
      every: rows from one label to the next; at the start of an episode the next one is drawn among so many.
      restart: whether every round begins with the learner as it was made, rather than with that of the last round.
      sampled: whether the learner draws its actions while it collects, rather than play its best.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        inner = agent.init(key, timestep)
        origin = jax.tree.map(jnp.copy, inner) if restart else ()
        return State(inner, origin, jnp.int32(0))

    def actor(state: State) -> Actor:
        return Actor(agent.actor(state.inner), jnp.asarray(beta(state.updates // updates), jnp.float32))

    def begin(batch: int) -> Carry:
        return Carry(agent.begin(batch), teacher.begin(batch), jnp.zeros(batch, jnp.int32))

    def act(actor: Actor, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Tree, Carry, Any]:
        k_agent, k_teacher, k_mix, k_ask = jax.random.split(key, 4)
        own, inner, _ = agent.act(actor.inner, k_agent, carry.inner, timestep, explore and sampled)
        if not explore:
            return own, carry._replace(inner=inner), {}
        label, told = teacher.act(k_teacher, carry.teacher, timestep)
        label = jax.tree.map(lambda x, y: x.astype(y.dtype), label, own)
        lanes = timestep.reward.shape
        action = select(jax.random.uniform(k_mix, lanes) < actor.beta, label, own)
        age = jnp.where(timestep.first(), jax.random.randint(k_ask, lanes, 0, every), carry.age)
        asked = age == 0
        carry = Carry(inner, told, jnp.where(asked, every - 1, age - 1))
        return action, carry, {"label": label, "asked": asked}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        inner = state.inner
        if restart:
            opens = state.updates % updates == 0
            inner = jax.tree.map(lambda x, y: jnp.where(opens, x, y), state.origin, inner)
        held = parallel.total(jnp.max(sample.steps.extras["held"])).astype(jnp.float32)
        rows = sample.steps._replace(extras={})
        inner, info = agent.update(inner, key, sample._replace(steps=rows))
        metrics = {**info.metrics, "labels": held, "beta": actor(state).beta}
        return State(inner, state.origin, state.updates + 1), info._replace(metrics=metrics)

    return Agent(init, actor, begin, act, update)
