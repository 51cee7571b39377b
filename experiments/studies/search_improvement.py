"""Whether a search is better than the policy it begins with, on random policies and values; after mctx's example."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from agents.world.latent import Latent, Search, Stepped, searched
from envs import keys

if TYPE_CHECKING:
    from agents.base import Array, Tree

ATOMS = jnp.linspace(-8.0, 8.0, 65)


def table(logits: "Array", q: "Array") -> Latent:
    """A model of one step: problem i has a policy, and action a ends it with the reward `q[i, a]`."""

    def judge(params: "Tree", state: "Array") -> "tuple[Array, Array]":
        prior = jax.nn.softmax(logits[state])
        value = jnp.sum(prior * q[state], -1)
        return logits[state], jnp.log(losses.two_hot(value, ATOMS) + 1e-30)

    def step(params: "Tree", state: "Array", action: "Array") -> Stepped:
        return Stepped(state, q[state, action], jnp.zeros(state.shape), ())

    return Latent(lambda key, observation: (), lambda params, observation: observation, step, judge)


def gains(
    seed: int, simulations: int, gumbel: bool = True, actions: int = 8, problems: int = 64, draws: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Of random problems, how much the actions of a search are worth above the policy: means, and standard errors."""
    k_logits, k_values, k_search = jax.random.split(keys.key(seed), 3)
    logits = jax.random.normal(k_logits, (problems, actions))
    q = jax.random.normal(k_values, (problems, actions))
    find = searched(table(logits, q), Search(simulations, gumbel), ATOMS, losses.IDENTITY_PAIR, 1.0)
    which = jnp.repeat(jnp.arange(problems), draws)
    action = jax.jit(lambda key: find((), key, which, None, True).action)(k_search)
    gain = q[which, action] - jnp.sum(jax.nn.softmax(logits) * q, -1)[which]
    each = np.asarray(gain).reshape(problems, draws)
    return each.mean(1), each.std(1) / draws**0.5


def improved(
    seeds: Sequence[int], simulations: Sequence[int] = (2, 4, 8, 16), gumbel: bool = True, **sizes: int
) -> np.ndarray:
    """The share of problems in which a search is no worse than its policy, for the number of simulations where it is
    least; four standard errors below count as no worse. `[seeds]`."""

    def share(seed: int) -> float:
        found = [gains(seed, number, gumbel, **sizes) for number in simulations]
        return float(min((mean >= -4 * error - 1e-6).mean() for mean, error in found))

    return np.array([share(seed) for seed in seeds])
