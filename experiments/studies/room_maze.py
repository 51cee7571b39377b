"""What learning a maze of rooms takes: answers of a teacher, or steps, until 95 of 100 test episodes succeed.

A round is one episode of training and one greedy test episode. Each seed has a map of its own. The teacher plays 20
episodes, options last up to 12 steps, and Q-learning, with a step size of 0.2 and a discount of 0.95, explores less and
less over 20,000 steps.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Sample, Step, Tree
from agents.h_dagger import h_dagger
from envs import keys
from envs.base import Array, Key
from envs.tasks import room_maze

WINDOW, ENOUGH = 100, 0.95


def play(found: Array, leave: Array, key: Key, rounds: int, settings: Mapping[str, Any]) -> tuple[Array, ...]:
    """Rounds on one map.

    Returns:
      Whether the test of each round succeeded, and the labels, labels of subgoals, training steps and share of useful
      samples by its end; `[rounds]` each.
    """
    options = dict(settings)
    env = room_maze.of_map(found, leave, give_up=options.pop("give_up", False))
    decay = lambda clock: jnp.maximum(0.1, 1.0 - 0.9 * clock / 20_000)  # noqa: E731
    agent = h_dagger(env.spec, epsilon=decay, **options)

    def step(state: tuple, key: Key, explore: bool) -> tuple[tuple, Step, Tree]:
        world, timestep, carry, actor = state
        action, carry, extras = agent.act(actor, key, carry, timestep, explore)
        world, after = jax.vmap(env.step)(world, action)
        return (world, after, carry, actor), Step(timestep, action, extras), after

    def fresh(key: Key) -> tuple:
        world, timestep = jax.vmap(env.reset)(jax.random.split(key, 1))
        return world, timestep, agent.begin(1)

    def test(actor: Tree, key: Key) -> Array:
        k_reset, k_act = jax.random.split(key)

        def more(state: tuple) -> Array:
            return ~state[0][1].last()[0]

        def on(state: tuple) -> tuple:
            live, t = state
            return step(live, jax.random.fold_in(k_act, t), False)[0], t + 1

        live, _ = jax.lax.while_loop(more, on, ((*fresh(k_reset), actor), jnp.int32(0)))
        return live[1].discount[0] == 0

    def round_(learner: Tree, key: Key) -> tuple[Tree, tuple[Array, ...]]:
        k_reset, k_act, k_update, k_test = keys.split(key, 4)

        def more(state: tuple) -> Array:
            return ~state[1][1].last()[0]

        def on(state: tuple) -> tuple:
            learner, live, t = state
            live, row, after = step((*live, agent.actor(learner)), jax.random.fold_in(k_act, t), True)
            peek = row._replace(timestep=after)
            window = jax.tree.map(lambda a, b: jnp.stack([a, b]), row, peek)
            return agent.update(learner, k_update, Sample(window))[0], live[:3], t + 1

        learner, _, _ = jax.lax.while_loop(more, on, (learner, fresh(k_reset), jnp.int32(0)))
        costs = learner.costs
        useful = costs.useful / jnp.maximum(costs.samples, 1)
        told = (costs.high + costs.low, costs.high, learner.clock, useful)
        return learner, (test(agent.actor(learner), k_test), *told)

    k_init, k_rounds = jax.random.split(key)
    _, timestep, _ = fresh(k_init)
    return jax.lax.scan(round_, agent.init(k_init, timestep), keys.split(k_rounds, rounds))[1]


@cache
def played(seeds: tuple[int, ...], rounds: int, settings: tuple[tuple[str, object], ...]) -> tuple[np.ndarray, ...]:
    """`play` for every seed, `[seeds, rounds]` each."""
    doors = [room_maze.doors(seed) for seed in seeds]
    maps = jnp.asarray(np.stack(doors)), jnp.asarray(np.stack([room_maze.routes(each) for each in doors]))
    run = jax.jit(jax.vmap(lambda found, leave, key: play(found, leave, key, rounds, dict(settings))))
    return tuple(np.asarray(x) for x in run(*maps, keys.key(np.array(seeds))))


def when(told: int, seeds: Sequence[int], rounds: int, settings: Mapping[str, object]) -> np.ndarray:
    """A number of `play` in the round in which the mean of the last 100 tests is 0.95 or more; infinite if it never is.

    Args:
      told: which of the numbers.
      seeds: of map and run.
      rounds: played.
      settings: of `h_dagger`, and `give_up`.

    Returns:
      `[seeds]`.
    """
    numbers = played(tuple(seeds), rounds, tuple(sorted(settings.items())))
    sums = np.cumsum(numbers[0], axis=1)
    trailing = (sums[:, WINDOW:] - sums[:, :-WINDOW]) / WINDOW
    reached = trailing >= ENOUGH
    first = reached.argmax(axis=1) + WINDOW
    value = numbers[told][np.arange(len(seeds)), first].astype(np.float64)
    return np.where(reached.any(axis=1), value, np.inf)


def labels(seeds: Sequence[int], rounds: int = 1_200, **settings: object) -> np.ndarray:
    """Answers of the teacher until 95 of 100 tests succeed, `[seeds]`; see `when`."""
    return when(1, seeds, rounds, settings)


def subgoal_labels(seeds: Sequence[int], rounds: int = 1_200, **settings: object) -> np.ndarray:
    """Of them those about subgoals."""
    return when(2, seeds, rounds, settings)


def steps(seeds: Sequence[int], rounds: int = 1_200, **settings: object) -> np.ndarray:
    """Steps of training until 95 of 100 tests succeed, `[seeds]`; see `when`."""
    return when(3, seeds, rounds, settings)


def all_labels(seeds: Sequence[int], rounds: int = 1_200, **settings: object) -> np.ndarray:
    """Answers of the teacher in all rounds, `[seeds]`."""
    return played(tuple(seeds), rounds, tuple(sorted(settings.items())))[1][:, -1].astype(np.float64)


def success(seeds: Sequence[int], rounds: int = 1_200, **settings: object) -> np.ndarray:
    """The share of the last 100 tests that succeed, `[seeds]`."""
    return played(tuple(seeds), rounds, tuple(sorted(settings.items())))[0][:, -WINDOW:].mean(axis=1)


def useful(seeds: Sequence[int], rounds: int = 1_200, **settings: object) -> np.ndarray:
    """Of the steps that options learned from by themselves, the share towards the right subgoal, `[seeds]`."""
    return played(tuple(seeds), rounds, tuple(sorted(settings.items())))[4][:, -1].astype(np.float64)
