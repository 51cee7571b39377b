"""Value iteration networks: a planner whose rewards and transitions are learned.

Tamar, Wu, Thomas, Levine and Abbeel, "Value iteration networks", NeurIPS 2016 (arXiv:1602.02867). On a map of features

    r = f(φ)        q_c = Σ W^r_c * r + W^v_c * v        v = max_c q_c        K times, from v = 0

with convolutions by 3 × 3 kernels, so that each iteration carries value one cell farther. What the policy sees is q
where the agent stands.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import normal

from envs.base import Array
from envs.extremes import greatest
from networks.torsos import Conv, convolve, scaled


class ValueIteration(nn.Module):
    """K iterations on a map of rewards: `[N, H, W, R] -> [N, H, W, channels]`, the last q."""

    iterations: int
    channels: int = 8  # of q, one for each abstract action
    spread: float = 0.1  # standard deviation of the first kernels
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, reward: Array) -> Array:
        """`[N, H, W, R] -> [N, H, W, channels]`."""
        init, shape = normal(self.spread), (3, 3, 1, self.channels)
        paid = Conv(self.channels, 3, same=True, kernel_init=init, dtype=self.dtype, name="reward")(reward)
        kernel = self.param("value", init, shape).astype(self.dtype)
        on_cpu = jax.default_backend() == "cpu"

        def iterate(q: Array, _: None) -> tuple[Array, None]:
            value = greatest(q, -1)[..., None]
            wide = jnp.pad(value, ((0, 0), (1, 1), (1, 1), (0, 0)))
            return paid + convolve(wide, kernel, 1, on_cpu), None

        return jax.lax.scan(iterate, paid, None, self.iterations - 1)[0]


class Planner(nn.Module):
    """Features of an agent on a map: q of its cell, `[N, H, W, C] -> [N, channels]`.

    The last channel of the map is where the agent is, 1 there and 0 elsewhere; of the others, `hidden` convolutions and
    a linear layer make rewards.
    """

    iterations: int
    channels: int = 8
    hidden: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: Array) -> Array:
        """`[N, H, W, C] -> float32 [N, channels]`."""
        seen = scaled(image, self.dtype, 1.0)
        here, seen = seen[..., -1:], seen[..., :-1]
        features = nn.relu(Conv(self.hidden, 3, same=True, dtype=self.dtype)(seen))
        reward = Conv(1, 1, dtype=self.dtype)(features)
        q = ValueIteration(self.iterations, self.channels, dtype=self.dtype)(reward)
        return jnp.sum(here * q, axis=(1, 2)).astype(jnp.float32)
