"""What the simulators outside the graph share, and an in-graph task driven like one of them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs import keys
from envs.base import Environment, HostEnvironment, Key, Pool, TimeStep

LANES = 4096  # seeds set aside for the lanes of one run


class TaskError(RuntimeError):
    """A fault in a task's own code, as opposed to a refusal of what a user asked for: it keeps its traceback."""


@contextmanager
def calling(name: str, call: str) -> Iterator[None]:
    """Names the task and the call in an error that its code raises inside.

    Args:
      name: of the task.
      call: such as "step".

    Raises:
      TaskError: from the error.
    """
    try:
        yield
    except TaskError:
        raise
    except Exception as error:
        raise TaskError(f"{name}: its {call} raised {type(error).__name__}: {error}") from error


def run_seeds(seed: int | Sequence[int], num_envs: int) -> tuple[list[int], int]:
    """The seeds of the runs that share a pool, and the lanes of each.

    Raises:
      ValueError: `num_envs` is less than 1, a seed is negative, or the lanes cannot be dealt out evenly.
    """
    seeds = [int(s) for s in ([seed] if isinstance(seed, int | np.integer) else seed)]
    if num_envs < 1:
        raise ValueError(f"num_envs is {num_envs}; allowed: 1 or more")
    if min(seeds, default=-1) < 0:
        raise ValueError(f"seed is {seed}; allowed: 0 or more, or a sequence of such numbers")
    if num_envs % len(seeds):
        raise ValueError(f"num_envs is {num_envs}; allowed: a multiple of {len(seeds)}, the number of seeds")
    return seeds, num_envs // len(seeds)


def lane_seeds(seed: int | Sequence[int], num_envs: int) -> np.ndarray:
    """Seeds of the lanes of one pool, `uint32[num_envs]`, an equal block for each run.

    Runs with different seeds share no lane while `seed < 2**20` and a run has at most 4096 of them; beyond that a
    coincidence is as unlikely as one between random 32-bit numbers.

    Raises:
      ValueError: see `run_seeds`.
    """
    seeds, lanes = run_seeds(seed, num_envs)
    # Lanes beyond those set aside differ in the upper word, since the lower one belongs to the next seeds.
    numbers = [s * LANES + lane % LANES + (lane // LANES << 32) for s in seeds for lane in range(lanes)]
    return np.array([_folded(n) for n in numbers], np.uint32)


def _folded(n: int) -> int:
    """32 bits of a number, which are its own where they suffice."""
    return (n ^ (n >> 32) * 0x9E3779B1) & 0xFFFFFFFF


def narrowed(dtype: Any, low: Any = -np.inf, high: Any = np.inf) -> Any:
    """The dtype in which an observation reaches the agent.

    uint8, int32 and float32 stay; other floats and booleans become float32. Other integers become int32, or, if by
    their dtype and bounds they may lie beyond it, float32, which keeps their leading 24 bits and does not wrap.
    """
    dtype = np.dtype(dtype)
    if dtype == np.uint8:
        return np.uint8
    if dtype.kind not in "iu":
        return np.float32
    own, narrow = np.iinfo(dtype), np.iinfo(np.int32)
    if not np.size(low) or not np.size(high):
        return np.int32
    least, most = max(np.min(low).item(), own.min), min(np.max(high).item(), own.max)
    return np.int32 if narrow.min <= least and most <= narrow.max else np.float32


def finite_or_inf(bound: Any, dtype: Any) -> Any:
    """A bound of a Box in `dtype`, where simulators mean "none" by the smallest or largest float or 64-bit integer."""
    whole, bound = np.asarray(bound).dtype.kind in "iu", np.asarray(bound, np.float64)
    if np.dtype(dtype).kind != "f":
        return bound.astype(dtype)
    if whole:
        return np.where(np.abs(bound) >= 2.0**62, np.copysign(np.inf, bound), bound).astype(dtype)
    # The "smallest" is std::numeric_limits::min(), a positive number next to 0, in place of the lowest.
    bound = np.where((bound > 0) & (bound < 1e-37), -np.inf, bound)
    return np.where(np.abs(bound) > 1e37, np.copysign(np.inf, bound), bound).astype(dtype)


def unknown(what: str, name: str, known: Iterable[str]) -> ValueError:
    """The answer to a name that nobody knows: the closest ones."""
    near = get_close_matches(name, list(known), n=5, cutoff=0.5)
    return ValueError(f"unknown {what} {name!r}" + (f"; closest: {', '.join(near)}" if near else ""))


def joined(pools: Sequence[Pool]) -> Pool:
    """Several pools of one task as one, lanes in order; for simulators that seed all their lanes by one number."""
    ends = np.cumsum([pool.num_envs for pool in pools])

    def together(rows: Sequence[TimeStep]) -> TimeStep:
        return jax.tree.map(lambda *xs: np.concatenate(xs), *rows)

    def send(actions: Any) -> None:
        for pool, block in zip(pools, np.split(np.asarray(actions), ends[:-1]), strict=True):
            pool.send(block)

    def close() -> None:
        for pool in pools:
            pool.close()

    return Pool(
        num_envs=int(ends[-1]),
        reset=lambda: together([pool.reset() for pool in pools]),
        send=send,
        recv=lambda: together([pool.recv() for pool in pools]),
        spec=pools[0].spec,
        close=close,
        frame=pools[0].frame,
    )


def lane_keys(seed: int | Sequence[int] | Key, num_envs: int) -> Key:
    """Reset keys of the lanes, `[num_envs]`, as the in-graph loop deals them from the key of each run.

    Args:
      seed: a number or a number per run; or one typed key, or typed keys `[num_envs]`, which are taken as they are.
      num_envs: how many.

    Raises:
      ValueError: keys of another shape or kind; bad numbers, see `run_seeds`.
    """
    if isinstance(seed, jax.Array):
        if not jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) or seed.shape not in ((), (num_envs,)):
            raise ValueError(f"seed is {seed.dtype}{list(seed.shape)}; allowed: typed keys, [] or [{num_envs}]")
        dealt = jax.random.split(seed, num_envs) if seed.shape == () else seed
        return keys.unrolled(dealt)
    seeds, lanes = run_seeds(seed, num_envs)
    return jnp.concatenate([jax.random.split(keys.key(s), lanes) for s in seeds])


def pool_of(env: Environment) -> HostEnvironment:
    """Lanes of an in-graph task behind the interface of a simulator, jitted.

    Lanes match those of `jax.vmap(env.reset)(jax.random.split(key, num_envs))` bit for bit, where `key` is
    `jax.random.key(seed)`; the pool also takes a typed key, or one key per lane, in place of the seed. `reset()` starts
    the same episodes each time. Keys are the quick ones of `envs.keys` either way.
    """
    reset = jax.jit(jax.vmap(env.reset))
    step = jax.jit(jax.vmap(env.step))
    render = env.render
    draw = jax.jit(lambda state: render(jax.tree.map(lambda x: x[0], state))) if render else None

    def pool(num_envs: int, seed: int | Sequence[int] | Key) -> Pool:
        dealt = lane_keys(seed, num_envs)
        now: list[Any] = [None, None]  # state and TimeStep of the lanes

        def restart() -> Any:
            now[:] = reset(dealt)
            return jax.device_get(now[1])

        def send(actions: Any) -> None:
            now[:] = step(now[0], actions)

        return Pool(
            num_envs=num_envs,
            reset=restart,
            send=send,
            recv=lambda: jax.device_get(now[1]),
            spec=env.spec,
            close=lambda: None,
            frame=(lambda: np.asarray(draw(now[0]))) if draw else None,
        )

    return HostEnvironment(pool, env.spec)
