"""Evolution with covariance matrix adaptation, CMA-ES, for policy search.

Hansen, "The CMA evolution strategy: a tutorial", arXiv:1604.00772. Candidates are x_i = m + σ y_i, y_i ~ N(0, C), i:λ
names the i-th best of λ, and with ⟨y⟩ = Σ_{w_i>0} w_i y_{i:λ}

    m ← m + σ ⟨y⟩
    p_σ ← (1 - c_σ) p_σ + √(c_σ (2 - c_σ) μ_w) C^{-½} ⟨y⟩        σ ← σ exp(c_σ / d_σ (‖p_σ‖ / E‖N(0, I)‖ - 1))
    p_c ← (1 - c_c) p_c + h √(c_c (2 - c_c) μ_w) ⟨y⟩
    C ← (1 - c_1 - c_μ Σ w_i) C + c_1 (p_c p_cᵀ + (1 - h) c_c (2 - c_c) C) + c_μ Σ w_i° y_{i:λ} y_{i:λ}ᵀ

where h is 0 while p_σ is long, which holds C back while σ grows. The worse half has negative weights, which shrink
C where candidates were bad; w_i° is w_i, or n w_i / ‖C^{-½} y_{i:λ}‖² if that is negative, so that C stays positive.
Only the ranks of candidates count.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Key, Tree
from agents.common.policy_search import Strategy, search
from networks.base import Network


class State(NamedTuple):
    """The distribution of candidates and its paths."""

    mean: Array  # m [n]
    sigma: Array  # σ
    covariance: Array  # C [n, n]
    basis: Array  # [n, n], eigenvectors of C in columns
    scales: Array  # [n], roots of its eigenvalues
    path_sigma: Array  # p_σ [n]
    path: Array  # p_c [n]
    generation: Array  # int32


def adaptation(
    size: int,
    population: int = 0,
    *,
    sigma: float | Array = 1.0,
    step_size: bool = True,
    rank_mu: bool = True,
    active: bool = True,
) -> Strategy:
    """The strategy, with the tutorial's default settings (its table 1).

    Args:
      size: n.
      population: λ; 0 for 4 + ⌊3 ln n⌋.
      sigma: the first σ.
      step_size: adapt σ; without it σ stays.
      rank_mu: learn C from each generation and not from the path alone.
      active: with the negative weights; without them the worse half does not count.

    Raises:
      ValueError: a population of 1 to 3.
    """
    n, count = size, population or 4 + int(3 * math.log(size))
    if count < 4:
        raise ValueError(f"population: {count} must be at least 4")
    raw = math.log((count + 1) / 2) - np.log(np.arange(1, count + 1))
    good, bad = np.maximum(raw, 0.0), np.maximum(-raw, 0.0)
    mu_w, mu_bad = (float(np.square(w.sum()) / np.square(w).sum()) for w in (good, bad))
    c_sigma = (mu_w + 2) / (n + mu_w + 5)
    d_sigma = 1 + 2 * max(0.0, math.sqrt((mu_w - 1) / (n + 1)) - 1) + c_sigma
    c_c = (4 + mu_w / n) / (n + 4 + 2 * mu_w / n)
    c_1 = 2 / ((n + 1.3) ** 2 + mu_w)
    c_mu = min(1 - c_1, 2 * (0.25 + mu_w - 2 + 1 / mu_w) / ((n + 2) ** 2 + mu_w))
    least = min(1 + c_1 / c_mu, 1 + 2 * mu_bad / (mu_w + 2), (1 - c_1 - c_mu) / (n * c_mu))  # Σ of the negative weights
    weights = good / good.sum() - (least * bad / bad.sum() if active else 0.0)
    c_mu = c_mu if rank_mu else 0.0
    length = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))

    def init(x: Array) -> State:
        zeros, eye = jnp.zeros_like(x), jnp.eye(n, dtype=x.dtype)
        first = jnp.asarray(sigma, x.dtype)
        return State(x, first, eye, eye, jnp.ones_like(x), zeros, zeros, jnp.int32(0))

    def ask(state: State, key: Key) -> Array:
        z = jax.random.normal(key, (count, n), state.mean.dtype)
        return state.mean[None] + state.sigma * (z * state.scales[None]) @ state.basis.T

    def tell(state: State, candidates: Array, fitness: Array) -> State:
        y = (candidates[jnp.argsort(-fitness)] - state.mean[None]) / state.sigma
        w = jnp.asarray(weights, y.dtype)
        step = jnp.maximum(w, 0.0) @ y
        white = (y @ state.basis) / state.scales[None]  # C^{-½} y, turned
        whitened = state.basis @ (jnp.maximum(w, 0.0) @ white)  # C^{-½} ⟨y⟩
        scaled = jnp.where(w < 0, w * n / jnp.maximum(jnp.sum(jnp.square(white), axis=1), 1e-12), w)
        path_sigma = (1 - c_sigma) * state.path_sigma + math.sqrt(c_sigma * (2 - c_sigma) * mu_w) * whitened
        norm = jnp.linalg.norm(path_sigma)
        unbiased = jnp.sqrt(1 - (1 - c_sigma) ** (2.0 * (state.generation + 1)))
        h = (norm / unbiased < (1.4 + 2 / (n + 1)) * length).astype(y.dtype)
        path = (1 - c_c) * state.path + h * math.sqrt(c_c * (2 - c_c) * mu_w) * step
        kept = 1 - c_1 - c_mu * float(weights.sum()) + (1 - h) * c_1 * c_c * (2 - c_c)
        covariance = kept * state.covariance + c_1 * jnp.outer(path, path) + c_mu * (y * scaled[:, None]).T @ y
        covariance = (covariance + covariance.T) / 2  # rounding would make it asymmetric
        eigenvalues, basis = jnp.linalg.eigh(covariance)
        grown = state.sigma * jnp.exp(jnp.minimum(1.0, c_sigma / d_sigma * (norm / length - 1)))
        return State(
            state.mean + state.sigma * step,
            grown if step_size else state.sigma,
            covariance,
            basis,
            jnp.sqrt(jnp.maximum(eigenvalues, 1e-14)),
            path_sigma,
            path,
            state.generation + 1,
        )

    return Strategy(count, init, ask, tell, lambda state: state.mean)


def cma_es(
    policy: Network, example: Tree, population: int = 0, *, episodes: int = 1, discrete: bool = False, **settings: Any
) -> Agent:
    """The CMA-ES agent: `agents.common.policy_search` with `adaptation`; their arguments."""
    size = sum(x.size for x in jax.tree.leaves(example))
    return search(policy, example, adaptation(size, population, **settings), episodes=episodes, discrete=discrete)
