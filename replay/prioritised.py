"""Prioritised experience replay, proportional and rank-based.

Schaul, Quan, Antonoglou and Silver, "Prioritized Experience Replay", ICLR 2016. Window i of n is drawn with probability

    P(i) = p_i^α / Σ_k p_k^α,      p_i = |δ_i| + ε  (proportional)   or   p_i = 1 / rank(i)  (by |δ_i|, largest first)

and counts by its importance weight w_i = (n P(i))^-β / max_j w_j. Draws are stratified: the cumulative mass is cut into
as many equal parts as the batch has windows, and each part gives one. New windows enter with the largest |δ| seen, or
with one that what acting stored tells (`initial`), or that whoever adds them tells.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs import parallel
from envs.base import FIRST, Array, Key
from replay import ranks, ring, sum_tree, windows
from replay.base import Info, Replay, Sample, Step
from replay.ring import Index, Ring

# Of a leaf in use: 0 is a window that may not be drawn, and 2^31 leaves must have a sum.
SMALLEST, LARGEST = 1e-30, 1e28


class State(NamedTuple):
    """The rows, and by how much the windows that begin at them are drawn."""

    ring: Ring
    tree: sum_tree.Tree  # a leaf for each window, lanes next to each other; if rank-based, the lowest level alone
    even: sum_tree.Tree  # 1 for each window that may be drawn; () unless some are drawn uniformly
    largest: Array  # float32, the largest priority seen, at least 1
    learnt: Array  # int32, samples learnt from


def prioritised(
    capacity: int,
    batch_size: int,
    length: int = 1,
    frames: int = 1,
    *,
    alpha: float | Array = 0.6,
    beta: float | Array | Callable[[Array], Any] = 0.4,
    epsilon: float | Array = 1e-6,
    mix: float | Array = 0.0,
    rank: bool = False,
    stride: int = 1,
    episodes: bool = False,
    single: bool = False,
    initial: Callable[[Step], Array] | None = None,
) -> Replay:
    """The ring and the windows of `replay.uniform`, drawn by priority.

    A window can be drawn once all its rows are there, and no longer when one of them is overwritten. `Sample.weight` is
    w `[N]`, divided by its maximum over the batch (over all devices' batches, in a data-parallel run) as in DQN Zoo and
    Dopamine, and not by that of the whole replay as in OpenAI Baselines; so n cancels. `feedback` takes
    `Info.priority`, |δ| `[N]` before any exponent; None leaves the priorities as they are, and so does an entry that is
    negative or not finite. While no window can be drawn (see `episodes`) weights are 0.

    Where a window is one transition to learn from (`length` is 1, or `single`), those whose first transition leads into
    a FIRST row, and so joins two episodes, are never drawn: nothing is learned from them, and with priorities near 0
    they would be the ones by which all weights of a batch are divided. Longer windows may run over such a row.

    The rank-based variant ranks all windows for each sample, O(n), and takes priorities within 1.6 % of each other for
    equal (`replay.ranks`); the proportional one takes O(log n) for each window drawn.

    Args:
      capacity: rows held; each of B lanes gets `capacity // B`.
      batch_size: windows per sample, N.
      length: transitions per window, T: `sample` gives `steps[T + 1, N]`.
      frames: frames in a stacked image; 1 stores images as they come.
      alpha: α, how much priorities matter; 0 draws uniformly.
      beta: β, how much of the bias the weights take back, or a schedule of it over samples (calls of `feedback`).
      epsilon: ε.
      mix: probability with which each draw is uniform instead, as in DQN Zoo; the weights know of it.
      rank: rank-based; else proportional.
      stride: windows begin only at every `stride`-th row of a lane, as the overlapping sequences of R2D2 do.
      episodes: windows begin only at FIRST rows, as in the sequential updates of DRQN. The ring should be long enough
        to hold one.
      single: whether all that is learned from a longer window is its first transition, as with `replay.n_step`.
      initial: `(steps[T + 1, n]) -> [n]`, the priority with which windows enter, from their rows without observations
        and carries, such as `agents.r2d2.acting_priority`; where it is negative or not finite, and by default, it is
        the largest seen.

    Raises:
      ValueError: if an argument is out of range, or `episodes` has a `stride`; from `init` and `add`, as
        `replay.uniform`; from `add`, if it is told priorities of another number of windows.
    """
    windows.check(capacity, batch_size=batch_size, length=length, frames=frames, stride=stride)
    for name, value, most in (("alpha", alpha, math.inf), ("beta", beta, math.inf), ("epsilon", epsilon, math.inf)):
        _check_number(name, value, most)
    _check_number("mix", mix, 1)
    if episodes and stride > 1:
        raise ValueError(f"stride is {stride}; windows that begin with episodes take stride = 1")
    mixing = not isinstance(mix, int | float) or mix > 0

    def leaf_of(priority: Array) -> Array:
        p = jnp.asarray(priority, jnp.float32) + epsilon
        return jnp.clip(p if rank else p**alpha, SMALLEST, LARGEST)

    def init(step: Step, groups: int = 1) -> State:
        storage = windows.empty(step, capacity, length, frames, stride, groups)
        tree = sum_tree.init(storage.length // stride * storage.lanes)
        even = tree if mixing and not rank else ()
        return State(storage, tree[:1] if rank else tree, even, jnp.float32(1), jnp.int32(0))

    def add(state: State, steps: Step, group: Any = 0, priority: Any = None) -> State:
        whole = windows.write(state.ring, steps, frames, group)
        storage, lane = ring.alone(whole, group)
        (new, lanes), filled = steps.timestep.step_type.shape, storage.fill
        first, _ = ring.starts(storage, length, before=frames - 1)
        # Rows in age order: those whose windows became complete, those written whose windows are not, and the oldest,
        # whose frame stacks are no longer whole. No row is in two of them.
        complete, complete_in = _every(storage, filled - length - new, new, stride)
        begun, begun_in = _every(storage, filled - min(new, length), min(new, length), stride)
        stale, stale_in = _every(storage, jnp.int32(0), frames - 1, stride)
        age = jnp.concatenate([complete, begun, stale])
        within = jnp.concatenate([complete_in & (complete >= first), begun_in, stale_in & (stale < first)])
        time = ring.position(storage, age)
        leaf = time[:, None] // stride * storage.lanes + lane[None]
        leaf = jnp.where(within[:, None], leaf, -1).reshape(-1)
        opens = jnp.broadcast_to(jnp.arange(age.size)[:, None] < complete.size, (age.size, lanes))
        if episodes:
            kinds = storage.rows.timestep.step_type
            opens &= ring.read(storage, time[:, None], lane[None], kinds) == FIRST
        if single or length == 1:
            after = ring.position(storage, age + 1)
            kinds = storage.rows.timestep.step_type
            opens &= ring.read(storage, after[:, None], lane[None], kinds) != FIRST
        drawn = opens.reshape(-1).astype(jnp.float32)
        entry = jnp.broadcast_to(state.largest, leaf.shape)
        if priority is not None or initial is not None:
            told = entering(storage, initial, complete, lane) if priority is None else jnp.asarray(priority)
            if told.shape != (complete.size * lanes,):
                raise ValueError(f"priority has shape {told.shape}; {complete.size * lanes} windows become complete")
            told = jnp.where(jnp.isfinite(told) & (told >= 0), told, state.largest)
            entry = entry.at[: told.size].set(told)
        tree = sum_tree.update(state.tree, leaf, drawn * leaf_of(entry))
        even = sum_tree.update(state.even, leaf, drawn) if state.even else ()
        largest = jnp.max(jnp.where((leaf >= 0) & (drawn > 0), entry, state.largest))
        return state._replace(ring=whole, tree=tree, even=even, largest=jnp.maximum(state.largest, largest))

    def entering(storage: Ring, initial: Any, age: Array, lanes: Array) -> Array:
        """What `initial` says of windows that begin at rows `age` of `lanes`, next to each other, float32 `[n * B]`."""
        lane = jnp.tile(lanes, age.size)
        rows = jnp.repeat(age, lanes.size)[None] + jnp.arange(length + 1, dtype=jnp.int32)[:, None]
        bare = storage.rows._replace(timestep=storage.rows.timestep._replace(observation=()), carry=())
        return initial(ring.read(storage, ring.position(storage, rows), lane[None], bare)).astype(jnp.float32)

    def draw(tree: sum_tree.Tree, even: sum_tree.Tree, key: Key) -> tuple[Array, Array]:
        """Leaves and their probabilities, `[N]`."""
        k_draw, k_mix = jax.random.split(key) if mixing else (key, key)
        u = (jnp.arange(batch_size) + jax.random.uniform(k_draw, (batch_size,))) / batch_size
        total = sum_tree.total(tree)
        leaf = sum_tree.find(tree, u * total)
        if not mixing:
            return leaf, sum_tree.get(tree, leaf) / jnp.maximum(total, SMALLEST)
        count = sum_tree.total(even)
        uniform = jax.random.uniform(k_mix, (batch_size,)) < mix
        leaf = jnp.where(uniform, sum_tree.find(even, u * count), leaf)
        p, q = sum_tree.get(tree, leaf) / jnp.maximum(total, SMALLEST), sum_tree.get(even, leaf) / jnp.maximum(count, 1)
        return leaf, (1 - mix) * p + mix * q

    def draw_ranked(leaves: Array, key: Key) -> tuple[Array, Array]:
        """The same by rank."""
        even = sum_tree.build((leaves > 0).astype(jnp.float32)) if mixing else ()
        return draw(sum_tree.build(ranks.masses(leaves, alpha)), even, key)

    def sample(state: State, key: Key) -> Sample:
        if rank:
            leaf, probability = draw_ranked(state.tree[0].reshape(-1), key)
        else:
            leaf, probability = draw(state.tree, state.even, key)
        # What is drawn is made to depend on its probability, or else XLA may read that after `feedback` has written the
        # tree, for which it copies all leaves.
        leaf = jnp.where(probability >= 0, leaf, 0)
        lanes = state.ring.lanes
        time, lane = leaf // lanes * stride, leaf % lanes
        steps, index = windows.read(state.ring, ring.age_of(state.ring, time, lane), lane, length, frames)
        rate = beta(state.learnt) if callable(beta) else beta
        return Sample(steps, index, weights(probability, rate))

    def feedback(state: State, index: Index, info: Info) -> State:
        state = state._replace(learnt=state.learnt + 1)
        if info.rewrite is not None:
            state = state._replace(ring=windows.rewritten(state.ring, index, info.rewrite))
        if info.priority is None:
            return state
        priority = jnp.asarray(info.priority, jnp.float32)
        leaf = index.time // stride * state.ring.lanes + index.lane
        sound = jnp.isfinite(priority) & (priority >= 0) & (sum_tree.get(state.tree, leaf) > 0)
        priority = jnp.where(sound, priority, 0.0)
        tree = sum_tree.update(state.tree, jnp.where(sound, leaf, -1), leaf_of(priority))
        return state._replace(tree=tree, largest=jnp.maximum(state.largest, jnp.max(priority)))

    every = None if episodes else partial(windows.every, length=length, stride=stride)
    pack = partial(windows.pack, frames=frames) if frames > 1 else None
    return Replay(init, add, sample, feedback, minimum=length + 1, grouped=True, pack=pack, every=every)


def _check_number(name: str, value: Any, most: float) -> None:
    """Refuses numbers out of range; arrays may be traced, and are the caller's affair."""
    if isinstance(value, int | float) and not 0 <= value <= most:
        raise ValueError(f"{name} is {value}; it must be in [0, {most}]")


def _every(state: Ring, begin: Array, rows: int, stride: int) -> tuple[Array, Array]:
    """Of `rows` rows from age `begin` on, the ages at every `stride`-th position, and whether they are among them."""
    offset = -ring.position(state, begin) % stride + stride * jnp.arange(-(-rows // stride), dtype=jnp.int32)
    return begin + offset, offset < rows


def weights(probability: Array, beta: Any) -> Array:
    """Importance weights w `[N]` of what was drawn with probabilities P `[N]`, divided by the largest; 0 where P is."""
    drawn = probability > 0
    least = -parallel.largest(-jnp.min(jnp.where(drawn, probability, jnp.inf)))
    return jnp.where(drawn, (least / probability) ** beta, 0.0)
