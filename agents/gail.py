"""Generative adversarial imitation learning: be taken for the expert.

Ho and Ermon, "Generative adversarial imitation learning", NeurIPS 2016 (arXiv:1606.03476). A discriminator D(s, a),
here the probability that the expert did it, is learned by cross-entropy, and a policy gradient, TRPO's in the paper,
learns from

    r = -ln(1 - D)   or   ln D   or   ln D - ln(1 - D)

of which the first is at least 0 and pays for staying alive, and the second at most 0 and pays for ending.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

import networks
from agents import losses
from agents.base import Array, Key
from agents.common.adversarial import Judge
from agents.common.moves import Moves


def judge(hidden: tuple[int, ...] = (100, 100), form: str = "positive") -> Judge:
    """A discriminator of states and actions, for `agents.common.adversarial.imitating`.

    Args:
      hidden: sizes of its layers.
      form: of the reward, see `losses.adversarial_reward`.
    """
    network = networks.MLP((*hidden, 1), nn.tanh, activate_final=False)

    def see(moves: Moves) -> Array:
        return jnp.concatenate([moves.observation, moves.action], axis=-1)

    def init(key: Key, moves: Moves) -> Any:
        return network.init(key, see(moves))

    def logits(params: Any, moves: Moves) -> Array:
        return jnp.asarray(network.apply(params, see(moves)))[..., 0]

    def reward(params: Any, moves: Moves) -> Array:
        return losses.adversarial_reward(logits(params, moves), form)

    return Judge(init, logits, reward, reward)
