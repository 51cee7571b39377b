"""Kickstarting: an actor-critic that learns from its reward and, at first, from the policies of teachers.

Schmitt et al., "Kickstarting deep reinforcement learning", 2018 (arXiv:1803.03835). The student plays, and to its own
loss is added, on the states that it comes to itself,

    Σ_i λ_i H(π_i(·|x) ‖ π(·|x))

with π_i the policy of teacher i and λ_i = λ times its share, which falls to 0 over the optimisation. Teachers only say
what they would do, so that student and teachers may differ in their networks. With λ held and no reward this is policy
distillation (Rusu et al., ICLR 2016) on the student's own states. In tasks of several kinds a teacher can be asked in
its own alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree
from agents.common.lessons import Lesson


class Teacher(NamedTuple):
    """Who teaches: the policy of a run, or a function."""

    begin: Callable[[int], Any]
    """`(B) -> carry`."""
    act: Callable[..., tuple[Any, Any]]
    """`(key, carry, timestep[B]) -> (distribution[B], carry)`, of actions as the student's own distribution is."""


class State(NamedTuple):
    """The student, and how often it has learned."""

    inner: Any
    updates: Array  # int32

    @property
    def params(self) -> Any:
        """What the student learns."""
        return self.inner.params


class Carry(NamedTuple):
    """Of the lanes: the memories of the student and of each teacher."""

    inner: Any
    teachers: tuple[Any, ...]


def lesson(reward: float | Array = 1.0) -> Lesson:
    """What A2C, IMPALA or PPO learns beside its reward when it is `kickstarted`.

    Args:
      reward: factor of the policy gradient's loss; 0 for distillation.
    """
    return Lesson(lambda policy, extras: losses.kickstarting(extras["teachers"], policy, extras["weights"]), reward)


def kickstarted(
    agent: Agent,
    teachers: Sequence[Teacher],
    weight: Callable[[Array], float | Array],
    *,
    shares: Sequence[float | Array] | None = None,
    task: str = "",
) -> Agent:
    """The agent, which is taught as it plays; evaluated, it plays alone.

    Args:
      agent: an actor-critic that was made with a `lesson`.
      teachers: one or more.
      weight: updates so far -> λ.
      shares: what λ is multiplied by for each teacher; by default 1.
      task: entry of the observation, a whole number, that says which teacher is asked; "" for all of them.
    """
    each = jnp.asarray(shares if shares is not None else [1.0] * len(teachers), jnp.float32)

    def init(key: Key, timestep: TimeStep) -> State:
        return State(agent.init(key, timestep), jnp.int32(0))

    def begin(batch: int) -> Carry:
        return Carry(agent.begin(batch), tuple(teacher.begin(batch) for teacher in teachers))

    def act(actor: Any, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Tree, Carry, Any]:
        action, inner, extras = agent.act(actor, key, carry.inner, timestep, explore)
        if not explore:
            return action, carry._replace(inner=inner), extras
        # The student draws from the key itself, so that with a weight of 0 it plays as if there were no teacher.
        told = [
            teacher.act(jax.random.fold_in(key, i), memory, timestep)
            for i, (teacher, memory) in enumerate(zip(teachers, carry.teachers, strict=True))
        ]
        taught = jax.tree.map(lambda *x: jnp.stack(x, axis=1), *(policy for policy, _ in told))
        return action, Carry(inner, tuple(memory for _, memory in told)), {**extras, "teachers": taught}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps, now = sample.steps, jnp.asarray(weight(state.updates), jnp.float32)
        weights = jnp.broadcast_to(now * each, (*steps.timestep.reward.shape, len(teachers)))
        if task:
            weights *= jax.nn.one_hot(steps.timestep.observation[task], len(teachers))
        told = steps._replace(extras={**steps.extras, "weights": weights})
        inner, info = agent.update(state.inner, key, sample._replace(steps=told))
        return State(inner, state.updates + 1), info._replace(metrics={**info.metrics, "teaching": now})

    return Agent(
        init, lambda state: agent.actor(state.inner), begin, act, update, lambda carry: agent.stored(carry.inner)
    )
