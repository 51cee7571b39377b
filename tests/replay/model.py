"""Plain numpy histories that replays are tested against: every row knows its lane and its time."""

from typing import Any, NamedTuple

import jax
import numpy as np
from hypothesis import strategies as st

from agents.base import FIRST, LAST, MID, Step, TimeStep

FRAMES = 4
TERMINATED, TRUNCATED, INTERRUPTED = 0, 1, 2

# Per lane: (transitions in the episode, how it ends), repeated for as long as rows are needed. An interrupted episode
# has no LAST row; one of no transitions and no end is a lone FIRST.
episodes = st.lists(st.tuples(st.integers(1, 7), st.sampled_from([TERMINATED, TRUNCATED, INTERRUPTED])), min_size=1)


class Row(NamedTuple):
    step_type: int
    discount: float
    opened: int  # time of the FIRST row of its episode


def lane_rows(pattern: list[tuple[int, int]], total: int) -> list[Row]:
    """The first `total` rows of a lane that plays the episodes of `pattern` over and over."""
    rows: list[Row] = []
    while len(rows) < total:
        for transitions, end in pattern:
            opened = len(rows)
            rows.append(Row(FIRST, 1.0, opened))
            rows.extend(Row(MID, 1.0, opened) for _ in range(transitions - 1))
            if end != INTERRUPTED:
                rows.append(Row(LAST, float(end == TRUNCATED), opened))
    return rows[:total]


def frame(t: int, lane: int) -> np.ndarray:
    """An image [2, 2, 2] of its own for each row."""
    return (
        np.array([lane, t, t // 2, 255 - t, lane + 100, t + 50, 7, 3 * t], np.int64).astype(np.uint8).reshape(2, 2, 2)
    )


def history(patterns: list[list[tuple[int, int]]], total: int, frames: int = 1) -> Step:
    """What an agent adds: leaves [total, B, ...], images stacked over the episode as envpool stacks them."""
    lanes = [lane_rows(pattern, total) for pattern in patterns]

    def table(f: Any, dtype: Any) -> np.ndarray:
        return np.array([[f(t, b, lanes[b][t]) for b in range(len(lanes))] for t in range(total)], dtype)

    def stack(t: int, b: int, row: Row) -> np.ndarray:
        return np.concatenate([frame(max(t - j, row.opened), b) for j in reversed(range(frames))], axis=-1)

    observation = {"vector": table(lambda t, b, _: [t, b, t * b], np.float32), "image": table(stack, np.uint8)}
    reward = table(lambda t, b, row: 0.0 if row.step_type == FIRST else np.sin(t + 10 * b), np.float32)
    timestep = TimeStep(
        step_type=table(lambda t, b, row: row.step_type, np.int8),
        reward=reward,
        discount=table(lambda t, b, row: row.discount, np.float32),
        observation=observation,
    )
    action = table(lambda t, b, _: 1000 * b + t, np.int32)
    return Step(timestep, action, {"log_prob": -reward})


def rows(steps: Step, start: int, stop: int) -> Step:
    """Rows `start, ..., stop - 1` of a history."""
    return jax.tree.map(lambda x: x[start:stop], steps)


def assert_windows(steps: Step, drawn: Step, length: int) -> set[tuple[int, int]]:
    """Every sampled window is a run of consecutive rows of one lane of `steps`, leaf by leaf, bit by bit.

    Returns:
      The starts that were drawn, as (time, lane).
    """
    first = np.asarray(drawn.action)[0]
    lane, time = first // 1000, first % 1000
    span = time[None] + np.arange(length + 1)[:, None]

    def same(stored: np.ndarray, got: jax.Array) -> None:
        assert stored.dtype == got.dtype
        np.testing.assert_array_equal(stored[span, lane[None]], np.asarray(got))

    jax.tree.map(same, steps, drawn)
    return set(zip(time.tolist(), lane.tolist(), strict=True))


class Prioritised:
    """What `replay.prioritised` must do, as a dictionary: windows (time, lane) that may be drawn -> their priority."""

    def __init__(
        self,
        steps: Step,
        rows: int,
        length: int,
        frames: int = 1,
        stride: int = 1,
        episodes: bool = False,
        single: bool = False,
    ) -> None:
        self.step_type = np.asarray(steps.timestep.step_type)
        self.rows, self.length, self.frames = rows // stride * stride, length, frames
        self.stride, self.episodes, self.single = stride, episodes, single or length == 1
        self.total, self.largest, self.priority = 0, np.float32(1), dict[tuple[int, int], np.float32]()

    def starts(self) -> set[tuple[int, int]]:
        """The windows that may be drawn by now, out of a list of the last rows of each lane."""
        held = list(range(self.total))[-self.rows :]
        if len(held) == self.rows:
            held = held[self.frames - 1 :]
        return {
            (t, b)
            for t in held
            for b in range(self.step_type.shape[1])
            if t + self.length < self.total and t % self.stride == 0
            if not self.episodes or self.step_type[t, b] == FIRST
            if not self.single or self.step_type[t + 1, b] != FIRST
        }

    def add(self, rows: int) -> None:
        """Appends rows: new windows have the largest priority seen."""
        self.total += rows
        self.priority = {at: self.priority.get(at, self.largest) for at in self.starts()}

    def feedback(self, priorities: dict[tuple[int, int], float]) -> None:
        """New priorities, of which those that make no sense are ignored."""
        for at, p in priorities.items():
            if at in self.priority and np.isfinite(p) and p >= 0:
                self.priority[at] = np.float32(p)
                self.largest = max(self.largest, np.float32(p))

    def probabilities(self, alpha: float, epsilon: float, mix: float, rank: bool) -> dict[tuple[int, int], float]:
        """P of every window, in float64."""
        at = list(self.priority)
        p = np.array([self.priority[i] for i in at], np.float64) + epsilon
        if rank:  # those that share the leading 15 bits of a float32 share their ranks
            bucket = p.astype(np.float32).view(np.int32) >> 17
            order = np.argsort(-bucket, kind="stable")
            each = (1.0 + np.arange(len(at))) ** -alpha
            p = np.array([np.mean(each[bucket[order] == b]) for b in bucket])
        else:
            p = p**alpha
        return dict(zip(at, (1 - mix) * p / p.sum() + mix / len(at), strict=True))
