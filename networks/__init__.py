"""Networks: torsos, recurrent cores, heads, action distributions, and builders that join them."""

from networks.base import Network
from networks.composites import actor_critic, q_network
from networks.cores import GRU, LSTM
from networks.distributions import Categorical, Gaussian, TanhGaussian
from networks.heads import CategoricalPolicy, GaussianPolicy, QValues, TanhGaussianPolicy, Value
from networks.torsos import MLP, ImpalaCNN, NatureCNN, SmallCNN, Torso, fan_in_uniform

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "Categorical",
    "CategoricalPolicy",
    "Gaussian",
    "GaussianPolicy",
    "ImpalaCNN",
    "NatureCNN",
    "Network",
    "QValues",
    "SmallCNN",
    "TanhGaussian",
    "TanhGaussianPolicy",
    "Torso",
    "Value",
    "actor_critic",
    "fan_in_uniform",
    "q_network",
]
