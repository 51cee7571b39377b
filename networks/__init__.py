"""Networks: torsos, recurrent cores, heads, action distributions, and builders that join them."""

from networks.base import Network
from networks.bounded import BoundedValue
from networks.composites import actor_critic, ensemble, forked, q_network, unreal, view
from networks.control import Control, control, simplicial
from networks.cores import GRU, LSTM, DilatedLSTM
from networks.decision import DecisionTransformer, decision
from networks.distributions import Categorical, Categoricals, Gaussian, TanhGaussian
from networks.feudal import Feudal
from networks.frames import FramePredictor, FrameTorso, ImaginationTorso
from networks.heads import (
    ActionValues,
    Behaving,
    BehaviourQ,
    CategoricalPolicy,
    CategoricalQ,
    CategoricalsPolicy,
    DeterministicPolicy,
    Embedding,
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
from networks.options import OptionHeads, Options
from networks.streams import DotProduct, Streams
from networks.text import BagOfWords, TextLSTM, reading
from networks.token_model import TokenModel
from networks.tokens import Tokeniser, autoencoder, cells
from networks.torsos import MLP, ImpalaCNN, NatureCNN, Represented, SmallCNN, Torso, fan_in_uniform
from networks.towers import Tower
from networks.transformer import Cache, Transformer, fresh_cache
from networks.vin import Planner, ValueIteration

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "ActionValues",
    "BagOfWords",
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
    "DilatedLSTM",
    "DotProduct",
    "Embedding",
    "Feudal",
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
    "OptionHeads",
    "Options",
    "PixelValues",
    "Planner",
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
    "TextLSTM",
    "TokenModel",
    "Tokeniser",
    "Torso",
    "Tower",
    "Transformer",
    "Value",
    "ValueIteration",
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
    "reading",
    "simplicial",
    "unreal",
    "view",
]
