"""Exploration by noise in the parameters that act.

Plappert et al., "Parameter space noise for exploration", ICLR 2018: act with θ̃ = θ + σ ε, ε ~ N(0, I) held for a while,
learn with θ; and after each draw adapt σ so that the policies differ by about δ:

    σ ← 1.01 σ  if d(π, π̃) ≤ δ  else  σ / 1.01
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import memory, parallel
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree
from agents.objectives import Objective
from networks.base import Network


class State(NamedTuple):
    """An inner agent's state with the perturbation that acts."""

    inner: Any
    noise: Any  # ε, as the parameters
    sigma: Array
    updates: Array  # int32


class Actor(NamedTuple):
    """The inner actor as it is, for evaluation, and perturbed, for exploration."""

    clean: Any
    perturbed: Any


def epsilon_distance(epsilon: float | Array, num_actions: int) -> Array:
    """δ = -log(1 - ε + ε / A): how far ε-greedy is from greedy, so that the noise is as strong as that ε."""
    return -jnp.log(1 - epsilon + jnp.asarray(epsilon) / num_actions)


def softmax_divergence(network: Network, objective: Objective) -> Callable[..., Array]:
    """The distance for Q-learners: mean KL(softmax Q, softmax Q̃) over the rows of a window."""

    def distance(params: Any, perturbed: Any, key: Key, steps: Step) -> Array:
        log_p, log_q = (
            jax.nn.log_softmax(objective.values(memory.unroll(network, p, key, steps))) for p in (params, perturbed)
        )
        divergence = jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)
        return parallel.masked_mean(divergence, jnp.ones_like(divergence))

    return distance


def action_distance(network: Network) -> Callable[..., Array]:
    """The distance for deterministic policies: √E[(μ - μ̃)²] over the rows of a window and the actions' dimensions.

    As strong as Gaussian noise of standard deviation σ is δ = σ.
    """

    def distance(params: Any, perturbed: Any, key: Key, steps: Step) -> Array:
        action, other = (memory.unroll(network, p, key, steps) for p in (params, perturbed))
        square = jnp.mean(jnp.square(action - other), axis=-1)
        return jnp.sqrt(parallel.mean(parallel.masked_mean(square, jnp.ones_like(square))))

    return distance


def parameter_noise(
    agent: Agent,
    distance: Callable[..., Array],
    threshold: float | Array,
    *,
    sigma: float | Array = 0.01,
    growth: float | Array = 1.01,
    period: int | Array = 50,
) -> Agent:
    """An agent that explores with perturbed parameters.

    All lanes share a perturbation, drawn anew every `period` updates: lanes end their episodes at different times, so
    "once an episode" is one setting of the period. Layer normalisation stays unperturbed, and should be there: it
    is what lets one σ fit all layers.

    Args:
      agent: its actor is a NamedTuple with a field `params`.
      distance: `(params, perturbed, key, steps[T+1, N]) -> d`.
      threshold: δ.
      sigma: the first σ.
      growth: by how much σ moves after each draw.
      period: updates between draws.
    """

    def draw(key: Key, params: Tree) -> Tree:
        flat, structure = jax.tree_util.tree_flatten_with_path(params)
        draws = [
            jnp.zeros_like(x) if "LayerNorm" in jax.tree_util.keystr(path) else jax.random.normal(k, x.shape)
            for (path, x), k in zip(flat, jax.random.split(key, len(flat)), strict=True)
        ]
        return jax.tree.unflatten(structure, draws)

    def perturbed(params: Tree, noise: Tree, sigma: Array) -> Tree:
        return jax.tree.map(lambda x, e: x + sigma * e, params, noise)

    def init(key: Key, timestep: TimeStep) -> State:
        k_inner, k_noise = jax.random.split(key)
        inner = agent.init(k_inner, timestep)
        return State(inner, draw(k_noise, agent.actor(inner).params), jnp.asarray(sigma, jnp.float32), jnp.int32(0))

    def actor(state: State) -> Actor:
        clean = agent.actor(state.inner)
        return Actor(clean, clean._replace(params=perturbed(clean.params, state.noise, state.sigma)))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        return agent.act(actor.perturbed if explore else actor.clean, key, carry, timestep, explore)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_inner, k_noise, k_distance = jax.random.split(key, 3)
        inner, info = agent.update(state.inner, k_inner, sample)
        count = state.updates + 1

        def renew(state: State) -> tuple[Tree, Array]:
            params = agent.actor(inner).params
            noise = draw(k_noise, params)
            d = distance(params, perturbed(params, noise, state.sigma), k_distance, sample.steps)
            return noise, jnp.where(d <= threshold, state.sigma * growth, state.sigma / growth)

        # One run on a device pays for a draw once a period; vmapped runs pay in every update.
        noise, std = jax.lax.cond(count % period == 0, renew, lambda s: (s.noise, s.sigma), state)
        return State(inner, noise, std, count), info._replace(metrics={**info.metrics, "sigma": std})

    return Agent(init, actor, agent.begin, act, update)
