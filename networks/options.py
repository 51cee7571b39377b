"""The heads of agents that follow options: what each is worth, whether it ends, and what it does."""

from typing import NamedTuple

import flax.linen as nn
import jax
from jax.nn.initializers import zeros

from envs.base import Array
from networks.heads import QValues
from networks.initializers import orthogonal
from networks.torsos import linear


class Options(NamedTuple):
    """What is known of W options in a state."""

    q: Array  # [..., W], values
    stop: Array  # [..., W], logits of the probability that the option ends on arriving
    logits: Array  # [..., W, A], of actions


class OptionHeads(nn.Module):
    """Linear heads `[..., D] -> Options`; at first every option is as likely to end as not, and acts at random.

    With `apart` the features learn from the values alone, as in the paper's DQN; else from all of them, as in A2OC.
    """

    options: int
    num_actions: int
    apart: bool = False

    @nn.compact
    def __call__(self, features: Array) -> Options:
        """`[..., D] -> Options [...]`."""
        q = QValues(self.options)(features)
        features = jax.lax.stop_gradient(features) if self.apart else features
        stop = linear(features, self.options, orthogonal(0.01), zeros, name="stop")
        logits = linear(features, self.options * self.num_actions, orthogonal(0.01), zeros, name="policies")
        return Options(q, stop, logits.reshape((*features.shape[:-1], self.options, self.num_actions)))
