"""Bonuses for what was visited rarely: exact counts, hashed ones, and those of a density model."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from agents.base import Array, TimeStep, Tree
from agents.common.bonuses.encoders import flat
from agents.common.curiosity import Module
from envs import parallel
from envs.base import Box, Discrete, Spec
from networks.torsos import layout


def counts(spec: Spec, cells: int = 65_536, seed: int = 0, of: Literal["states", "pairs"] = "states") -> Module:
    """1 / √N of the cells of a table, which the states of all lanes are hashed into.

    Visits are counted as they happen, in the memory of the lanes; there is nothing to train. Hashing is that of Tang et
    al., "#Exploration", NeurIPS 2017 (section 2.2, of states as they are); of pairs of state and action it is the bonus
    of MBIE-EB (Strehl and Littman, 2008), paid when the action was taken.

    Args:
      spec: of the task. A Discrete observation is its own cell; all else is hashed by the signs of random projections.
      cells: of the table; ignored for Discrete observations.
      seed: of the projections.
      of: what is counted.

    Raises:
      ValueError: pairs of actions that are not Discrete.
    """
    space = spec.observation
    size = space.num if isinstance(space, Discrete) else cells
    bits = int(np.ceil(np.log2(max(size, 2))))
    if of == "pairs" and not isinstance(spec.action, Discrete):
        raise ValueError(f"counts: actions are {spec.action}; pairs of state and action need Discrete ones")
    actions = spec.action.num if of == "pairs" and isinstance(spec.action, Discrete) else 1

    def cell_of(observation: Tree) -> Array:
        if isinstance(space, Discrete):
            return observation
        vector = flat(space, observation)
        rng = np.random.default_rng(seed)
        signs = vector @ jnp.asarray(rng.normal(size=(vector.shape[-1], bits)), jnp.float32) > 0
        return jnp.sum(signs * (2 ** jnp.arange(bits))[None], axis=-1) % size

    def bonus(actor: Any, visits: Array, x_tm1: Tree, a_tm1: Tree, timestep: TimeStep) -> tuple[Array, Array]:
        del actor
        new: Any = 1
        if of == "states":
            cell = cell_of(timestep.observation)
        else:
            cell, new = cell_of(x_tm1) * actions + a_tm1, (~timestep.first()).astype(jnp.int32)
        visits = visits.at[jnp.arange(cell.shape[0]), cell].add(new)
        return losses.count_bonus(parallel.total(jnp.sum(visits, axis=0))[cell]), visits

    begin = lambda batch: jnp.zeros((batch, size * actions), jnp.int32)  # noqa: E731
    return _untrained(begin, bonus, pairs=of == "pairs")


def constant(value: float = 1.0) -> Module:
    """The same for every transition: what the wrapper costs by itself, and an ablation of any other module."""

    def bonus(actor: Any, memory: Any, x_tm1: Tree, a_tm1: Tree, timestep: TimeStep) -> tuple[Array, Any]:
        del actor, x_tm1, a_tm1
        return jnp.full_like(timestep.reward, value), memory

    return _untrained(lambda batch: (), bonus)


def pseudo_counts(spec: Spec, levels: int = 8) -> Module:
    """1 / √(N̂ + 0.01), with the pseudo-counts N̂ of a density model (Bellemare et al., NeurIPS 2016).

    The model takes the entries of an observation to be independent, each on so many levels, ρ_i(k) = (n_k + ½) / (n +
    levels / 2), and N̂ = 1 / (exp(ln ρ' - ln ρ) - 1) of the density ρ before the visit and ρ' after it. Unlike counts of
    cells it generalises: of a state that was never seen, but whose every entry was, the count is above 0.

    Args:
      spec: of the task; entries of boxes without finite bounds are cut at ±3.
      levels: K.
    """

    def places(observation: Tree) -> Array:
        parts = []
        for leaf, space in zip(layout(spec.observation), _spaces(spec.observation), strict=True):
            x = observation if leaf.name is None else observation[leaf.name]
            if isinstance(space, Discrete):
                parts.append(jax.nn.one_hot(x, space.num) * (levels - 1))
                continue
            low, high = (np.broadcast_to(np.asarray(b, np.float32), space.shape) for b in (space.low, space.high))
            known = np.isfinite(low) & np.isfinite(high) & (high > low)
            low, high = np.where(known, low, -3.0), np.where(known, high, 3.0)
            share = (x.astype(jnp.float32) - low[None]) / (high - low)[None]
            parts.append(jnp.clip(share, 0, 1).reshape(x.shape[0], -1) * (levels - 1))
        return jnp.round(jnp.concatenate(parts, -1)).astype(jnp.int32)

    def bonus(actor: Any, seen: Array, x_tm1: Tree, a_tm1: Tree, timestep: TimeStep) -> tuple[Array, Array]:
        del actor, x_tm1, a_tm1
        here = jax.nn.one_hot(places(timestep.observation), levels)  # [B, D, K]
        table = parallel.total(jnp.sum(seen, axis=0))
        known = jnp.sum(here * table[None], -1)
        rows = parallel.total(jnp.sum(seen[:, 0]))
        return losses.pseudo_count_bonus(known, rows, levels), seen + here

    size = sum(
        space.num if isinstance(space, Discrete) else int(np.prod(space.shape)) for space in _spaces(spec.observation)
    )
    begin = lambda batch: jnp.zeros((batch, size, levels))  # noqa: E731
    return _untrained(begin, bonus)


def _untrained(begin: Callable[[int], Any], bonus: Callable[..., tuple[Array, Any]], pairs: bool = False) -> Module:
    """A module that learns nothing by descent."""
    nothing = lambda *_: ()  # noqa: E731
    return Module(nothing, nothing, begin, bonus, lambda state, key, steps: (state, {}), pairs=pairs)


def _spaces(space: Any) -> list[Any]:
    """The spaces of `layout`'s leaves, in their order."""
    return [space] if isinstance(space, Box | Discrete) else [space[name] for name in sorted(space)]
