"""The gradient that Q-Prop estimates with a frozen policy, whose variance the control variate lowers."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from envs import keys
from networks import Gaussian

ACTIONS = 100_000


def estimates(mode: losses.Control, slope_error: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Estimates of the gradient of E[-(a - 2)²] in the mean of a normal policy around 0, which is 4.

    Args:
      mode: when the control variate is used.
      slope_error: what the slope of the action values, 4, is off by.
      seed: of the actions and of the advantages' noise.

    Returns:
      By the loss and written out, `[ACTIONS]` each.
    """
    scale = jnp.full((ACTIONS, 1), jnp.log(0.5))
    old = Gaussian(jnp.zeros_like(scale), scale)
    action = old.sample(keys.key(2 * seed))
    noise = jax.random.normal(keys.key(2 * seed + 1), action.shape[:1])
    advantage = -jnp.square(action[:, 0] - 2) + 4.25 + noise
    slope = jnp.full_like(action, 4.0 + slope_error)
    variate = jnp.sum(slope * action, -1)
    eta = losses.control(mode, advantage, variate)

    def loss(mean: jax.Array) -> jax.Array:
        log_prob = Gaussian(mean, scale).log_prob(action)
        terms = log_prob, old.log_prob(action), advantage - eta * variate, eta, slope, mean
        return jnp.sum(losses.controlled_surrogate(*terms))

    gradient = -jax.grad(loss)(old.mode())[:, 0]
    written_out = action[:, 0] / 0.25 * (advantage - eta * variate) + eta * slope[:, 0]
    return np.asarray(gradient), np.asarray(written_out)


def variance(seeds: Sequence[int], mode: losses.Control = "standard", slope_error: float = 0.0) -> np.ndarray:
    """The variance of one action's estimate.

    Args:
      seeds: of actions and noise.
      mode: when the control variate is used.
      slope_error: what the slope of the action values, 4, is off by.

    Returns:
      `[seeds]`.
    """
    return np.array([estimates(mode, slope_error, int(seed))[0].var() for seed in seeds])
