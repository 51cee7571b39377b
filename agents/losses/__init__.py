"""Losses: arrays in, arrays out, per step. Compose them, sum them, mask them once."""

from agents.losses.policies import approx_kl, clip_fraction, clipped_surrogate, entropy, policy_gradient
from agents.losses.returns import boundaries, discounted_returns, gae, lambda_returns, n_step_returns
from agents.losses.values import clip_gradient, double_q_learning, huber, q_learning, squared, value_loss

__all__ = [
    "approx_kl",
    "boundaries",
    "clip_fraction",
    "clip_gradient",
    "clipped_surrogate",
    "discounted_returns",
    "double_q_learning",
    "entropy",
    "gae",
    "huber",
    "lambda_returns",
    "n_step_returns",
    "policy_gradient",
    "q_learning",
    "squared",
    "value_loss",
]
