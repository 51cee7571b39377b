"""What agents that plan in a learned model learn from: values on a support, which rows count, what a search is worth.

Schrittwieser et al., "Mastering Atari, Go, chess and shogi by planning with a learned model" (MuZero), Nature 2020,
appendices F and G; Danihelka et al., "Policy improvement by planning with Gumbel", ICLR 2022, appendix D.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import rlax

from agents.base import FIRST, LAST, MID, Array
from agents.losses.models import two_hot_cross_entropy


def support_mean(logits: Array, atoms: Array, tx_pair: rlax.TxPair) -> Array:
    """h⁻¹(Σ_k softmax(logits)_k atom_k): the number that logits over a support of rescaled numbers stand for.

    Args:
      logits: `[..., K]`.
      atoms: under h, `[K]`.
      tx_pair: h and its inverse.

    Returns:
      `[...]`; exactly 0 for equal logits over a support that is symmetric about 0.
    """
    masses = jax.nn.softmax(logits)
    shape = (1,) * (logits.ndim - 1) + (-1,)
    # Masses of ± the same atom are summed first, which cancels without rounding.
    terms = masses * jnp.reshape(atoms, shape)
    return tx_pair.apply_inv(0.5 * jnp.sum(terms + terms[..., ::-1], -1))


def support_loss(logits: Array, x: Array, atoms: Array, tx_pair: rlax.TxPair) -> Array:
    """The cross-entropy to the two-hot distribution of h(x).

    Args:
      logits: `[..., K]`.
      x: `[...]`; no gradient flows into it.
      atoms: under h, `[K]`, in rising order.
      tx_pair: h and its inverse.

    Returns:
      Losses `[...]`.
    """
    return two_hot_cross_entropy(logits, tx_pair.apply(x), atoms)


class Counted(NamedTuple):
    """Which of the rows 0, ..., K of a window count in learning a model that is unrolled from row 0; `[K+1, N]`."""

    policy: Array
    """The episode of row 0 is under way: there is a policy to learn."""
    value: Array
    """It is, and goes on; or it has terminated, after which all is worth nothing."""
    reward: Array
    """The reward that arrives with the row is known: it is that of the episode, or 0 after its termination."""
    over: Array
    """The episode terminated before this row; rewards are 0 here."""


def counted(step_type: Array, discount: Array, depth: int) -> Counted:
    """`Counted` of windows: what comes after a termination is learned as a state that pays nothing for ever.

    What comes after a truncation, or after an episode that broke off, is not known and counts nothing.

    Args:
      step_type: `[T+1, N]`.
      discount: of the rows, `[T+1, N]`; 0 where the episode terminated.
      depth: K, at most T.
    """
    kind, gamma = step_type[: depth + 1], discount[: depth + 1]
    begun = jnp.cumsum((kind == FIRST).at[0].set(False), axis=0) > 0
    last = (kind == LAST) & ~begun
    ended = jnp.cumsum(last, axis=0) > 0
    terminated = jnp.cumsum(last & (gamma == 0), axis=0) > 0
    alive = ~begun & ~ended
    over = terminated & begun
    reward = (~begun | over).at[0].set(False)
    # What a row is worth from which the episode broke off is not known either.
    later = jnp.pad(step_type, ((0, 1), (0, 0)), constant_values=MID)[1 : depth + 2]
    return Counted(alive, alive & (later != FIRST) | terminated, reward, over)


def search_value(weights: Array, q: Array, visits: Array, prior: Array, raw: Array) -> Array:
    """Σ_a π'(a) q̂(a), what the policy π' of a search is worth by the values q that it found.

    Actions that were not visited have the value of the mix (Danihelka et al., 2022, equation 33)

        v_mix = (v̂ + N Σ_visited π(a) q(a) / Σ_visited π(a)) / (1 + N).

    Args:
      weights: π', `[..., A]`.
      q: of the search, `[..., A]`.
      visits: of each action, `[..., A]`; N is their sum.
      prior: logits of π, `[..., A]`.
      raw: v̂, what the network said, `[...]`.

    Returns:
      `[...]`.
    """
    seen = visits > 0
    pi = jnp.where(seen, jax.nn.softmax(prior), 0.0)
    number = jnp.sum(visits, -1)
    mean = jnp.sum(pi * jnp.where(seen, q, 0.0), -1) / jnp.maximum(jnp.sum(pi, -1), 1e-30)
    mix = (raw + number * mean) / (1 + number)
    return jnp.sum(weights * jnp.where(seen, q, mix[..., None]), -1)
