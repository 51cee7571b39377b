"""MPPI among plans of which some are a policy's, in a latent model with a value at its end: TD-MPC2's planner.

Hansen, Su and Wang, "TD-MPC2: scalable, robust world models for continuous control", ICLR 2024, section 3.2. Plans are
normal about a mean, cut at the bounds of actions, [-1, 1]; each iteration

    R_i = Σ_{h<H} γ^h r(z_h, a_h) + γ^H Q(z_H, π(z_H)),   w_i ∝ exp(τ R_i) of the best,   μ ← Σ w_i a_i,
    σ² ← Σ w_i (a_i - μ)², within its bounds.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Array, Key


class Mppi(NamedTuple):
    """How to plan; the paper's numbers in brackets."""

    horizon: int = 3
    """H (3)."""
    population: int = 128
    """Plans of an iteration, with the policy's (512)."""
    proposals: int = 12
    """Of these the policy's (24)."""
    elites: int = 24
    """Of these the best, which count (64)."""
    iterations: int = 4
    """Of the method, per step (6)."""
    temperature: float | Array = 0.5
    """τ (0.5); the greater, the more the best plan counts."""
    least: float | Array = 0.05
    """Standard deviation at the least (0.05)."""
    most: float | Array = 2.0
    """And at the most, where an iteration begins (2)."""


class Imagination(NamedTuple):
    """What a plan is scored by; N rows of latents of any lanes."""

    step: Callable[[Array, Array], tuple[Array, Array]]
    """`(latent[N, D], action[N, A]) -> (latent[N, D], reward[N])`."""
    propose: Callable[[Key, Array], Array]
    """`(key, latent[N, D]) -> action[N, A]`, drawn from the policy."""
    value: Callable[[Key, Array], Array]
    """`(key, latent[N, D]) -> [N]`, of going on with the policy."""


def planned(
    mppi: Mppi, imagine: Imagination, key: Key, latent: Array, mean: Array, discount: float | Array
) -> tuple[Array, Array, Array]:
    """The plans of B lanes.

    Args:
      mppi: how.
      imagine: the model, the policy and its value.
      key: for the noise, the policy and the value.
      latent: now, `[B, D]`.
      mean: of plans where planning begins, `[B, H, A]`.
      discount: γ.

    Returns:
      Mean and standard deviation `[B, H, A]`, and the first action of one of the elites, drawn by its weight, `[B, A]`.
    """
    lanes, horizon, actions = mean.shape
    k_policy, k_choice, k_noise = jax.random.split(key, 3)

    def rows(x: Array, times: int) -> Array:
        return jnp.repeat(x, times, axis=0)

    def propose(state: Array, key: Key) -> tuple[Array, Array]:
        action = imagine.propose(key, state)
        return imagine.step(state, action)[0], action

    begun = rows(latent, mppi.proposals)
    _, own = jax.lax.scan(propose, begun, jax.random.split(k_policy, horizon))
    own = jnp.moveaxis(own, 0, 1).reshape((lanes, mppi.proposals, horizon, actions))

    def scored(plans: Array, key: Key) -> Array:
        def step(carry: tuple, action: Array) -> tuple[tuple, None]:
            state, total, weight = carry
            state, reward = imagine.step(state, action)
            return (state, total + weight * reward, weight * discount), None

        number = plans.shape[1]
        flat = jnp.moveaxis(plans.reshape((lanes * number, horizon, actions)), 1, 0)
        first = rows(latent, number), jnp.zeros(lanes * number), jnp.float32(1)
        (state, total, weight), _ = jax.lax.scan(step, first, flat)
        return (total + weight * imagine.value(key, state)).reshape((lanes, number))

    def improve(carry: tuple, key: Key) -> tuple[tuple, tuple]:
        mean, deviation = carry
        k_normal, k_value = jax.random.split(key)
        noise = jax.random.normal(k_normal, (lanes, mppi.population - mppi.proposals, horizon, actions))
        drawn = jnp.clip(mean[:, None] + deviation[:, None] * noise, -1.0, 1.0)
        plans = jnp.concatenate([own, drawn], axis=1)
        best, at = jax.lax.top_k(scored(plans, k_value), mppi.elites)
        chosen = jnp.take_along_axis(plans, at[..., None, None], axis=1)
        logits = mppi.temperature * (best - best[:, :1])
        weight = jax.nn.softmax(logits)[..., None, None]
        mean = jnp.sum(weight * chosen, 1)
        spread = jnp.sqrt(jnp.sum(weight * jnp.square(chosen - mean[:, None]), 1))
        return (mean, jnp.clip(spread, mppi.least, mppi.most)), (chosen[:, :, 0], logits)

    wide = jnp.broadcast_to(jnp.float32(mppi.most), mean.shape)
    keys = jax.random.split(k_noise, mppi.iterations)
    (mean, deviation), (first, logits) = jax.lax.scan(improve, (mean, wide), keys)
    which = jax.random.categorical(k_choice, logits[-1])
    return mean, deviation, jnp.take_along_axis(first[-1], which[:, None, None], axis=1)[:, 0]
