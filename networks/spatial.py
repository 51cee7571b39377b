"""Values of all cells of a map, of the map and of an instruction: the text makes a kernel and a slope of values.

Janner, Narasimhan and Barzilay, "Representation learning for grounded spatial reasoning", TACL 2018 (arXiv:1707.03938),
with their two baselines: a dot product of cells and text (a UVFA of text), and a CNN beside an LSTM. Observations are
dicts with `map`, whole numbers `[N, H, W]` that say what each cell is, `here`, row and column of the agent `[N, 2]`,
and `instruction`, a text `[N, L]`.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from envs import grids
from envs.base import Array, Tree
from envs.extremes import greatest
from networks.torsos import Conv
from networks.vin import ValueIteration

KINDS = ("full", "local", "global")


def slopes(rows: int, columns: int) -> Array:
    """Row and column of each cell from -1 to 1, and 1: `[rows, columns, 3]`."""
    down, along = jnp.linspace(-1.0, 1.0, rows), jnp.linspace(-1.0, 1.0, columns)
    grid = jnp.broadcast_to(down[:, None], (rows, columns)), jnp.broadcast_to(along[None], (rows, columns))
    return jnp.stack([*grid, jnp.ones((rows, columns))], -1)


def windows(x: Array, side: int) -> Array:
    """What a window of odd `side` around each cell holds, zeros beyond edges: `[N, H, W, C] -> [N, H, W, side² C]`."""
    margin = side // 2
    wide = jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    rows, columns = x.shape[1:3]
    shifted = [wide[:, i : i + rows, j : j + columns] for i in range(side) for j in range(side)]
    return jnp.concatenate(shifted, -1)


def one_hot(cells: Array, kinds: int) -> Array:
    """Kinds of cells `[N, H, W]` as float32 `[N, H, W, kinds]`."""
    return (cells[..., None] == jnp.arange(kinds).reshape((1, 1, 1, -1))).astype(jnp.float32)


class Grounded(nn.Module):
    """The map as an instruction sees it: `{"map", "instruction"} -> [N, H, W, 3]`.

    A vector of the text is a kernel that the embedded cells are convolved with (channel 0), and the slopes of a plane
    over the map (channel 1); channel 2 is a number for each kind of cell, whatever the text says.

    Raises:
      ValueError: `maps` is not one of `KINDS`.
    """

    kinds: int
    encoder: nn.Module  # tokens [N, L] -> [N, D]
    maps: str = "full"  # or "local", without the plane, or "global", without the kernel
    embedding: int = 7
    side: int = 3

    def __post_init__(self) -> None:
        if self.maps not in KINDS:
            raise ValueError(f"maps: {self.maps!r} is not one of {', '.join(map(repr, KINDS))}")
        super().__post_init__()

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`{"map": [N, H, W], "instruction": [N, L]} -> float32 [N, H, W, 3]`."""
        cells, text = one_hot(observation["map"], self.kinds), self.encoder(observation["instruction"])
        seen = windows(nn.Dense(self.embedding, use_bias=False, name="cells")(cells), self.side)
        kernel = nn.Dense(self.side**2 * self.embedding, name="kernel")(text)
        local = jnp.einsum("nhwc,nc->nhw", seen, kernel)
        plane = jnp.einsum("hwc,nc->nhw", slopes(*cells.shape[1:3]), nn.Dense(3, name="plane")(text))
        layout = nn.Dense(1, use_bias=False, name="layout")(cells)[..., 0]
        local = local if self.maps != "global" else jnp.zeros_like(local)
        plane = plane if self.maps != "local" else jnp.zeros_like(plane)
        return jnp.stack([local, plane, layout], -1)


class ValueMap(nn.Module):
    """Values of the cells by 3 × 3 convolutions: `[N, H, W, C] -> [N, H, W]`."""

    channels: tuple[int, ...] = (6, 12, 18, 24, 18, 12, 6, 3)

    @nn.compact
    def __call__(self, maps: Array) -> Array:
        """`[N, H, W, C] -> float32 [N, H, W]`."""
        for size in self.channels:
            maps = nn.relu(Conv(size, 3, same=True)(maps))
        return Conv(1, 3, same=True)(maps)[..., 0].astype(jnp.float32)


class PlannedMap(nn.Module):
    """Values of the cells by iterations of a planner (`networks.vin`), `[N, H, W, C] -> [N, H, W]`; not the paper's."""

    iterations: int
    channels: int = 8
    hidden: int = 16

    @nn.compact
    def __call__(self, maps: Array) -> Array:
        """`[N, H, W, C] -> float32 [N, H, W]`."""
        reward = Conv(1, 1, name="rewards")(nn.relu(Conv(self.hidden, 3, same=True, name="hidden")(maps)))
        return greatest(ValueIteration(self.iterations, self.channels, name="planner")(reward), -1)


class GroundedValues(nn.Module):
    """Values of the cells of a grounded map; `{"map", "instruction"} -> [N, H, W]`."""

    grounded: Grounded
    values: nn.Module  # [N, H, W, 3] -> [N, H, W]

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`{"map": [N, H, W], "instruction": [N, L]} -> float32 [N, H, W]`."""
        return self.values(self.grounded(observation))


class TextDotProduct(nn.Module):
    """The UVFA of text, φ of each cell · ψ of the text: `{"map", "instruction"} -> [N, H, W]`."""

    kinds: int
    encoder: nn.Module
    rank: int = 7
    channels: tuple[int, ...] = (16, 16)
    hidden: int = 128

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`{"map": [N, H, W], "instruction": [N, L]} -> float32 [N, H, W]`."""
        flat, shape = _flat(observation["map"], self.kinds, self.channels)
        phi = nn.Dense(shape[0] * shape[1] * self.rank, name="phi")(nn.relu(nn.Dense(self.hidden)(flat)))
        psi = nn.Dense(self.rank, name="psi")(self.encoder(observation["instruction"]))
        return jnp.einsum("nhwr,nr->nhw", phi.reshape((-1, *shape, self.rank)), psi)


class CnnLstm(nn.Module):
    """Convolutions of the map beside the encoded text, and dense layers: `{"map", "instruction"} -> [N, H, W]`."""

    kinds: int
    encoder: nn.Module
    channels: tuple[int, ...] = (16, 16)
    hidden: int = 128

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`{"map": [N, H, W], "instruction": [N, L]} -> float32 [N, H, W]`."""
        flat, shape = _flat(observation["map"], self.kinds, self.channels)
        joined = jnp.concatenate([flat, self.encoder(observation["instruction"])], -1)
        values = nn.Dense(shape[0] * shape[1], name="values")(nn.relu(nn.Dense(self.hidden)(joined)))
        return values.reshape((-1, *shape))


def _flat(cells: Array, kinds: int, channels: tuple[int, ...]) -> tuple[Array, Any]:
    """Features of a whole map, `[N, F]`, by convolutions of its one-hot cells; and its height and width."""
    x = one_hot(cells, kinds)
    for size in channels:
        x = nn.relu(Conv(size, 3, same=True)(x))
    return x.reshape((x.shape[0], -1)), cells.shape[1:3]


class Reading(NamedTuple):
    """A map of values, and what lies beside the agent on it."""

    values: Array  # [..., H, W]
    beside: Array  # [..., 4], of the cells in the directions of `envs.grids.MOVES`, -inf beyond the edges


class Mapped(nn.Module):
    """What a module values the cells at, and where the agent stands: `{..., "here"} -> ([N, H, W], here)`."""

    body: nn.Module  # observation -> [N, H, W]

    @nn.compact
    def __call__(self, observation: Tree) -> tuple[Array, Array]:
        """`{"map": [N, H, W], "here": [N, 2], ...} -> float32 [N, H, W], int32 [N, 2]`."""
        return self.body(observation), observation["here"].astype(jnp.int32)


class MoveValues(nn.Module):
    """The values of moving: those of the cells beside the agent; the head of `Mapped`."""

    @nn.compact
    def __call__(self, mapped: tuple[Array, Array]) -> Reading:
        """`([N, H, W], [N, 2]) -> Reading [N, ...]`."""
        values, here = mapped
        return Reading(values, grids.at(grids.beside(values, -jnp.inf), here[..., 0], here[..., 1]))
