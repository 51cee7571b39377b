"""Networks: torsos, recurrent cores, heads, action distributions, and builders that join them."""

from networks.base import Network
from networks.composites import actor_critic, forked, q_network, unreal, view
from networks.cores import GRU, LSTM
from networks.distributions import Categorical, Gaussian, TanhGaussian
from networks.heads import (
    ActionValues,
    CategoricalPolicy,
    CategoricalQ,
    GaussianPolicy,
    ImplicitQ,
    PixelValues,
    QuantileQ,
    Quantiles,
    QValues,
    TanhGaussianPolicy,
    Value,
)
from networks.noisy import Noise, NoisyDense
from networks.torsos import MLP, ImpalaCNN, NatureCNN, SmallCNN, Torso, fan_in_uniform

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "ActionValues",
    "Categorical",
    "CategoricalPolicy",
    "CategoricalQ",
    "Gaussian",
    "GaussianPolicy",
    "ImpalaCNN",
    "ImplicitQ",
    "NatureCNN",
    "Network",
    "Noise",
    "NoisyDense",
    "PixelValues",
    "QValues",
    "QuantileQ",
    "Quantiles",
    "SmallCNN",
    "TanhGaussian",
    "TanhGaussianPolicy",
    "Torso",
    "Value",
    "actor_critic",
    "fan_in_uniform",
    "forked",
    "q_network",
    "unreal",
    "view",
]
