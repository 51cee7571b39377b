"""Networks of latent world models: the recurrent state-space model, encoders, decoders and heads of the Dreamers."""

from networks.world.coders import Decoder, Encoder
from networks.world.heads import Head, Policy
from networks.world.latents import Classes, Kind, Normal
from networks.world.mixture import VAE, Mixture, MixtureMemory, standardised
from networks.world.rssm import RSSM, Latent
from networks.world.style import Layers, Style
from networks.world.world import World

__all__ = [
    "RSSM",
    "VAE",
    "Classes",
    "Decoder",
    "Encoder",
    "Head",
    "Kind",
    "Latent",
    "Layers",
    "Mixture",
    "MixtureMemory",
    "Normal",
    "Policy",
    "Style",
    "World",
    "standardised",
]
