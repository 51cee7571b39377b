"""Bias and variance of policy-gradient estimates with each member of the Ψ family, on a task with a known gradient.

Three states, two actions, LENGTH steps and then the end; rewards and moves are drawn once. γ = 1, so that all of the
family follow the same gradient. Values depend on how many steps are left, and are known.
"""

from collections.abc import Sequence
from functools import cache
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from agents.base import FIRST, LAST, MID
from envs import keys

FAMILY = get_args(losses.Psi)
S, A, LENGTH, EPISODES = 3, 2, 5, 200_000
RNG = np.random.default_rng(0)
REWARD, MOVE, THETA = RNG.normal(size=(S, A)), RNG.dirichlet(np.ones(S), (S, A)), RNG.normal(size=(S, A))


def exact(theta: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`v [LENGTH + 1, S]` and `q [LENGTH, S, A]` of softmax(theta)."""
    v: list[jax.Array] = [jnp.zeros(S)]
    q: list[jax.Array] = []
    for _ in range(LENGTH):
        q.insert(0, jnp.asarray(REWARD + MOVE @ v[0]))
        v.insert(0, jnp.sum(jax.nn.softmax(theta) * q[0], -1))
    return jnp.stack(v), jnp.stack(q)


@cache
def gradients(wrong_by: float, seed: int = 0, lambda_: float = 0.5) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The gradient of the expected return, `[S * A]`, and each Ψ's estimates `[EPISODES, S * A]`.

    The critic's values are off by `wrong_by` in state 0 and right elsewhere.
    """
    theta = jnp.asarray(THETA, jnp.float32)
    pi = jax.nn.softmax(theta)
    true = jax.grad(lambda theta: jnp.mean(exact(theta)[0][0]))(theta)
    v, q = exact(theta)
    error = wrong_by * jnp.eye(S)[0]
    v, q = v.at[:-1].add(error[None]), q + error[None, :, None] * jnp.array([1.0, -0.5])[None, None]

    def episode(key: jax.Array) -> jax.Array:
        def step(s: jax.Array, key: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            k_action, k_move = jax.random.split(key)
            a = jax.random.categorical(k_action, theta[s])
            return jax.random.categorical(k_move, jnp.log(jnp.asarray(MOVE, jnp.float32))[s, a]), (s, a)

        k_start, k_steps = jax.random.split(key)
        last, (s, a) = jax.lax.scan(step, jax.random.randint(k_start, (), 0, S), jax.random.split(k_steps, LENGTH))
        t, reward = jnp.arange(LENGTH), jnp.asarray(REWARD, jnp.float32)[s, a]
        values = jnp.append(v[t, s], v[LENGTH, last])
        discount = jnp.where(t == LENGTH - 1, 0.0, 1.0)
        step_type = jnp.where(jnp.arange(LENGTH + 1) == LENGTH, LAST, MID).at[0].set(FIRST)
        score = jax.nn.one_hot(s, S)[:, :, None] * (jax.nn.one_hot(a, A) - pi[s])[:, None]
        weights = [
            losses.policy_weights(psi, reward, discount, values, step_type, q[t, s, a], lambda_) for psi in FAMILY
        ]
        return jnp.einsum("pt,tsa->psa", jnp.stack(weights), score).reshape((len(FAMILY), -1))

    estimates = jax.jit(jax.vmap(episode))(jax.random.split(keys.key(seed), EPISODES))
    return np.asarray(true).ravel(), {psi: np.asarray(estimates[:, i]) for i, psi in enumerate(FAMILY)}


def bias(seeds: Sequence[int], psi: str = "gae", wrong_by: float = 0.0) -> np.ndarray:
    """How far the mean of all estimates is from the gradient, as a share of the gradient's norm.

    Args:
      seeds: of the episodes.
      psi: what weighs the score function.
      wrong_by: the critic's error in one of the three states.

    Returns:
      `[seeds]`.
    """
    found = []
    for seed in seeds:
        true, estimates = gradients(float(wrong_by), int(seed))
        found.append(np.linalg.norm(estimates[psi].mean(0) - true) / np.linalg.norm(true))
    return np.array(found)


def variance(seeds: Sequence[int], psi: str = "gae") -> np.ndarray:
    """The variance of an episode's estimate, summed over the parameters, with the right critic.

    Args:
      seeds: of the episodes.
      psi: what weighs the score function.

    Returns:
      `[seeds]`.
    """
    return np.array([gradients(0.0, int(seed))[1][psi].var(0).sum() for seed in seeds])
