"""Losses: arrays in, arrays out, per step. Compose them, sum them, mask them once."""

from agents.losses.continuous import (
    expected_soft_value,
    pessimistic_target,
    quadratic_advantage,
    smoothed_action,
    soft_value,
    temperature_loss,
)
from agents.losses.distributional import (
    categorical_cross_entropy,
    categorical_projection,
    entropy_of,
    midpoints,
    munchausen_bonus,
    quantile_huber,
    soft_policy,
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
    "double_q_learning",
    "entropy",
    "entropy_of",
    "expected_sarsa",
    "expected_soft_value",
    "gae",
    "huber",
    "lambda_returns",
    "midpoints",
    "munchausen_bonus",
    "n_step_returns",
    "pessimistic_target",
    "policy_gradient",
    "q_lambda_returns",
    "q_learning",
    "quadratic_advantage",
    "quantile_huber",
    "retrace_returns",
    "retrace_weights",
    "signed_hyperbolic",
    "signed_parabolic",
    "smoothed_action",
    "soft_policy",
    "soft_value",
    "squared",
    "temperature_loss",
    "transformed_n_step_q_learning",
    "value_loss",
]
