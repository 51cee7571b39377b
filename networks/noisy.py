"""Dense layers with learned parameter noise (Fortunato et al., "Noisy networks for exploration", ICLR 2018)."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from envs.base import Array, Key


class Noise(NamedTuple):
    """How much noise, and of which kind."""

    sigma: float = 0.5
    """σ₀: factorised noise starts at σ₀/√p for p inputs; independent noise at `sigma` itself (0.017 in the paper)."""
    factorised: bool = True
    """ε_ij = f(ε_i) f(ε_j), p + q numbers a layer, rather than p q independent ones."""


def scaled_noise(key: Key, size: int) -> Array:
    """f(ε) = sgn(ε)√|ε| of standard normal ε, `[size]`; the product of two has variance 2/π."""
    x = jax.random.normal(key, (size,))
    return jnp.sign(x) * jnp.sqrt(jnp.abs(x))


def _settled(x: Array) -> Array:
    """`x`, written to memory: XLA on the CPU would fuse what made it into its use, and redo it for each weight."""
    return jnp.zeros_like(x).at[jnp.arange(x.size)].set(x, unique_indices=True, indices_are_sorted=True)


def _settled_key(key: Key) -> Key:
    return jax.random.wrap_key_data(_settled(jax.random.key_data(key)), impl=jax.random.key_impl(key))


class NoisyDense(nn.Module):
    """y = x (μ_w + σ_w ⊙ ε_w) + μ_b + σ_b ⊙ ε_b, `[..., p] -> [..., q]`.

    One draw of ε, from the stream "noise", serves the whole batch of a call; every layer has its own. Without that
    stream the noise is 0. Initial μ: U(±1/√p) if factorised, else U(±√(3/p)).
    """

    size: int
    noise: Noise = Noise()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[..., p] -> [..., q]`."""
        p, q = x.shape[-1], self.size
        bound = (1 / p) ** 0.5 if self.noise.factorised else (3 / p) ** 0.5
        sigma = self.noise.sigma / p**0.5 if self.noise.factorised else self.noise.sigma

        def uniform(key: Key, shape: tuple[int, ...]) -> Array:
            return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

        start = nn.initializers.constant(sigma)
        kernel, bias = self.param("kernel", uniform, (p, q)), self.param("bias", uniform, (q,))
        sigma_kernel, sigma_bias = self.param("sigma_kernel", start, (p, q)), self.param("sigma_bias", start, (q,))
        x, kernel, bias, sigma_kernel, sigma_bias = (
            a.astype(self.dtype) for a in (x, kernel, bias, sigma_kernel, sigma_bias)
        )
        row = lambda v: jnp.reshape(v, (1,) * (x.ndim - 1) + v.shape)  # noqa: E731
        if not self.has_rng("noise"):
            return x @ kernel + row(bias)
        # One draw for the layer: every call of the generator is much code to compile.
        key = _settled_key(self.make_rng("noise"))
        if self.noise.factorised:
            e_in, e_out = jnp.split(_settled(scaled_noise(key, p + q)).astype(self.dtype), [p])
            if x.size == p:
                # x (σ ⊙ e_in e_outᵀ) = ((x ⊙ e_in) σ) ⊙ e_out: lanes with noise of their own share both products.
                y = x @ kernel + ((x * row(e_in)) @ sigma_kernel) * row(e_out)
            else:
                # A batch with one draw has but one product, the rest being a few operations for each weight.
                y = x @ (kernel + sigma_kernel * (e_in[:, None] * e_out[None]))
        else:
            e_in, e_out = jnp.split(jax.random.normal(key, (p * q + q,), self.dtype), [p * q])
            y = x @ (kernel + sigma_kernel * e_in.reshape(p, q))
        return y + row(bias + sigma_bias * e_out)
