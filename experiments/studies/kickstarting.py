"""How much sooner a kickstarted student is where its teacher is, and how far beyond it comes, on the door and the key.

The teacher is PPO that stopped learning once the episodes of its training returned enough. The student has a network of
another shape, and lanes, numbers and rewards of its own.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import networks
import replay
from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree
from agents.common import optimisers, recurrence
from agents.common.lessons import Lesson
from agents.kickstart import Teacher, kickstarted, lesson
from agents.ppo import ppo
from envs import keys
from envs.base import Environment
from envs.tasks.door_key import TOGGLE, door_key
from experiments.studies import learned

LANES, UNROLL = 16, 64
STEPS = LANES * UNROLL
"""Environment steps of an iteration."""
SMOOTH = 5
"""Iterations whose episodes make one point of a curve."""
RATE = 1e-3
"""Step size of teachers and students."""
TEACHER, STUDENT = (64,), (64, 64)
"""Sizes of their layers."""
Kind = Literal["kickstarted", "held", "scratch", "distilled", "ungated"]


class Stopping(NamedTuple):
    """A learner, and the mean return of its last episodes."""

    inner: Any
    mean: Array


def network(env: Environment, hidden: tuple[int, ...]) -> networks.Network:
    """Of an actor-critic with two torsos."""
    torso = lambda: networks.Torso(env.spec.observation, hidden)  # noqa: E731
    return networks.actor_critic(
        torso(), networks.CategoricalPolicy(TOGGLE + 1), networks.Value(), critic_torso=torso()
    )


def learner(policy: networks.Network, rate: float = RATE, taught: Lesson | None = None) -> Agent:
    """PPO without normalised advantages, beside whose unit size the weight of a lesson would mean something else."""
    settings: dict[str, Any] = {"lambda_": 0.95, "entropy_cost": 0.01, "epochs": 8, "normalise": False}
    return ppo(policy, optimisers.adam(rate, 0.5), **settings, lesson=taught)


def returned(timestep: TimeStep) -> tuple[Array, Array]:
    """Sum of the returns of episodes that ended in rows `[T, N]`, and their number: they are paid at their ends."""
    ended = timestep.last().astype(jnp.float32)
    return jnp.sum(ended * timestep.reward), jnp.sum(ended)


def stopping(agent: Agent, level: float) -> Agent:
    """The agent, which learns until the mean return of some 100 last episodes is at `level`."""

    def update(state: Stopping, key: Key, sample: Sample) -> tuple[Stopping, Info]:
        inner, info = agent.update(state.inner, key, sample)
        total, count = returned(jax.tree.map(lambda x: x[:-1], sample.steps.timestep))
        mean = state.mean + jnp.minimum(count / 100, 1.0) * (total / jnp.maximum(count, 1) - state.mean)
        over = state.mean >= level
        kept = jax.tree.map(lambda old, new: jnp.where(over, old, new), state.inner, inner)
        return Stopping(kept, jnp.where(over, state.mean, mean)), info

    return agent._replace(
        init=lambda key, timestep: Stopping(agent.init(key, timestep), jnp.float32(0)),
        actor=lambda state: agent.actor(state.inner),
        update=update,
    )


def of_params(policy: networks.Network, params: Tree) -> Teacher:
    """The teacher that a network with its parameters is."""

    def act(key: Key, carry: Tree, timestep: TimeStep) -> tuple[Tree, Tree]:
        (told, _), carry = recurrence.step(policy, params, key, carry, timestep)
        return told, carry

    return Teacher(policy.begin, act)


def curve(env: Environment, agent: Agent, key: Key, iterations: int) -> tuple[Tree, Array]:
    """What was learned, and sums and numbers of returns of each iteration, `[iterations, 2]`."""
    run = learned(
        env, agent, replay.on_policy(UNROLL), key, LANES, UNROLL, iterations, lambda t: jnp.stack(returned(t))
    )
    return run[0], run[1]


@cache
def taught(
    size: int, goals: int, task: int | None, level: float, iterations: int
) -> Callable[[Key], tuple[Tree, Array]]:
    """From keys to teachers' parameters and their levels, the mean return of episodes that they play; compiled."""
    env = door_key(size, goals, task)
    policy = network(env, TEACHER)
    still = learner(policy, rate=0.0)

    def teach(key: Key) -> tuple[Tree, Array]:
        state, _ = curve(env, stopping(learner(policy), level), key, iterations)
        params = state.inner.params
        held = still._replace(init=lambda key, timestep: still.init(key, timestep)._replace(params=params))
        _, told = curve(env, held, jax.random.fold_in(key, 1), 40)
        total, count = jnp.sum(told, axis=0)
        return params, total / count

    return jax.jit(jax.vmap(teach))


@cache
def student(
    size: int, goals: int, kind: Kind, falls: int, weight: float, iterations: int
) -> Callable[[Key, Tree], Array]:
    """From keys and teachers' parameters to sums and numbers of students' returns, `[seeds, iterations, 2]`."""
    env = door_key(size, goals)
    theirs = network(door_key(size, goals, 0), TEACHER)
    agent = learner(network(env, STUDENT), taught=lesson(float(kind != "distilled")))
    fading = lambda done: weight * jnp.maximum(1 - done / falls, 0.0)  # noqa: E731
    held = lambda done: weight  # noqa: E731
    by = {"scratch": lambda done: 0.0, "held": held, "distilled": held}.get(kind, fading)

    def learn(key: Key, params: Tree) -> Array:
        teachers = [of_params(theirs, each) for each in params]
        task = "task" if goals > 1 and kind != "ungated" else ""
        return curve(env, kickstarted(agent, teachers, by, task=task), key, iterations)[1]

    return jax.jit(jax.vmap(learn))


class Outcome(NamedTuple):
    """Of several seeds."""

    level: np.ndarray
    """The teachers' mean returns, `[seeds]`."""
    points: np.ndarray
    """The students' mean returns, one for each SMOOTH iterations, `[seeds, points]`."""


@cache
def outcome(
    seeds: tuple[int, ...], kind: Kind, size: int, goals: int, level: float, falls: int, weight: float, iterations: int
) -> Outcome:
    """Teachers, and students of them, side by side; arguments as for `measured`."""
    tasks = [None] if goals == 1 else list(range(goals))
    each = keys.key(np.array(seeds))
    folded = jax.vmap(jax.random.fold_in, (0, None))
    found = [taught(size, goals, task, level, iterations)(folded(each, i)) for i, task in enumerate(tasks)]
    learn = student(size, goals, kind, falls, weight, iterations)
    told = np.asarray(learn(folded(each, 9), [params for params, _ in found]), np.float64)
    total, count = np.moveaxis(told.reshape(len(seeds), -1, SMOOTH, 2).sum(2), -1, 0)
    return Outcome(np.mean([level for _, level in found], axis=0), total / np.maximum(count, 1))


def measured(
    seeds: Sequence[int],
    kind: Kind = "kickstarted",
    figure: Literal["speed", "margin", "level", "end"] = "speed",
    size: int = 8,
    goals: int = 1,
    level: float = 0.5,
    falls: int = 200,
    weight: float = 1.0,
    iterations: int = 600,
) -> np.ndarray:
    """What a student comes to, over episodes as they are played in training.

    Args:
      seeds: of teacher and student.
      kind: "kickstarted", the weight "held", from "scratch", "distilled" without the reward, or all teachers of several
        tasks asked throughout, "ungated".
      figure: "speed", the steps that learning from scratch takes to the teacher's level over those of the student, both
        at most as many as there are; "margin", by what the last tenth of the student's returns are over the teacher's,
        as a share of the teacher's; "level", the teacher's; "end", the student's.
      size: of the board.
      goals: on it.
      level: return at which a teacher stops.
      falls: iterations over which the weight falls to 0.
      weight: λ at first.
      iterations: of 1,024 steps; of a teacher at most.

    Returns:
      `[seeds]`.
    """
    settings = (size, goals, level, falls, weight, iterations)
    found = outcome(tuple(seeds), kind, *settings)
    end = found.points[:, -len(found.points[0]) // 10 :].mean(1)
    if figure == "speed":
        return steps(outcome(tuple(seeds), "scratch", *settings), size) / steps(found, size)
    return {"margin": end / found.level - 1, "level": found.level, "end": end}[figure]


def steps(found: Outcome, size: int) -> np.ndarray:
    """Environment steps after which students are where their teachers are, or all there are, `[seeds]`.

    What was played before an episode can have come to its time limit does not count: only good ones have ended there.
    """
    settle = 10 * size**2 // (UNROLL * SMOOTH)
    above = found.points[:, settle:] >= found.level[:, None]
    first = np.where(above.any(1), above.argmax(1) + settle + 1, found.points.shape[1])
    return first * SMOOTH * STEPS
