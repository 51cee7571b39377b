"""An actor that learns: it plays in lanes of its own, keeps a replay of its own, and sends gradients."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array, Key, Step, Tree
from envs import keys as run_keys
from envs.base import blank
from experiments.drivers import base, devices, told
from experiments.drivers.lanes import Lanes, ended, judged, key_of
from experiments.drivers.slopes import gradient, needed

if TYPE_CHECKING:
    from envs.base import Spec
    from experiments.drivers.contract import Make

SPAN = 0.01
"""Least weight of a new batch in the running mean and variance of errors that outliers are told by. Outliers count as
well, so that errors which stay large are usual in the end."""


class Gradient(NamedTuple):
    """What an actor that learns sends; numpy only."""

    gradient: Any
    metrics: dict[str, float]
    finished: tuple[float, float, float]
    """As in `collecting.Message`."""
    version: int


class Grader(NamedTuple):
    """An actor that learns."""

    fill: Callable[[Any, np.ndarray], tuple[float, float, float]]
    """`(shipped, words of keys [W, 2])`: plays unrolls of which nothing is learned yet; the episodes that ended."""
    grade: Callable[[Any, int, np.ndarray, np.ndarray, bool], Gradient]
    """`(shipped, version, words of the playing and of the learning key, whether to play)`: an unroll where it is time
    for one, and the gradient at the parameters shipped, which are the pair of what acting needs and of the leaves
    of the agent's state that `needed` names."""
    evaluate: Callable[[Any, np.ndarray, int], dict[str, np.ndarray]]
    close: Callable[[], None]


def grader(
    lanes: Lanes, make: "Make", spec: "Spec", *, actor: int, actors: int, num_envs: int,
    outliers: float, warmup: int, device: jax.Device | None = None,
) -> Grader:  # fmt: skip
    """An actor that learns in the given lanes.

    Args:
      lanes: that it plays in.
      make: hyper-parameters of one run -> its parts.
      spec: the task.
      actor: which one it is.
      actors: of how many.
      num_envs: its lanes.
      outliers: standard deviations above the running mean of batches' errors from which a batch's gradient is 0; 0 for
        never.
      warmup: unrolls before it learns, if it was not told to play them.
      device: where it computes; by default the first.
    """
    lay = devices.layout(1, devices=[device] if device else jax.devices()[:1])
    mapped = partial(devices.mapped, lay)
    whole = told.completed(told.state_of(make, spec), needed(make({"run": 0}), spec, num_envs))

    def begin(key: Key) -> Tree:
        parts = make({"run": 0})
        timestep = jax.tree.map(jnp.asarray, blank(spec, num_envs))
        return base.begin_run(parts.agent, parts.replay, key, timestep).replay

    def add(storage: Tree, rows: Step) -> Tree:
        return make({"run": 0}).replay.add(storage, rows)

    def grade(
        storage: Tree, leaves: list[Array], key: Key, level: tuple[Array, Array, Array]
    ) -> tuple[Tree, Tree, tuple[Array, Array, Array], dict[str, Array]]:
        (agent, replay, _), state = make({"run": 0}), whole(leaves)
        k_sample, k_update = run_keys.split(key)
        sample = replay.sample(storage, jax.random.fold_in(k_sample, actor) if actors > 1 else k_sample)
        slope, info = gradient(agent, state, k_update, sample)
        if outliers:
            # Of the batch, as in the paper: from single windows with a large error there is most to learn.
            mean, variance, count = level
            off = jnp.mean(info.priority) - mean
            usual = (count < 2) | (off <= outliers * jnp.sqrt(variance))
            slope = jax.tree.map(lambda x: jnp.where(usual, x, 0.0), slope)
            share = jnp.maximum(SPAN, 1 / (count + 1))
            level = (mean + share * off, (1 - share) * (variance + share * off**2), count + 1)
        return slope, replay.feedback(storage, sample.index, info), level, dict(info.metrics)

    begin_all, add_all = mapped(begin, in_axes=(0,)), mapped(add, in_axes=(0, 0), donate=(0,))
    grade_all = mapped(grade, in_axes=(0,) * 4, donate=(0,))
    zero = np.zeros((1, 1), np.float32)
    now: dict[str, Any] = {"replay": begin_all(devices.place(lay, run_keys.key(np.arange(1)))), "level": (zero,) * 3}
    now["filled"] = warmup == 0

    def play(actor_state: Tree, words: np.ndarray) -> np.ndarray:
        key = key_of(words)
        rows, live = lanes.play(actor_state, jax.random.fold_in(key, actor) if actors > 1 else key)
        now["replay"] = add_all(now["replay"], rows)
        return np.array(ended(live))

    def fill(shipped: tuple[Tree, list[Array]], words: np.ndarray) -> tuple[float, float, float]:
        over = np.sum([play(shipped[0], each) for each in words], axis=0)
        now["filled"] = True
        return tuple(over.tolist())

    def graded(
        shipped: tuple[Tree, list[Array]], version: int, playing: np.ndarray, learning: np.ndarray, due: bool
    ) -> Gradient:
        over = np.zeros(3)
        if not now["filled"]:
            again = np.array([jax.random.key_data(jax.random.fold_in(key_of(playing), i + 1)) for i in range(warmup)])
            over += fill(shipped, again)
        if due:
            over += play(shipped[0], playing)
        slope, now["replay"], now["level"], metrics = grade_all(
            now["replay"], shipped[1], key_of(learning)[None, None], now["level"]
        )
        numbers = {name: float(np.asarray(x)[0, 0]) for name, x in metrics.items()}
        a, b, c = over.tolist()
        return Gradient(jax.tree.map(lambda x: np.array(x)[0, 0], slope), numbers, (a, b, c), version)

    def evaluate(shipped: tuple[Tree, list[Array]], words: np.ndarray, episodes: int) -> dict[str, np.ndarray]:
        del episodes  # as many as the lanes were made for
        return judged(lanes, shipped, words)

    return Grader(fill, graded, evaluate, lanes.close)
