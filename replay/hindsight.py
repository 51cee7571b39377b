"""Hindsight experience replay: what was reached is taken for what was wanted.

Andrychowicz et al., "Hindsight Experience Replay", NeurIPS 2017. A transition towards g is learned from as if it had
been towards g' = m(s_f), the goal that a state of the same episode achieves, with the reward computed anew. k of k + 1
samples are treated so.

Which rows are read. The future of a transition is not in its window, and may be a whole episode long. Windows of that
length would have every sample gather as many observations (50 in the robotics tasks) of which three are used, would
leave the newest rows of a lane unsampled until an episode's length has followed them, and would still not show what
came before, or other episodes. So a sample stays a window of any length, and its index says where it lies: only the
step types of the rows around it are read, one byte each, to find where the episode ends, and then the one goal.
Episodes under way and interrupted ones need no case of their own: they end with their newest row.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from envs.base import FIRST, Array, Key, select
from replay import ring
from replay.base import RingRelabel, Step
from replay.ring import Index, Ring

Strategy = Literal["future", "final", "episode", "random"]


def hindsight(
    strategy: Strategy,
    k: float | Array,
    reward_fn: Callable[[Any, Any], Array],
    horizon: int,
    reached: Callable[[Any, Any], Array] | None = None,
) -> RingRelabel:
    """Relabels windows `[T+1, N]` of tasks with goals (`envs.base.Goals`), for `replay.mapped`, before `n_step`.

    The desired goal of all rows of a window becomes the goal achieved by

        future    a row of the episode after the first of the window, uniformly
        final     the last row of the episode
        episode   any row of the episode, uniformly
        random    any row that the replay holds, uniformly

    with probability k / (k + 1); else, and where no row of the episode follows, the window stays what it was.

    Args:
      strategy: which one.
      k: relabelled samples for each that is not; 0 for none, infinity for all.
      reward_fn: `(achieved[..., *goal], desired) -> [...]`, of the state that the transition leads to.
      horizon: how many rows the episode is followed, ahead and back; a time limit, to see all of it.
      reached: where success ends the episode. Then a relabelled transition has discount 0 if it reaches its new goal,
        and 1 if nothing but the old one ended it. None if success ends nothing: discounts stay.

    Raises:
      ValueError: unknown strategy, k < 0 or horizon < 1; when called, observations without goals.
    """
    if strategy not in get_args(Strategy):
        raise ValueError(f"strategy is {strategy!r}; allowed: {', '.join(get_args(Strategy))}")
    if isinstance(k, int | float) and not k >= 0:
        raise ValueError(f"k is {k}; it must be 0 or more relabelled samples for each that is not")
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}; it must be at least 1")

    def extent(storage: Ring, age: Array, lane: Array) -> tuple[Array, Array]:
        """Rows of the episode before the row `age` and after it, int32 `[N]` each; at most `horizon`."""
        step_type = storage.rows.timestep.step_type
        span = jnp.arange(horizon + 1, dtype=jnp.int32)[:, None]
        ahead, back = age[None] + span[1:], age[None] - span[:-1]
        kind = ring.read(storage, ring.position(storage, ahead), lane[None], step_type)
        after = jnp.cumprod(((kind != FIRST) & (ahead < storage.fill)).astype(jnp.int32), axis=0)
        if strategy != "episode":
            return jnp.zeros_like(age), jnp.sum(after, axis=0)
        kind = ring.read(storage, ring.position(storage, back), lane[None], step_type)
        before = jnp.cumprod(((kind != FIRST) & (back > 0)).astype(jnp.int32), axis=0)
        return jnp.sum(before, axis=0), jnp.sum(after, axis=0)

    def chosen(storage: Ring, index: Index, key: Key) -> tuple[Array, Array, Array]:
        """Age and lane of the rows whose goals are taken, and whether there is one; `[N]` each."""
        age = ring.age_of(storage, index.time)
        if strategy == "random":
            return *ring.draw(storage, key, age.shape[0], 0), jnp.ones(age.shape, bool)
        before, after = extent(storage, age, index.lane)
        first, count = {
            "future": (jnp.ones_like(age), after),
            "final": (after, jnp.ones_like(age)),
            "episode": (-before, before + after + 1),
        }[strategy]
        drawn = (jax.random.uniform(key, age.shape) * count).astype(jnp.int32)
        offset = first + jnp.minimum(drawn, count - 1)
        return jnp.where(after > 0, age + offset, age), index.lane, after > 0

    def relabel(storage: Ring, index: Index, steps: Step, key: Key) -> Step:
        timestep, observation = steps.timestep, steps.timestep.observation
        if not isinstance(observation, dict) or not {"achieved_goal", "desired_goal"} <= observation.keys():
            raise ValueError("hindsight needs observations with `achieved_goal` and `desired_goal`, a task with goals")
        k_row, k_choice = jax.random.split(key)
        age, lane, found = chosen(storage, index, k_row)
        taken = found & (jax.random.uniform(k_choice, age.shape) < 1 - 1 / (1 + jnp.asarray(k, jnp.float32)))
        held = storage.rows.timestep.observation["achieved_goal"]
        goal = ring.read(storage, ring.position(storage, age), lane, held)

        def over_rows(new: Array, old: Array) -> Array:
            return select(taken, jnp.broadcast_to(new[None], old.shape).swapaxes(0, 1), old.swapaxes(0, 1)).swapaxes(
                0, 1
            )

        desired = jax.tree.map(over_rows, goal, observation["desired_goal"])
        changed = taken[None] & (timestep.step_type[1:] != FIRST)
        arrived = jax.tree.map(lambda x: x[1:], (observation["achieved_goal"], desired, observation["desired_goal"]))
        achieved, new, old = arrived
        reward = jnp.where(changed, reward_fn(achieved, new), timestep.reward[1:])
        discount = timestep.discount[1:]
        if reached is not None:
            anew = jnp.where(reached(achieved, new), 0.0, jnp.where(reached(achieved, old), 1.0, discount))
            discount = jnp.where(changed, anew, discount)
        timestep = timestep._replace(
            reward=jnp.concatenate([timestep.reward[:1], reward.astype(jnp.float32)]),
            discount=jnp.concatenate([timestep.discount[:1], discount]),
            observation={**observation, "desired_goal": desired},
        )
        return steps._replace(timestep=timestep)

    return RingRelabel(relabel)
