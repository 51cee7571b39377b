"""What every in-graph environment promises, checked over random play in several lanes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import FIRST, LAST, MID, TimeStep
from envs import keys
from envs.base import Discrete, Environment, Space


class Play(NamedTuple):
    timestep: TimeStep  # numpy, [T+1, B]
    action: Any  # numpy [T, B]: action t was sent between rows t and t+1
    state: Any  # of the last row


def sample(space: Space, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random elements of a space, `[*shape, *space.shape]`; numpy, because drawing them in jax has to be compiled."""
    rng = np.random.default_rng(seed)
    if isinstance(space, Discrete):
        return rng.integers(space.num, size=shape, dtype=np.int32)
    low, high = np.maximum(space.low, -3.0), np.minimum(space.high, 3.0)
    return rng.uniform(low, high, (*shape, *space.shape)).astype(space.dtype)


def play(env: Environment, steps: int = 200, lanes: int = 4, seed: int = 0, policy: Any = None) -> Play:
    """Plays random actions, or `policy(timestep[B])`, in one compilation.

    Nearly all the time goes into compiling, so little is optimised.
    """

    @jax.jit
    def unroll(lane_keys: jax.Array, actions: jax.Array) -> Any:
        def body(carry: Any, action: jax.Array) -> Any:
            state, timestep = carry
            action = action if policy is None else policy(timestep)
            state, timestep = jax.vmap(env.step)(state, action)
            return (state, timestep), (timestep, action)

        opening = jax.vmap(env.reset)(lane_keys)
        (state, _), rest = jax.lax.scan(body, opening, actions)
        return state, opening[1], rest

    lane_keys = jax.random.split(keys.key(seed), lanes)
    state, *rows = unroll(lane_keys, sample(env.spec.action, (steps, lanes), seed))
    opening, (timesteps, actions) = jax.tree.map(np.asarray, rows)
    return Play(jax.tree.map(lambda x, xs: np.concatenate([x[None], xs]), opening, timesteps), actions, state)


def check_environment(env: Environment, steps: int = 150, lanes: int = 3, ends: bool = True) -> Play:
    """Asserts the contract of `envs.base.Environment` and returns what was played.

    Args:
      env: what to check.
      steps: of random play.
      lanes: side by side.
      ends: whether some episode must end within `steps`.
    """
    _check_types(env)
    played = play(env, steps, lanes)
    kind, reward, discount, observation = played.timestep
    assert np.isin(kind, (FIRST, MID, LAST)).all()
    assert (kind[0] == FIRST).all()
    assert ((kind[:-1] == LAST) == (kind[1:] == FIRST)).all(), "FIRST follows LAST, and nothing else"
    assert (reward[kind == FIRST] == 0).all()
    assert (discount[kind == FIRST] == 1).all()
    assert ((discount >= 0) & (discount <= 1)).all()
    assert (discount[kind == MID] == 1).all()
    assert np.isfinite(reward).all()
    assert not ends or (kind == LAST).any(), "no episode ended"
    _check_lengths(env, kind)
    for space, x in zip(_spaces(env.spec.observation), jax.tree.leaves(observation), strict=True):
        assert x.shape[2:] == tuple(space.shape)
        if isinstance(space, Discrete):
            assert ((x >= 0) & (x < space.num)).all()
        else:
            assert np.isfinite(x).all()
    return played


def _spaces(tree: Any) -> list[Space]:
    return jax.tree.leaves(tree, is_leaf=lambda x: isinstance(x, Space))


def _check_types(env: Environment) -> None:
    """Types and shapes, without compiling: of one lane, of typed and raw keys, before and after a step."""
    example = jnp.zeros(env.spec.action.shape, env.spec.action.dtype)
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        state, timestep = jax.eval_shape(env.reset, key)
        next_state, next_timestep = jax.eval_shape(env.step, state, example)
        before, after = (jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (state, next_state))
        assert before == after, "the state must keep its types"
        for tree in (state, next_state, timestep, next_timestep):
            assert not any(x.weak_type for x in jax.tree.leaves(tree)), "weak types make a scan compile twice"
        for row in (timestep, next_timestep):
            assert (row.step_type.shape, row.step_type.dtype) == ((), jnp.int8)
            assert (row.reward.shape, row.reward.dtype) == ((), jnp.float32)
            assert (row.discount.shape, row.discount.dtype) == ((), jnp.float32)
            spaces, leaves = _spaces(env.spec.observation), jax.tree.leaves(row.observation)
            assert [(tuple(s.shape), np.dtype(s.dtype)) for s in spaces] == [(x.shape, x.dtype) for x in leaves]


def _check_lengths(env: Environment, kind: np.ndarray) -> None:
    """No episode takes more steps than the time limit."""
    if env.spec.time_limit is None:
        return
    since = np.zeros(kind.shape[1], int)
    for row in kind[1:]:
        since = np.where(row == FIRST, 0, since + 1)
        assert (since <= env.spec.time_limit).all()
