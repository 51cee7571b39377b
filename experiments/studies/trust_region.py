"""One step of TRPO on a small policy, from random parameters on random advantages, with and without the line search."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from agents.trpo import Region, natural_step, search
from envs import keys
from networks import Categorical

RADIUS = 0.1


def small_policy() -> tuple[Callable[[jax.Array], jax.Array], jax.Array]:
    """A softmax policy of 3 actions: its logits on 64 states as a function of its parameters `[51]`, and these."""
    k_params, k_states = jax.random.split(keys.key(0))
    params, states = 0.5 * jax.random.normal(k_params, (51,)), jax.random.normal(k_states, (64, 4))

    def logits(params: jax.Array) -> jax.Array:
        w1, b1, w2, b2 = jnp.split(params, [24, 30, 48])
        hidden = jnp.tanh(states @ w1.reshape((4, 6)) + b1[None])
        return hidden @ w2.reshape((6, 3)) + b2[None]

    return logits, params


def one_step(seed: jax.Array, line_search: bool) -> tuple[jax.Array, jax.Array]:
    """Improvement of the objective and KL of one step of `small_policy`."""
    k_params, k_action, k_advantage = jax.random.split(keys.key(seed), 3)
    logits, _ = small_policy()
    at = 0.5 * jax.random.normal(k_params, (51,))
    old = Categorical(logits(at))
    action, advantage = old.sample(k_action), jax.random.normal(k_advantage, (64,))
    ratio = lambda x: jnp.exp(Categorical(logits(x)).log_prob(action) - old.log_prob(action))  # noqa: E731
    loss = lambda x: -jnp.mean(ratio(x) * advantage)  # noqa: E731
    kl = lambda x: jnp.mean(old.kl(Categorical(logits(x))))  # noqa: E731
    step = natural_step(-jax.grad(loss)(at), kl, at, radius=RADIUS, damping=1e-3, iterations=30)
    region = Region(RADIUS, line_search=line_search)
    _, metrics = search(lambda part: (loss(at + part * step), kl(at + part * step)), loss(at), region)
    return metrics["improvement"], metrics["kl"]


def _steps(seeds: Sequence[int], line_search: bool) -> tuple[np.ndarray, np.ndarray]:
    improvement, kl = jax.jit(jax.vmap(partial(one_step, line_search=line_search)))(np.array(seeds))
    return np.asarray(improvement), np.asarray(kl)


def divergence(seeds: Sequence[int], line_search: bool = True) -> np.ndarray:
    """KL of the old policy and the new one, in radii of the trust region.

    Args:
      seeds: of parameters and advantages.
      line_search: search along the step; if not, take it as it is.

    Returns:
      `[seeds]`.
    """
    return _steps(seeds, line_search)[1] / RADIUS


def improvement(seeds: Sequence[int], line_search: bool = True) -> np.ndarray:
    """What the step improves the objective by; arguments and result as of `divergence`."""
    return _steps(seeds, line_search)[0]
