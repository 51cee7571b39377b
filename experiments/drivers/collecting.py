"""What an actor of the distributed driver does: it plays with the parameters that it is given, and sends what it saw.

It holds lanes and nothing else that matters: keys come with each request, so that an actor which is lost can be made
anew. Its first row is then a FIRST one, and losses mask the seam.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array, Key, Step, Tree
from envs.base import Environment, HostEnvironment
from experiments.drivers import devices, told
from experiments.drivers.devices import Layout
from experiments.drivers.lanes import ended, judged, key_of, lanes

if TYPE_CHECKING:
    from envs.base import Spec
    from experiments.drivers.contract import Make


class Message(NamedTuple):
    """What an actor sends; numpy only."""

    rows: Step
    """`[T, B]`, or `[T+1, B]` where the replay wants a peek, of the actor's lanes; packed where the replay can."""
    priority: Any
    """`[n]` of the windows that become complete with these rows, NaN of those that the actor did not see whole; None if
    it was not asked."""
    finished: tuple[float, float, float]
    """Number of the episodes that ended, and the sums of their returns and lengths."""
    version: int
    """Of the parameters that it acted with."""


class Collector(NamedTuple):
    """An actor."""

    collect: Callable[[Any, int, np.ndarray, int], Message]
    """`(shipped, version, words of a key, repeat)`: one unroll in every lane. `shipped` is the pair of what acting
    needs and of the leaves of the agent's state that `told.needed` names; `repeat` counts earlier requests with that
    key."""
    evaluate: Callable[[Any, np.ndarray, int], dict[str, np.ndarray]]
    """`(shipped, words of a key, episodes)`: greedy episodes, `[1, episodes]` each."""
    close: Callable[[], None]


def collector(
    env: Environment | HostEnvironment,
    make: "Make",
    *,
    actor: int,
    actors: int,
    priorities: bool = False,
    device: jax.Device | None = None,
    **numbers: Any,
) -> Collector:
    """An actor, with lanes of its own.

    Args:
      env: the task.
      make: hyper-parameters of one run -> its parts.
      actor: which one it is.
      actors: of how many.
      priorities: whether it tells with what priorities the windows of its rows enter the replay.
      device: where it computes; by default the first.
      **numbers: `generation`, how often the run or this actor began before; `seed` of the run; `num_envs`, its lanes;
        `eval_episodes` that it plays in an evaluation; and `evaluation_env`, the task of those, where it is not `env`.
    """
    own = lanes(env, make, actor=actor, actors=actors, device=device, **numbers)
    lay = devices.layout(1, devices=[device] if device else jax.devices()[:1])
    tell = _priorities(make, lay, env.spec) if priorities else None
    pack = make({"run": 0}).replay.pack

    def key_for(key: Key, repeat: Array | int) -> Key:
        mine = jax.random.fold_in(key, actor) if actors > 1 else key
        return jnp.where(repeat > 0, jax.random.fold_in(mine, repeat), mine)

    to_key = jax.jit(key_for)

    def collect(shipped: tuple[Tree, list[Array]], version: int, words: np.ndarray, repeat: int) -> Message:
        playing, learned = shipped
        key = to_key(key_of(words), repeat)
        rows, live = own.play(playing, key)
        # Copies: what they are views of is overwritten by the next unroll.
        rows = jax.tree.map(lambda x: np.array(x)[0, 0], rows)
        priority = tell(learned, rows, key) if tell else None
        if pack is not None:
            rows = jax.tree.map(np.ascontiguousarray, pack(rows))
        return Message(rows, priority, ended(live), version)

    def evaluate(shipped: tuple[Tree, list[Array]], words: np.ndarray, episodes: int) -> dict[str, np.ndarray]:
        del episodes  # as many as it was made for
        return judged(own, shipped, words)

    return Collector(collect, evaluate, own.close)


def _priorities(make: "Make", lay: Layout, spec: "Spec") -> Callable[[list[Array], Step, Key], np.ndarray]:
    """What an actor says of the windows of its rows: `(leaves of the agent's state, rows, key) -> [n]`."""
    replay = make({"run": 0}).replay
    of_windows = devices.mapped(lay, told.priorities(make, spec), in_axes=(0,) * 3)
    before: list[Any] = [None, 0]  # the rows that windows may have begun in, and how many of them the actor has seen

    def tell(leaves: list[Array], rows: Step, key: Key) -> np.ndarray:
        new, tail = rows.timestep.step_type.shape[0], replay.minimum - 1
        if before[0] is None:
            before[0] = jax.tree.map(lambda x: np.zeros((tail, *x.shape[1:]), x.dtype), rows)
        joined = jax.tree.map(lambda x, y: np.concatenate([x, y]), before[0], rows)
        found = of_windows(leaves, jax.tree.map(lambda x: x[None, None], joined), key[None, None])
        priority = np.array(found)[0, 0]
        lanes = rows.timestep.step_type.shape[1]
        stride = new * lanes // priority.size
        begin = np.repeat(tail % stride + np.arange(0, new, stride), lanes)
        priority[begin < tail - before[1]] = np.nan
        before[:] = jax.tree.map(lambda x: x[len(x) - tail :], joined), min(tail, before[1] + new)
        return priority

    return tell
