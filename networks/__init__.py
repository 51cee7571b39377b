"""Networks: torsos, recurrent cores, heads, action distributions, and builders that join them."""

from networks.base import Network
from networks.bounded import BoundedValue
from networks.composites import actor_critic, ensemble, forked, q_network, unreal, view
from networks.control import Control, control, simplicial
from networks.cores import GRU, LSTM
from networks.decision import DecisionTransformer, decision
from networks.distributions import Categorical, Categoricals, Gaussian, TanhGaussian
from networks.frames import FramePredictor, FrameTorso, ImaginationTorso
from networks.heads import (
    ActionValues,
    Behaving,
    BehaviourQ,
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
    Values,
    midpoints,
)
from networks.latent import LatentModel, PolicyValue
from networks.noisy import Noise, NoisyDense
from networks.streams import DotProduct, Streams
from networks.token_model import TokenModel
from networks.tokens import Tokeniser, autoencoder, cells
from networks.torsos import MLP, ImpalaCNN, NatureCNN, Represented, SmallCNN, Torso, fan_in_uniform
from networks.towers import Tower
from networks.transformer import Cache, Transformer, fresh_cache

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "ActionValues",
    "Behaving",
    "BehaviourQ",
    "BoundedValue",
    "Cache",
    "Categorical",
    "CategoricalPolicy",
    "CategoricalQ",
    "Categoricals",
    "CategoricalsPolicy",
    "Control",
    "DecisionTransformer",
    "DeterministicPolicy",
    "DotProduct",
    "FramePredictor",
    "FrameTorso",
    "Gaussian",
    "GaussianPolicy",
    "ImaginationTorso",
    "ImpalaCNN",
    "ImplicitQ",
    "LatentModel",
    "NatureCNN",
    "Network",
    "Noise",
    "NoisyDense",
    "PixelValues",
    "PolicyValue",
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
    "TokenModel",
    "Tokeniser",
    "Torso",
    "Tower",
    "Transformer",
    "Value",
    "Values",
    "actor_critic",
    "autoencoder",
    "cells",
    "control",
    "decision",
    "ensemble",
    "fan_in_uniform",
    "forked",
    "fresh_cache",
    "midpoints",
    "q_network",
    "simplicial",
    "unreal",
    "view",
]
