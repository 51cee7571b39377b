"""Losses: arrays in, arrays out, per step. Compose them, sum them, mask them once."""

from agents.losses.auxiliary import pixel_control, reward_prediction
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
    vtrace,
)
from agents.losses.policies import (
    adapted_penalty,
    approx_kl,
    clip_fraction,
    clipped_surrogate,
    entropy,
    policy_gradient,
    surrogate,
)
from agents.losses.psi import Control, Psi, control, policy_weights, total_returns
from agents.losses.returns import boundaries, discounted_returns, gae, lambda_returns, n_step_returns
from agents.losses.transforms import (
    IDENTITY_PAIR,
    SIGNED_HYPERBOLIC_PAIR,
    signed_hyperbolic,
    signed_parabolic,
    transformed_n_step_q_learning,
)
from agents.losses.trust import truncated_gradient, trusted_gradient
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
    "Control",
    "Psi",
    "adapted_penalty",
    "approx_kl",
    "beta_leave_one_out",
    "boundaries",
    "categorical_cross_entropy",
    "categorical_projection",
    "categorical_retrace",
    "clip_fraction",
    "clip_gradient",
    "clipped_surrogate",
    "control",
    "discounted_returns",
    "double_q_learning",
    "entropy",
    "entropy_of",
    "expected_sarsa",
    "gae",
    "huber",
    "lambda_returns",
    "midpoints",
    "munchausen_bonus",
    "n_step_returns",
    "pixel_control",
    "policy_gradient",
    "policy_weights",
    "q_lambda_returns",
    "q_learning",
    "quantile_huber",
    "retrace_returns",
    "retrace_weights",
    "reward_prediction",
    "signed_hyperbolic",
    "signed_parabolic",
    "soft_policy",
    "squared",
    "surrogate",
    "total_returns",
    "transformed_n_step_q_learning",
    "truncated_gradient",
    "trusted_gradient",
    "value_loss",
    "vtrace",
]
