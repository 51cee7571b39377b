"""Adversarial inverse reinforcement learning: a reward that is learned from an expert and outlives the task's moves.

Fu, Luo and Levine, "Learning robust rewards with adversarial inverse reinforcement learning", ICLR 2018
(arXiv:1710.11248). The discriminator knows the policy:

    D(s, a, s') = exp f / (exp f + π(a|s))        f = g(s[, a]) + γ h(s') - h(s)

and the policy is paid ln D - ln(1 - D) = f - ln π(a|s), which is f and the policy's entropy. h takes up what shapes the
reward for the moves it was learned among; where g is of states alone and moves are deterministic, g is the reward up to
a constant. g is what is handed on.
"""

from typing import Any

import jax
import jax.numpy as jnp

import networks
from agents import losses
from agents.base import Array, Key
from agents.common.adversarial import Judge
from agents.common.moves import Moves


def judge(hidden: tuple[int, ...] = (32, 32), of_actions: bool = False, discount: float | Array = 0.99) -> Judge:
    """The discriminator, for `agents.common.adversarial.imitating` with the policy's density.

    Args:
      hidden: sizes of the layers of g and h; with none they are linear, which are tables for observations of numbers.
      of_actions: g is of states and actions, not of states alone.
      discount: γ of the shaping, which is the policy's.
    """
    pays, potential = (networks.MLP((*hidden, 1), activate_final=False) for _ in range(2))

    def see(moves: Moves) -> Array:
        return jnp.concatenate([moves.observation, moves.action], axis=-1) if of_actions else moves.observation

    def init(key: Key, moves: Moves) -> dict[str, Any]:
        k_pays, k_potential = jax.random.split(key)
        return {"reward": pays.init(k_pays, see(moves)), "potential": potential.init(k_potential, moves.observation)}

    def lasting(params: dict[str, Any], moves: Moves) -> Array:
        return jnp.asarray(pays.apply(params["reward"], see(moves)))[..., 0]

    def logits(params: dict[str, Any], moves: Moves) -> Array:
        h_tm1, h_t = (
            jnp.asarray(potential.apply(params["potential"], x))[..., 0] for x in (moves.observation, moves.after)
        )
        shaped = losses.shaped_reward(lasting(params, moves), h_tm1, h_t, discount * moves.discount)
        return losses.airl_logits(shaped, moves.log_prob)

    return Judge(init, logits, lambda params, moves: losses.adversarial_reward(logits(params, moves), "logit"), lasting)
