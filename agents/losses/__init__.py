"""Losses: arrays in, arrays out, per step. Compose them, sum them, mask them once."""

from agents.losses.distributional import (
    categorical_cross_entropy,
    categorical_projection,
    entropy_of,
    midpoints,
    munchausen_bonus,
    quantile_huber,
    soft_policy,
)
from agents.losses.models import (
    distillation,
    gaussian_nll,
    pixel_cross_entropy,
    symexp,
    symlog,
    two_hot,
    two_hot_cross_entropy,
)
from agents.losses.off_policy import (
    beta_leave_one_out,
    categorical_retrace,
    q_lambda_returns,
    retrace_returns,
    retrace_weights,
)
from agents.losses.policies import approx_kl, clip_fraction, clipped_surrogate, entropy, policy_gradient
from agents.losses.returns import boundaries, discounted_returns, gae, lambda_returns, n_step_returns
from agents.losses.transforms import (
    IDENTITY_PAIR,
    SIGNED_HYPERBOLIC_PAIR,
    signed_hyperbolic,
    signed_parabolic,
    transformed_n_step_q_learning,
)
from agents.losses.values import (
    clip_gradient,
    double_q_learning,
    expected_sarsa,
    huber,
    q_learning,
    squared,
    value_loss,
)

__all__ = [
    "IDENTITY_PAIR",
    "SIGNED_HYPERBOLIC_PAIR",
    "approx_kl",
    "beta_leave_one_out",
    "boundaries",
    "categorical_cross_entropy",
    "categorical_projection",
    "categorical_retrace",
    "clip_fraction",
    "clip_gradient",
    "clipped_surrogate",
    "discounted_returns",
    "distillation",
    "double_q_learning",
    "entropy",
    "entropy_of",
    "expected_sarsa",
    "gae",
    "gaussian_nll",
    "huber",
    "lambda_returns",
    "midpoints",
    "munchausen_bonus",
    "n_step_returns",
    "pixel_cross_entropy",
    "policy_gradient",
    "q_lambda_returns",
    "q_learning",
    "quantile_huber",
    "retrace_returns",
    "retrace_weights",
    "signed_hyperbolic",
    "signed_parabolic",
    "soft_policy",
    "squared",
    "symexp",
    "symlog",
    "transformed_n_step_q_learning",
    "two_hot",
    "two_hot_cross_entropy",
    "value_loss",
]
