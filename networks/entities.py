"""What a network makes of a map whose entities are described: text-VIN and what it is compared with.

Narasimhan, Barzilay and Jaakkola, "Grounding language for transfer in deep reinforcement learning", JAIR 63 (2018,
arXiv:1708.00133). A cell with an entity is φ = [a vector for the entity's number; a vector for its description]. A
planner by value iteration (`networks.vin`) and a reactive layer of what lies around the agent are joined. Observations
are dicts with `map`, whole numbers `[N, H, W]`, 0 for nothing and else 1 + the entity; `here`, row and column of the
agent `[N, 2]`; and `descriptions`, texts of the entities `[N, E, L]`.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import normal

from envs import grids
from envs.base import Array, Tree
from networks.spatial import one_hot, windows
from networks.torsos import Conv
from networks.vin import ValueIteration


class Described(nn.Module):
    """The map in vectors of numbers and descriptions, `{"map", "descriptions"} -> [N, H, W, numbers + D + 1]`.

    The last channel is 1 within the map, so that what lies beyond its edges can be told from an empty cell.
    """

    entities: int
    encoder: nn.Module | None  # tokens [..., L] -> [..., D]; None is blind to descriptions
    numbers: int = 8  # length of the vector of an entity's number; 0 for none

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`{"map": [N, H, W], "descriptions": [N, E, L]} -> float32 [N, H, W, numbers + D + 1]`."""
        cells = one_hot(observation["map"], self.entities + 1)
        parts = []
        if self.numbers:
            dense = nn.Dense(self.numbers, use_bias=False, kernel_init=normal(0.1), name="numbers")
            parts.append(dense(cells[..., 1:]))
        if self.encoder is not None:
            parts.append(jnp.einsum("nhwe,ned->nhwd", cells[..., 1:], self.encoder(observation["descriptions"])))
        return jnp.concatenate([*parts, jnp.ones_like(cells[..., :1])], -1)


class EntityPlanner(nn.Module):
    """Features of the agent on a described map: q of its cell after K iterations, and what lies around it.

    Raises:
      ValueError: neither a planner nor a reactive layer.
    """

    described: Described
    iterations: int = 5  # K; 0 for no planner
    channels: int = 8
    reward_hidden: int = 16
    reactive: int = 64  # size of the reactive layer; 0 for none
    sight: int = 5  # cells along a side of what it sees

    def __post_init__(self) -> None:
        if not self.iterations and not self.reactive:
            raise ValueError("iterations, reactive: are both 0; one of them must be positive")
        super().__post_init__()

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`{"map": [N, H, W], "here": [N, 2], "descriptions": [N, E, L]} -> float32 [N, F]`."""
        phi, here = self.described(observation), observation["here"].astype(jnp.int32)
        at = lambda x: grids.at(x, here[:, 0], here[:, 1])  # noqa: E731
        features = []
        if self.iterations:
            hidden = nn.relu(Conv(self.reward_hidden, 1, name="hidden")(phi))
            reward = Conv(1, 1, name="rewards")(hidden)
            features.append(at(ValueIteration(self.iterations, self.channels, name="planner")(reward)))
        if self.reactive:
            around = at(windows(phi, self.sight))
            features.append(nn.relu(nn.Dense(self.reactive, name="reactive")(around)))
        return jnp.concatenate(features, -1)
