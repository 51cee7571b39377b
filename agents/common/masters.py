"""Masters that choose among policies: their windows, their networks, and that of the policies that they choose from."""

from typing import Any

import jax
import jax.numpy as jnp

from agents.base import FIRST, LAST, Array, Key, Step
from networks import Categorical, Network, ensemble, view


def along(x: Array, index: Array) -> Array:
    """`x[M, B, ..., *rest]` at `index[M', B, ...]` along the first axis, `[M', B, ..., *rest]`."""
    return jnp.take_along_axis(x, index.reshape(index.shape + (1,) * (x.ndim - index.ndim)), axis=0)


def gated(network: Network, num: int) -> Network:
    """`num` networks of one kind, of which that of the choice speaks: on dicts of `observation` and `choice`.

    Args:
      network: feed-forward, observation -> tree of `[T, B, ...]`.
      num: K.
    """

    each = ensemble(network, num)

    def init(key: Key, seen: Any) -> Any:
        return each.init(key, seen["observation"])

    def apply(params: Any, key: Key | None, carry: Any, seen: Any, first: Array) -> tuple[Any, Any]:
        said, _ = each.apply(params, key, (), seen["observation"], first)
        choice = seen["choice"][None]
        return jax.tree.map(lambda x: along(x, choice)[0], said), carry

    return Network(init, apply, network.begin)


def unsure(network: Network, epsilon: float | Array) -> Network:
    """The network of a master, whose choices are random with probability ε: that is a part of its distribution.

    Args:
      network: observation -> (`Categorical`, value).
      epsilon: ε.
    """

    def mixed(output: tuple[Categorical, Array]) -> tuple[Categorical, Array]:
        policy, value = output
        p = jax.nn.softmax(policy.logits)
        return Categorical(jnp.log((1 - epsilon) * p + epsilon / p.shape[-1])), value

    return view(network, mixed)


def choices(steps: Step, rows: int) -> Step:
    """The window of the high level, `[rows + 1, N]`, made of one of all steps `[T + 1, N]`.

    Its rows are those with a new choice and the LAST ones; what a row is paid is the sum of the rewards since the row
    before it, and the last row is that of the window.

    Args:
      steps: with `extras` `new` (bool) and `high`, those of the high level with `choice` beside them.
      rows: of whole episodes: choices and one more for each.
    """
    kind, new = steps.timestep.step_type, steps.extras["new"]
    kept = (new | (kind == LAST)).at[-1].set(False)
    order = jnp.argsort(~kept, axis=0, stable=True)[:rows]
    index = jnp.concatenate([order, jnp.full((1, kept.shape[1]), kept.shape[0] - 1)])
    real = jnp.concatenate([jnp.take_along_axis(kept, order, 0), jnp.ones((1, kept.shape[1]), bool)])
    total = jnp.cumsum(steps.timestep.reward, axis=0)
    taken = jax.tree.map(lambda x: along(x, index), steps.timestep._replace(reward=total))
    paid = jnp.diff(taken.reward, axis=0, prepend=taken.reward[:1])
    # A row that is no choice opens an episode for whoever learns, so that nothing is learned from it.
    kinds = jnp.where(real, taken.step_type, FIRST).astype(kind.dtype)
    timestep = taken._replace(step_type=kinds, reward=jnp.where(kinds == FIRST, 0.0, paid))
    action, extras = jax.tree.map(lambda x: along(x, index), (steps.extras["choice"], steps.extras["high"]))
    return Step(timestep, action, extras)
