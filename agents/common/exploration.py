"""Exploration beyond single random actions, around any agent: noise in the parameters, and actions that are held.

Plappert et al., "Parameter space noise for exploration", ICLR 2018: act with θ̃ = θ + σ ε, ε ~ N(0, I) held for a while,
learn with θ; and after each draw adapt σ so that the policies differ by about δ:

    σ ← 1.01 σ  if d(π, π̃) ≤ δ  else  σ / 1.01

Dabney, Ostrovski and Barreto, "Temporally-extended ε-greedy exploration", ICLR 2021 (εz-greedy): with probability ε
begin to repeat a random action n times, P(n) ∝ n^-μ; choose again when that is over.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, select
from agents.common import recurrence
from agents.common.objectives import Objective
from envs import parallel
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
            jax.nn.log_softmax(objective.values(recurrence.unroll(network, p, key, steps))) for p in (params, perturbed)
        )
        divergence = jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)
        return parallel.mean(parallel.masked_mean(divergence, jnp.ones_like(divergence)))

    return distance


def action_distance(network: Network) -> Callable[..., Array]:
    """The distance for deterministic policies: √E[(μ - μ̃)²] over the rows of a window and the actions' dimensions.

    As strong as Gaussian noise of standard deviation σ is δ = σ.
    """

    def distance(params: Any, perturbed: Any, key: Key, steps: Step) -> Array:
        action, other = (recurrence.unroll(network, p, key, steps) for p in (params, perturbed))
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

    return agent._replace(init=init, actor=actor, act=act, update=update)


class Held(NamedTuple):
    """The memory of `extended`: the inner agent's, and what each lane repeats."""

    inner: Any
    action: Array  # int32 [B]
    left: Array  # int32 [B], how often still


def extended(agent: Agent, num_actions: int, longest: int, exponent: float = 2.0) -> Agent:
    """An ε-greedy agent whose random actions last.

    ε is then the probability with which they begin, so that more than a share of ε of all actions is random. What a
    lane repeats ends with its episode. The agent learns and is evaluated as it was.

    Args:
      agent: its actor is a NamedTuple with a field `epsilon`, such as `dqn`'s.
      num_actions: of the task.
      longest: the most repetitions; the paper's 10,000 is longer than most episodes.
      exponent: μ.

    Raises:
      ValueError: `longest` below 1, or an `exponent` that is not positive.
    """
    if longest < 1 or not exponent > 0:
        raise ValueError(f"longest is {longest}, exponent {exponent}; allowed: at least 1, and positive")
    mass = np.cumsum(np.arange(1, longest + 1, dtype=np.float64) ** -exponent)
    up_to = (mass / mass[-1]).astype(np.float32)

    def begin(batch: int) -> Held:
        return Held(agent.begin(batch), jnp.zeros(batch, jnp.int32), jnp.zeros(batch, jnp.int32))

    def act(actor: Any, key: Key, carry: Held, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        k_inner, k_begin, k_action, k_times = jax.random.split(key, 4)
        greedy = actor._replace(epsilon=jnp.zeros_like(actor.epsilon))
        action, inner, extras = agent.act(greedy, k_inner, carry.inner, timestep, explore)
        if not explore:
            return action, carry._replace(inner=inner), extras
        lanes = action.shape
        left = jnp.where(timestep.first(), 0, carry.left)
        new = (left == 0) & (jax.random.uniform(k_begin, lanes) < actor.epsilon)
        drawn = jax.random.randint(k_action, lanes, 0, num_actions, jnp.int32)
        times = jnp.searchsorted(up_to, jax.random.uniform(k_times, lanes), side="right").astype(jnp.int32) + 1
        held = jnp.where(new, drawn, carry.action)
        left = jnp.where(new, times, left)
        return select(left > 0, held, action), Held(inner, held, jnp.maximum(left - 1, 0)), extras

    return agent._replace(begin=begin, act=act, stored=lambda carry: agent.stored(carry.inner))
