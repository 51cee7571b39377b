"""Apprenticeship learning by projection: policies whose mixture meets the features that the expert meets.

Abbeel and Ng, "Apprenticeship learning via inverse reinforcement learning", ICML 2004, section 3.1. With μ(π) =
E[Σ_t γ^t φ(s_t)] and the mixture's μ̄,

    w = μ_E - μ̄        π = the optimal policy of the reward φᵀw        μ̄ ← the point nearest to μ_E between μ̄ and μ(π)

‖μ_E - μ̄‖ bounds what the mixture loses on any reward φᵀw* with ‖w*‖ ≤ 1. The mixture is kept by its occupancy: the
policy ρ̄(s, a) / Σ_a ρ̄(s, a) is in each state as often as a policy that is drawn from the mixture once an episode.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, TimeStep
from agents.world import tables


class Mixture(NamedTuple):
    """Where the mixture is, and the weights that the last policy was optimal for."""

    occupancy: Array  # [S, A]
    weights: Array  # [F]


def expectations(occupancy: Array, features: Array, discount: float | Array) -> Array:
    """μ `[F]` of an occupancy `[S, A]` and features `[S, F]`: a sum over time, not a mean."""
    return jnp.sum(occupancy, axis=-1) @ features / (1 - discount)


def project(
    mixture: Mixture, model: tables.Model, features: Array, expert: Array, discount: float | Array, sweeps: int = 100
) -> tuple[Mixture, Array]:
    """One policy more.

    Args:
      mixture: so far.
      model: of the task.
      features: φ, `[S, F]`.
      expert: μ_E, `[F]`.
      discount: γ.
      sweeps: of value iteration.

    Returns:
      The mixture, and its distance ‖μ_E - μ̄‖ to the expert.
    """
    mean = expectations(mixture.occupancy, features, discount)
    return mixed(mixture, expert - mean, model, features, expert, discount, sweeps)


def mixed(
    mixture: Mixture,
    weights: Array,
    model: tables.Model,
    features: Array,
    expert: Array,
    discount: float | Array,
    sweeps: int = 100,
) -> tuple[Mixture, Array]:
    """The same with any weights `[F]` to find the policy by."""
    actions = model.transition.shape[1]
    pays = jnp.broadcast_to((features @ weights)[:, None], (features.shape[0], actions))
    best = tables.plan(model, pays, discount=discount, sweeps=sweeps).occupancy
    mean, reached = (expectations(x, features, discount) for x in (mixture.occupancy, best))
    share = losses.projected(mean, reached, expert)
    occupancy = mixture.occupancy + share * (best - mixture.occupancy)
    distance = jnp.linalg.norm(expert - expectations(occupancy, features, discount))
    return Mixture(occupancy, weights), distance


def policy(occupancy: Array) -> Array:
    """The policy `[S, A]` with this occupancy; states that are never met have a uniform one."""
    there = jnp.sum(occupancy, axis=-1, keepdims=True)
    return jnp.where(there > 0, occupancy / jnp.maximum(there, 1e-30), 1.0 / occupancy.shape[-1])


class State(NamedTuple):
    """What was shown, what was seen of the task, and the mixture."""

    shown: tables.Shown
    counts: tables.Counts
    mixture: Mixture


def apprenticeship(
    states: int,
    actions: int,
    expert: Callable[[Key], tables.Shown],
    features: Array,
    *,
    discount: float | Array = 0.9,
    sweeps: int = 100,
    epsilon: float | Array = 0.1,
) -> Agent:
    """The agent for observations 0, ..., states - 1 that learns how the task moves by acting, and never sees a reward.

    Learns from `replay.on_policy()`; one policy joins the mixture at each update. As the model is learned on the way,
    the mixture's occupancy is that under the models of its time.

    Args:
      states: S.
      actions: A.
      expert: `(key) -> what demonstrations say`; policies are compared with them from where they begin.
      features: φ, `[S, F]`.
      discount: γ.
      sweeps: of value iteration.
      epsilon: probability of a random action while exploring.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        del timestep
        nothing = Mixture(jnp.zeros((states, actions)), jnp.zeros(features.shape[1]))
        return State(expert(key), tables.unseen(states, actions), nothing)

    def act(actor: Array, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> Any:
        chances = actor[timestep.observation]
        random = epsilon / actions if explore else 0.0
        chances = (1 - random * actions) * chances + random
        return jax.random.categorical(key, jnp.log(chances)).astype(jnp.int32), carry, ()

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        counts = tables.counted(state.counts, sample.steps)
        model = tables.estimated(counts)._replace(initial=state.shown.initial)
        even = tables.occupancy(model, jnp.full((states, actions), 1.0 / actions), discount)
        fresh = jnp.sum(state.mixture.occupancy) == 0
        mixture = state.mixture._replace(occupancy=jnp.where(fresh, even, state.mixture.occupancy))
        aim = expectations(state.shown.occupancy, features, discount)
        mixture, distance = project(mixture, model, features, aim, discount, sweeps)
        return State(state.shown, counts, mixture), Info({"loss": distance, "distance": distance})

    return Agent(init, lambda state: policy(state.mixture.occupancy), lambda batch: (), act, update)
