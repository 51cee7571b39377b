"""Losses of auxiliary tasks (Jaderberg et al., "Reinforcement learning with unsupervised auxiliary tasks", ICLR 2017).

One stream of rows 0, ..., T, with the conventions of `returns`; one number per transition.
"""

import jax
import jax.numpy as jnp
import optax
import rlax

from agents.base import Array
from agents.losses.returns import boundaries, lambda_returns
from agents.losses.values import squared


def pixel_control(observation: Array, a_tm1: Array, discount_t: Array, q: Array, step_type: Array, cell: int) -> Array:
    """n-step Q-learning, n as far as the window or the episode goes, of how much each cell of the image changes.

    The pseudo-reward of a cell is the mean absolute change of its pixels (rlax). Targets bootstrap from max_a q at
    their end; actions within are taken as they are, without correction.

    Args:
      observation: images of all rows, float in [0, 1], `[T+1, H, W, C]`.
      a_tm1: actions taken from rows 0, ..., T-1, integers `[T]`.
      discount_t: the task's γ times the discount of the row, `[T]`.
      q: action values of all rows and cells, `[T+1, H/cell, W/cell, A]`.
      step_type: `[T+1]`.
      cell: pixels in a side of a cell; divides H and W.

    Returns:
      ½δ², summed over cells, `[T]`.
    """
    reward = rlax.pixel_control_rewards(observation, cell)
    greedy = jax.lax.stop_gradient(jnp.max(q[1:], axis=-1))
    returns = jax.vmap(jax.vmap(lambda_returns, (1, None, 1, None), 1), (2, None, 2, None), 2)
    target = returns(reward, discount_t, greedy, step_type)
    index = jnp.broadcast_to(a_tm1[:, None, None, None], (*reward.shape, 1))
    taken = jnp.take_along_axis(q[:-1], index, axis=-1)[..., 0]
    valid, _ = boundaries(step_type)
    return jnp.where(valid, jnp.sum(squared(target - taken), axis=(1, 2)), 0.0)


def reward_prediction(logits_tm1: Array, r_t: Array) -> Array:
    """-ln p(class of the next reward): 0 for none, 1 for a positive, 2 for a negative one.

    Args:
      logits_tm1: from rows 0, ..., T-1, `[..., 3]`.
      r_t: rewards `[...]`.

    Returns:
      `[...]`, in nats.
    """
    label = jnp.where(r_t > 0, 1, jnp.where(r_t < 0, 2, 0))
    return optax.softmax_cross_entropy_with_integer_labels(logits_tm1, label)
