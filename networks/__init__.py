"""Networks: torsos, recurrent cores, heads, action distributions, and builders that join them."""

from networks.base import Network
from networks.bounded import BoundedValue
from networks.composites import actor_critic, ensemble, forked, q_network, unreal, view
from networks.cores import GRU, LSTM
from networks.distributions import Categorical, Categoricals, Gaussian, TanhGaussian
from networks.frames import FramePredictor, FrameTorso, ImaginationTorso
from networks.heads import (
    ActionValues,
    CategoricalPolicy,
    CategoricalQ,
    CategoricalsPolicy,
    DeterministicPolicy,
    GaussianPolicy,
    ImplicitQ,
    PixelValues,
    Quadratic,
    QuadraticQ,
    QuantileQ,
    Quantiles,
    QValues,
    TanhGaussianPolicy,
    Value,
    midpoints,
)
from networks.noisy import Noise, NoisyDense
from networks.streams import DotProduct, Streams
from networks.torsos import MLP, ImpalaCNN, NatureCNN, Represented, SmallCNN, Torso, fan_in_uniform

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "ActionValues",
    "BoundedValue",
    "Categorical",
    "CategoricalPolicy",
    "CategoricalQ",
    "Categoricals",
    "CategoricalsPolicy",
    "DeterministicPolicy",
    "DotProduct",
    "FramePredictor",
    "FrameTorso",
    "Gaussian",
    "GaussianPolicy",
    "ImaginationTorso",
    "ImpalaCNN",
    "ImplicitQ",
    "NatureCNN",
    "Network",
    "Noise",
    "NoisyDense",
    "PixelValues",
    "QValues",
    "Quadratic",
    "QuadraticQ",
    "QuantileQ",
    "Quantiles",
    "Represented",
    "SmallCNN",
    "Streams",
    "TanhGaussian",
    "TanhGaussianPolicy",
    "Torso",
    "Value",
    "actor_critic",
    "ensemble",
    "fan_in_uniform",
    "forked",
    "midpoints",
    "q_network",
    "unreal",
    "view",
]
