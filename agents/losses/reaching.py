"""Losses of learning from data how to reach goals: values of goals, contrasts, and distances that are quasimetrics.

Park, Ghosh, Eysenbach and Levine, "HIQL: offline goal-conditioned RL with latent states as actions", NeurIPS 2023;
Eysenbach, Zhang, Levine and Salakhutdinov, "Contrastive learning as goal-conditioned reinforcement learning", NeurIPS
2022; Wang, Torralba, Isola and Zhang, "Optimal goal-reaching reinforcement learning via quasimetric learning", ICML
2023; Wang and Isola, "Improved representation of asymmetrical distances with interval quasimetric embeddings", 2022.
"""

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array
from envs.extremes import greatest


def judged_expectile(error: Array, advantage: Array, level: Array | float) -> Array:
    """|τ - 1{A < 0}| u²: an expectile whose side is told by the advantage under target networks (HIQL; OGBench).

    Args:
      error: u, target minus prediction, `[...]`.
      advantage: A, `[...]`; no gradient flows into it.
      level: τ in (0, 1).

    Returns:
      `[...]`.
    """
    return jnp.abs(level - (jax.lax.stop_gradient(advantage) < 0)) * jnp.square(error)


def similarities(phi: Array, psi: Array) -> Array:
    """f_ij = φ_i · ψ_j / √D: how likely it is that from i one comes to j (contrastive RL).

    Args:
      phi: embeddings of states and actions, `[..., N, D]`.
      psi: of goals, `[..., M, D]`.

    Returns:
      `[..., N, M]`.
    """
    return jnp.einsum("...nd,...md->...nm", phi, psi) / jnp.sqrt(float(phi.shape[-1]))


def contrastive(logits: Array) -> Array:
    """Mean over j of the cross-entropy between σ(f_ij) and 1{i = j} (contrastive RL, by noise contrast).

    Its minimum is f_ij = ln p(g_j|s_i, a_i) - ln p(g_j) - ln(N - 1), where each g_i is one that followed.

    Args:
      logits: f, `[..., N, N]`; goal j followed state j.

    Returns:
      `[..., N]`.
    """
    sign = 2 * jnp.eye(logits.shape[-1], dtype=logits.dtype) - 1
    return jnp.mean(jax.nn.softplus(-logits * sign.reshape((1,) * (logits.ndim - 2) + sign.shape)), axis=-1)


def interval_quasimetric(x: Array, y: Array, mix: Array | float, size: int = 8) -> Array:
    """d(x, y) = w mean_c d_c + (1 - w) max_c d_c, d_c = |∪_k [x_ck, max(x_ck, y_ck)]| (IQE-maxmean).

    d(x, x) = 0, d(x, z) ≤ d(x, y) + d(y, z), and d(x, y) need not be d(y, x).

    Args:
      x: from where, `[..., D]`.
      y: to where, `[..., D]`.
      mix: w in [0, 1].
      size: K, intervals in each component c; divides D.

    Returns:
      `[...]`, not negative.
    """
    start = x.reshape((*x.shape[:-1], -1, size))
    end = jnp.maximum(start, y.reshape((*y.shape[:-1], -1, size)))
    # The union is made of stretches: the ends that close one less the starts that open one, which a small change
    # does not replace by others, so that gradients flow through numbers alone. Of equals one counts: [..., C, K, K].
    shape = (1,) * (start.ndim - 1) + (size, size)
    before, after = (each.reshape(shape) for each in (np.tri(size, k=-1, dtype=bool), ~np.tri(size, dtype=bool)))
    own = start[..., :, None], end[..., :, None]
    other = start[..., None, :], end[..., None, :]
    sooner = (other[0] < own[0]) | ((other[0] == own[0]) & before)
    farther = (other[1] > own[1]) | ((other[1] == own[1]) & after)
    opens = ~jnp.any(sooner & (other[1] >= own[0]), axis=-1)
    closes = ~jnp.any(farther & (other[0] <= own[1]), axis=-1)
    union = jnp.sum(jnp.where(closes, end, 0.0) - jnp.where(opens, start, 0.0), axis=-1)
    return mix * jnp.mean(union, axis=-1) + (1 - mix) * greatest(union, -1)


def spread(distance: Array, limit: Array | float = 500.0, softness: Array | float = 100.0) -> Array:
    """s softplus((L - d) / s): pushes states apart, the less the farther they are beyond L (QRL).

    Args:
      distance: d of pairs of states at random, `[...]`.
      limit: L.
      softness: s.

    Returns:
      `[...]`.
    """
    return softness * jax.nn.softplus((limit - distance) / softness)


def overlong(distance: Array, cost: Array | float = 1.0) -> Array:
    """max(d - c, 0)²: how far a step is longer than it costs, which QRL keeps below a bound on average (QRL).

    Args:
      distance: d(s, s') of transitions, `[...]`.
      cost: c of each.

    Returns:
      `[...]`.
    """
    return jnp.square(jax.nn.relu(distance - cost))
