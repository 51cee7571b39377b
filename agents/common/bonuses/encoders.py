"""What the modules' networks are made of, and what they are shown."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

import networks
from agents.base import Array, Tree
from agents.common import wrappers
from agents.common.moments import Moments
from envs.base import Box, Discrete
from networks.initializers import orthogonal
from networks.torsos import layout


class Modelled(NamedTuple):
    """Parameters that learn, those that do not, the optimiser's state, and the moments of observations, if any."""

    params: Any
    fixed: Any
    optimiser: Any
    moments: Any = ()


class Head(nn.Module):
    """A torso and dense layers, of which the last is linear."""

    torso: Any
    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`[..., *shape] -> [..., sizes[-1]]`."""
        return networks.MLP(self.sizes, activate_final=False)(self.torso(observation))


class Reminded(nn.Module):
    """A residual network from features to features that is told the action at every layer.

    Burda et al., "Large-scale study of curiosity-driven learning", ICLR 2019: a dense layer, blocks of two, and a
    linear one, with leaky ReLUs.
    """

    width: int
    size: int
    blocks: int = 4

    @nn.compact
    def __call__(self, x: Array, action: Array) -> Array:
        """`([..., F], [..., A]) -> [..., size]`."""

        def dense(x: Array, width: int) -> Array:
            return nn.Dense(width, kernel_init=orthogonal(2**0.5))(jnp.concatenate([x, action], -1))

        x = nn.leaky_relu(dense(x, self.width))
        for _ in range(self.blocks):
            x = x + dense(nn.leaky_relu(dense(x, self.width)), self.width)
        return dense(x, self.size)


class View(NamedTuple):
    """What a module's networks are shown of observations."""

    space: Any
    look: Callable[[Tree], Tree]
    """`(observation) -> observation` of `space`, before it is whitened."""
    see: Callable[[Moments, Tree], Tree]
    """`(moments of what `look` gives, observation) -> what networks see`."""


def view(space: Any, whiten: bool = True, newest: int = 0, single: bool = False) -> View:
    """Observations less their running mean, over their deviation, and clipped at 5.

    Numbers to be one-hot stay as they are, and so do images, unless their newest frame alone is shown.

    Args:
      space: of the observations.
      whiten: as above; if not, nothing is subtracted, divided or clipped.
      newest: channels of an image's newest frame, which is shown alone, in floats; 0 for images as they are.
      single: divide by one number, the mean of the deviations, as the large-scale study does.
    """

    def cut(space: Any) -> bool:
        return bool(newest) and isinstance(space, Box) and len(space.shape) == 3

    def mapped(function: Callable[..., Any], *trees: Any) -> Any:
        return jax.tree.map(function, space, *trees, is_leaf=lambda x: isinstance(x, Box | Discrete))

    shown = mapped(lambda s: Box((*s.shape[:2], newest)) if cut(s) else s)

    def look(observation: Tree) -> Tree:
        return mapped(lambda s, x: x[..., -newest:].astype(jnp.float32) / 255 if cut(s) else x, observation)

    def see(moments: Moments, observation: Tree) -> Tree:
        x = look(observation)
        if not whiten:
            return x
        if single:
            one = lambda m2: jnp.full_like(m2, jnp.square(jnp.mean(jnp.sqrt(m2))))  # noqa: E731
            moments = moments._replace(m2=jax.tree.map(one, moments.m2))
        return wrappers.standardised(x, shown, moments, clip=5.0)

    return View(shown, look, see)


def flat(space: Any, observation: Tree) -> Array:
    """An observation `[..., *shape]`, or a dict of them, as one vector `[..., F]`; Discrete numbers become one-hot."""
    parts = []
    for leaf in layout(space):
        x = observation if leaf.name is None else observation[leaf.name]
        lead = x.shape[: x.ndim - len(leaf.shape)]
        code = jax.nn.one_hot(x, leaf.num) if leaf.num else x.astype(jnp.float32)
        parts.append(code.reshape((*lead, -1)))
    return jnp.concatenate(parts, -1)


def check_actions(name: str, space: Any) -> int:
    """How many numbers say what was done.

    Args:
      name: of the module, for its refusal.
      space: of the actions.

    Raises:
      ValueError: the actions are neither Discrete nor a vector.
    """
    if isinstance(space, Discrete):
        return space.num
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise ValueError(f"{name}: actions are {space}; must be Discrete or a vector")
    return space.shape[0]


def coded(space: Any, action: Array) -> Array:
    """What was done as a vector `[..., A]`: Discrete actions are one-hot."""
    return jax.nn.one_hot(action, space.num) if isinstance(space, Discrete) else action.astype(jnp.float32)
