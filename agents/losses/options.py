"""What options are worth, and when to leave them: elementwise, any leading axes.

Bacon, Harb and Precup, "The option-critic architecture", AAAI 2017; Harb, Bacon, Klissarov and Precup, "When waiting is
not an option: learning options with a deliberation cost", AAAI 2018.
"""

import jax
import jax.numpy as jnp

from agents.base import Array


def option_choice(q_t: Array, epsilon: Array | float = 0.0) -> Array:
    """What choosing an option is worth: V = (1 - ε) max_w Q(x, w) + ε mean_w Q(x, w).

    Args:
      q_t: values of all options, `[..., W]`.
      epsilon: probability that the option is chosen at random.

    Returns:
      `[...]`.
    """
    return (1 - epsilon) * jnp.max(q_t, axis=-1) + epsilon * jnp.mean(q_t, axis=-1)


def option_arrival(q_t: Array, stop_t: Array, v_t: Array) -> Array:
    """What arriving with an option is worth: U = (1 - β) Q(x, w) + β V(x).

    Args:
      q_t: values Q(x, w) of the option that one arrives with, `[...]`.
      stop_t: the probability β that it ends there, or whether it did, as 0 or 1, `[...]`.
      v_t: values V(x) of choosing anew, `[...]`.

    Returns:
      `[...]`.
    """
    return (1 - stop_t) * q_t + stop_t * v_t


def termination_loss(stop_t: Array, q_t: Array, v_t: Array, cost: Array | float = 0.0) -> Array:
    """β (Q(x, w) - V(x) + η): an option's end becomes likelier where it is worth less than choosing anew, less η.

    Args:
      stop_t: probabilities β that the option ends on arriving, `[...]`; the gradient flows into these alone.
      q_t: values Q(x, w) of going on with it, `[...]`.
      v_t: values V(x) of choosing anew, `[...]`.
      cost: η, the deliberation cost, or what else an end must gain.

    Returns:
      Losses `[...]`.
    """
    return stop_t * jax.lax.stop_gradient(q_t - v_t + cost)
