"""Environment -> Environment. Each keeps next-step auto-reset, exact truncation and a right `spec`."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import (
    FIRST,
    LAST,
    MID,
    Array,
    Box,
    Discrete,
    Environment,
    Key,
    Space,
    TimeStep,
    Tree,
    byte_scale,
    select,
)


class TimeLimitState(NamedTuple):
    """State of `time_limit`."""

    inner: Any
    key: Key
    t: Array  # int32, steps since FIRST
    cut: Array  # bool, the last row was made a LAST here, and the inner environment does not know


def time_limit(env: Environment, steps: int) -> Environment:
    """Truncates episodes after `steps` steps: the row becomes LAST and keeps its discount.

    Every step also draws a fresh episode, to be used after a cut. A task made by `episodic` is cheaper to build with
    its own time limit.

    Args:
      env: any environment.
      steps: at least 1.

    Raises:
      ValueError: for fewer steps.
    """
    if steps < 1:
        raise ValueError(f"time_limit: steps must be at least 1, got {steps}")

    def reset(key: Key) -> tuple[TimeLimitState, TimeStep]:
        k_inner, k_own = jax.random.split(key)
        inner, timestep = env.reset(k_inner)
        return TimeLimitState(inner, k_own, jnp.int32(0), jnp.bool_(False)), timestep

    def step(state: TimeLimitState, action: Tree) -> tuple[TimeLimitState, TimeStep]:
        k_next, k_reset = jax.random.split(state.key)
        fresh, stepped = env.reset(k_reset), env.step(state.inner, action)
        inner, timestep = select(state.cut, fresh, stepped)
        t = jnp.where(timestep.first(), 0, state.t + 1)
        cut = (t >= steps) & ~timestep.last()
        step_type = jnp.where(cut, LAST, timestep.step_type).astype(jnp.int8)
        return TimeLimitState(inner, k_next, t, cut), timestep._replace(step_type=step_type)

    spec = env.spec._replace(time_limit=min(steps, env.spec.time_limit or steps))
    return Environment(reset, step, spec, _rendered(env))


def action_repeat(env: Environment, times: int) -> Environment:
    """Each action is taken `times` times, or until the episode ends.

    The reward is the sum, the discount the product, the observation the last one.

    Args:
      env: any environment.
      times: at least 1.

    Raises:
      ValueError: for fewer.
    """
    if times < 1:
        raise ValueError(f"action_repeat: times must be at least 1, got {times}")

    def step(state: Any, action: Tree) -> tuple[Any, TimeStep]:
        state, timestep = env.step(state, action)
        for _ in range(times - 1):
            more = timestep.step_type == MID  # neither at the end nor in the step that only resets
            state_next, following = env.step(state, action)
            following = following._replace(
                reward=timestep.reward + following.reward, discount=timestep.discount * following.discount
            )
            state, timestep = select(more, (state_next, following), (state, timestep))
        return state, timestep

    limit = env.spec.time_limit
    return env._replace(
        step=step, spec=env.spec._replace(time_limit=limit and math.ceil(limit / times), rules=None, subgoals=None)
    )


def flatten(env: Environment) -> Environment:
    """Observations of any kind as one float32 vector: the leaves of a dict in the order of its sorted keys.

    uint8 is scaled to [0, 1] by the space's `high`; a Discrete observation becomes one-hot.
    """
    spaces = jax.tree.leaves(env.spec.observation, is_leaf=lambda x: isinstance(x, Space))

    def vector(space: Space, x: Any) -> Any:
        if isinstance(space, Discrete):
            return jax.nn.one_hot(x, space.num)
        return jnp.ravel(x).astype(jnp.float32) * np.asarray(1 / np.asarray(byte_scale(space)), np.float32)

    def bounds(space: Space, side: str) -> np.ndarray:
        if isinstance(space, Discrete):
            return np.full(space.num, float(side == "high"), np.float32)
        scale = np.asarray(1 / np.asarray(byte_scale(space)), np.float32)
        return np.broadcast_to(np.asarray(getattr(space, side), np.float32) * scale, space.shape).ravel()

    def observe(observation: Tree) -> Array:
        leaves = jax.tree.leaves(observation)
        return jnp.concatenate([vector(space, x) for space, x in zip(spaces, leaves, strict=True)])

    low, high = (np.concatenate([bounds(space, side) for space in spaces]) for side in ("low", "high"))
    return observed(env, observe, Box(low.shape, low, high))


def mask_observation(env: Environment, keep: Sequence[int]) -> Environment:
    """Only some entries of a vector observation: `mask_observation(cartpole(), (0, 2))` hides the velocities.

    Args:
      env: an environment whose observation is one vector.
      keep: indices of the entries to show, in this order.

    Raises:
      ValueError: if the observation is not a vector, or has no such entry, or none is kept.
    """
    space = env.spec.observation
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise ValueError(f"mask_observation: needs a vector observation, {env.spec.name} has {space}")
    if not len(keep) or not all(0 <= i < space.shape[0] for i in keep):
        raise ValueError(f"mask_observation: keep must be indices below {space.shape[0]}, got {tuple(keep)}")
    index = np.array(keep)
    low, high = (np.broadcast_to(bound, space.shape)[index] for bound in (space.low, space.high))
    shown = space._replace(shape=(len(keep),), low=low, high=high)
    return observed(env, lambda observation: observation[index], shown)


def _rendered(env: Environment) -> Callable[[Any], Array] | None:
    """What `env` draws, for a state that holds its state as `inner`."""
    draw = env.render
    if draw is None:
        return None
    return lambda state: draw(state.inner)


def observed(env: Environment, observe: Callable[[Tree], Tree], space: Any) -> Environment:
    """A pure function of each observation."""

    def mapped(result: tuple[Any, TimeStep]) -> tuple[Any, TimeStep]:
        state, timestep = result
        return state, timestep._replace(observation=observe(timestep.observation))

    def reset(key: Key) -> tuple[Any, TimeStep]:
        return mapped(env.reset(key))

    def step(state: Any, action: Tree) -> tuple[Any, TimeStep]:
        return mapped(env.step(state, action))

    return env._replace(reset=reset, step=step, spec=env.spec._replace(observation=space, rules=None, subgoals=None))


class DiscountedState(NamedTuple):
    """State of `discounted`."""

    inner: Any
    weight: Array  # float32, of the next reward


def discounted(env: Environment, discount: float) -> Environment:
    """The reward after t steps of an episode counts γ^(t-1) times, so that returns are what agents of that γ maximise.

    Args:
      env: any environment.
      discount: γ, in (0, 1].

    Raises:
      ValueError: another one.
    """
    if not 0 < discount <= 1:
        raise ValueError(f"discounted: discount must be in (0, 1], got {discount}")

    def reset(key: Key) -> tuple[DiscountedState, TimeStep]:
        inner, timestep = env.reset(key)
        return DiscountedState(inner, jnp.float32(1)), timestep

    def step(state: DiscountedState, action: Tree) -> tuple[DiscountedState, TimeStep]:
        inner, timestep = env.step(state.inner, action)
        weight = jnp.where(timestep.first(), 1.0, discount * state.weight)
        return DiscountedState(inner, weight), timestep._replace(reward=state.weight * timestep.reward)

    return Environment(reset, step, env.spec._replace(rules=None, subgoals=None), _rendered(env))


class FrameStackState(NamedTuple):
    """State of `frame_stack`."""

    inner: Any
    frames: Array  # the stacked observation last shown


def frame_stack(env: Environment, frames: int) -> Environment:
    """The last `frames` observations, joined along their last axis, newest last; at FIRST the first one is repeated.

    The rule of `replay.uniform(frames=...)`, which stores each frame of such a stack once.

    Args:
      env: an environment whose observation is one array, [..., C].
      frames: at least 1.

    Returns:
      An environment with observation [..., frames * C].

    Raises:
      ValueError: for other observations or fewer frames.
    """
    space = env.spec.observation
    if not isinstance(space, Box) or not space.shape:
        raise ValueError(f"frame_stack: needs an array observation, {env.spec.name} has {space}")
    if frames < 1:
        raise ValueError(f"frame_stack: frames must be at least 1, got {frames}")
    channels = space.shape[-1]

    def repeated(x: Any) -> Any:
        return jnp.concatenate([x] * frames, axis=-1)

    def reset(key: Key) -> tuple[FrameStackState, TimeStep]:
        inner, timestep = env.reset(key)
        stack = repeated(timestep.observation)
        return FrameStackState(inner, stack), timestep._replace(observation=stack)

    def step(state: FrameStackState, action: Tree) -> tuple[FrameStackState, TimeStep]:
        inner, timestep = env.step(state.inner, action)
        pushed = jnp.concatenate([state.frames[..., channels:], timestep.observation], axis=-1)
        stack = jnp.where(timestep.first(), repeated(timestep.observation), pushed)
        return FrameStackState(inner, stack), timestep._replace(observation=stack)

    low, high = (
        np.concatenate([np.broadcast_to(bound, space.shape)] * frames, axis=-1) for bound in (space.low, space.high)
    )
    stacked = space._replace(shape=(*space.shape[:-1], frames * channels), low=low, high=high)
    spec = env.spec._replace(observation=stacked, rules=None, subgoals=None)
    return Environment(reset, step, spec, _rendered(env))


class FlickerState(NamedTuple):
    """State of `flicker`."""

    inner: Any
    key: Key


def flicker(env: Environment, probability: float = 0.5) -> Environment:
    """Each observation is all zeros with `probability`, the first one of an episode too.

    Hausknecht & Stone (2015), "Deep Recurrent Q-Learning for Partially Observable MDPs".

    Raises:
      ValueError: for a probability outside [0, 1].
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"flicker: probability must lie in [0, 1], got {probability}")

    def blanked(inner: Any, key: Key, timestep: TimeStep) -> tuple[FlickerState, TimeStep]:
        k_next, k_blank = jax.random.split(key)
        blank = jax.random.uniform(k_blank) < probability
        observation = jax.tree.map(lambda x: jnp.where(blank, jnp.zeros_like(x), x), timestep.observation)
        return FlickerState(inner, k_next), timestep._replace(observation=observation)

    def reset(key: Key) -> tuple[FlickerState, TimeStep]:
        k_inner, k_own = jax.random.split(key)
        inner, timestep = env.reset(k_inner)
        return blanked(inner, k_own, timestep)

    def step(state: FlickerState, action: Tree) -> tuple[FlickerState, TimeStep]:
        inner, timestep = env.step(state.inner, action)
        return blanked(inner, state.key, timestep)

    def dark(space: Space) -> Space:
        return space if isinstance(space, Discrete) else space._replace(**_with_zero(space))

    observation = jax.tree.map(dark, env.spec.observation, is_leaf=lambda x: isinstance(x, Space))
    spec = env.spec._replace(observation=observation, rules=None, subgoals=None)
    return Environment(reset, step, spec, _rendered(env))


def _with_zero(space: Box) -> dict[str, Any]:
    return {"low": np.minimum(space.low, 0), "high": np.maximum(space.high, 0)}


class TrialState(NamedTuple):
    """State of `trial`."""

    inner: Any
    ended: Array  # int32, episodes of this trial that have ended


def trial(env: Environment, episodes: int) -> Environment:
    """Several episodes as one, whose observation tells what was done and what came of it: the setting of RL².

    Duan et al. (2016), "RL²: Fast Reinforcement Learning via Slow Reinforcement Learning"; Wang et al. (2016),
    "Learning to reinforcement learn". A recurrent agent learns across the episodes of a trial, because its memory is
    reset at the FIRST of the trial only.

    The end of an episode within a trial is a MID row with discount 1, so that what is learned in one episode is valued
    by what it brings in the next, whether it terminated or was cut. The row after it opens the next episode, with
    reward 0 and, as everywhere, an action that was ignored. The last episode ends the trial: LAST, with discount 0,
    since a trial has no more than `episodes` of them, whichever way the last one ended.

    What stays the same throughout a trial (which task it is) has to be kept by the environment over its own resets.

    Args:
      env: any environment.
      episodes: per trial, at least 1.

    Returns:
      An environment whose observation is a dict: the entries of the inner one if that is a dict, else `observation`;
      and `last_action` (one-hot if Discrete, else floats, and 0 where an episode starts), `last_reward` [1] and
      `new_episode` [1].
      `flatten` makes a vector of it. `spec.time_limit` is the greatest length of a trial, if episodes have one.

    Raises:
      ValueError: for fewer episodes.
    """
    if episodes < 1:
        raise ValueError(f"trial: episodes must be at least 1, got {episodes}")
    actions, inside = env.spec.action, env.spec.observation

    def told(observation: Tree, action: Array, reward: Array, opens: Array) -> dict[str, Any]:
        own = observation if isinstance(observation, dict) else {"observation": observation}
        told_reward, told_opens = jnp.reshape(reward, (1,)), jnp.reshape(opens, (1,)).astype(jnp.float32)
        return {**own, "last_action": action, "last_reward": told_reward, "new_episode": told_opens}

    def encoded(action: Any) -> Any:
        return jax.nn.one_hot(action, actions.num) if isinstance(actions, Discrete) else action.astype(jnp.float32)

    def reset(key: Key) -> tuple[TrialState, TimeStep]:
        inner, timestep = env.reset(key)
        nothing = jnp.zeros((actions.num,) if isinstance(actions, Discrete) else actions.shape, jnp.float32)
        observation = told(timestep.observation, nothing, timestep.reward, jnp.bool_(True))
        return TrialState(inner, jnp.int32(0)), timestep._replace(observation=observation)

    def step(state: TrialState, action: Array) -> tuple[TrialState, TimeStep]:
        inner, timestep = env.step(state.inner, action)
        opens = timestep.first()
        restarts = opens & (state.ended == episodes)
        ended = jnp.where(restarts, 0, state.ended) + timestep.last()
        over = timestep.last() & (ended == episodes)
        timestep = TimeStep(
            step_type=jnp.where(restarts, FIRST, jnp.where(over, LAST, MID)).astype(jnp.int8),
            reward=timestep.reward,
            discount=jnp.where(over, 0.0, jnp.where(timestep.last(), 1.0, timestep.discount)),
            observation=told(timestep.observation, jnp.where(opens, 0.0, encoded(action)), timestep.reward, opens),
        )
        return TrialState(inner, ended), timestep

    own = inside if isinstance(inside, dict) else {"observation": inside}
    shape = (actions.num,) if isinstance(actions, Discrete) else actions.shape
    if isinstance(actions, Box):
        last_action = Box(shape, **_with_zero(actions))
    else:
        last_action = Box(shape, 0.0, 1.0 if isinstance(actions, Discrete) else np.array(actions.nums) - 1.0)
    observation = {**own, "last_action": last_action, "last_reward": Box((1,)), "new_episode": Box((1,), 0.0, 1.0)}
    limit = env.spec.time_limit
    spec = env.spec._replace(
        observation=observation, time_limit=limit and episodes * (limit + 1) - 1, rules=None, subgoals=None
    )
    return Environment(reset, step, spec, _rendered(env))
