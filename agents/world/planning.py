"""Planning with a model, anew at every step: random shooting, CEM and MPPI; trees: `agents.world.tree_search`.

A planner looks at B observations at once and gives B actions. All candidates of all lanes are one batch of the model.
`mpc` makes an agent of it, which may learn its model as it goes (PETS: Chua et al., 2018).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, batch_of, select
from agents.world import models
from agents.world.models import Learner, Model
from envs.base import Box, Discrete, Space


class Planner(NamedTuple):
    """Two pure functions."""

    begin: Callable[[int], Any]
    """`(B) -> carry`, what is kept of a plan from step to step."""

    plan: Callable[..., tuple[Tree, Any]]
    """`(params, key, carry, observation[B]) -> (action[B], carry)`; `params` are the model's."""


def nothing(lanes: int) -> tuple[()]:
    """The carry of a planner that keeps no plan."""
    return ()


def check_bounded(actions: Box) -> None:
    """Refuses actions of which no random ones can be drawn.

    Raises:
      ValueError: the bounds are not low <= high, or the way from one to the other is not finite in float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        width = np.float32(actions.high) - np.float32(actions.low)
    if not (np.isfinite(width) & (width >= 0)).all():
        raise ValueError(f"actions between {actions.low} and {actions.high}: planners need finite bounds, low <= high")


def uniform(actions: Space, key: Key, shape: tuple[int, ...]) -> Array:
    """Random actions `[*shape, ...]`.

    Raises:
      ValueError: as `check_bounded`.
    """
    if isinstance(actions, Discrete):
        return jax.random.randint(key, shape, 0, actions.num, jnp.int32)
    check_bounded(actions)
    return jax.random.uniform(key, (*shape, *actions.shape), minval=actions.low, maxval=actions.high)


def scored(
    model: Model, params: Any, key: Key, observation: Tree, plans: Array, discount: float | Array, particles: int
) -> Array:
    """Mean returns `[B, P]` of `plans[B, P, H, ...]` over `particles` rollouts of each."""
    lanes, number = plans.shape[:2]
    each = models.tiled(plans.reshape((lanes * number, *plans.shape[2:])), particles)
    begun = models.tiled(observation, number * particles)
    found = models.returns(model, params, key, begun, jnp.moveaxis(each, 1, 0), discount)
    return jnp.mean(found.reshape((lanes, number, particles)), -1)


def random_shooting(
    model: Model, actions: Space, horizon: int, population: int = 1000, particles: int = 1, discount: float = 1.0
) -> Planner:
    """The first action of the best of `population` random plans."""

    def plan(params: Any, key: Key, carry: Any, observation: Tree) -> tuple[Array, Any]:
        k_plans, k_model = jax.random.split(key)
        plans = uniform(actions, k_plans, (batch_of(observation), population, horizon))
        best = jnp.argmax(scored(model, params, k_model, observation, plans, discount, particles), -1)
        return jax.vmap(lambda plans, i: plans[i, 0])(plans, best), carry

    return Planner(nothing, plan)


def cem(
    model: Model,
    actions: Box,
    horizon: int,
    population: int = 400,
    elites: int = 40,
    iterations: int = 5,
    alpha: float = 0.1,
    particles: int = 1,
    discount: float = 1.0,
) -> Planner:
    """The cross-entropy method as PETS has it (Botev et al., 2013; Chua et al., 2018, appendix A.4).

    Plans are drawn from a normal cut at two standard deviations, which are at most half of the way to the bounds; mean
    and variance move to those of the elites, and the mean found is where the next step begins, shifted by one.

    Args:
      model: to plan with.
      actions: bounded.
      horizon: H, steps of a plan.
      population: plans of an iteration.
      elites: of these.
      iterations: of the method, per step.
      alpha: how much of the old mean and variance is kept.
      particles: rollouts of each plan, a multiple of an ensemble's members.
      discount: γ.
    """
    middle, spread = (actions.high + actions.low) / 2, (actions.high - actions.low) / 4

    def begin(lanes: int) -> Array:
        return jnp.broadcast_to(jnp.float32(middle), (lanes, horizon, *actions.shape))

    def plan(params: Any, key: Key, carry: Array, observation: Tree) -> tuple[Array, Array]:
        def improve(state: tuple[Array, Array], key: Key) -> tuple[tuple[Array, Array], None]:
            mean, deviation = state
            k_noise, k_model = jax.random.split(key)
            room = jnp.minimum(mean - actions.low, actions.high - mean) / 2
            noise = jax.random.truncated_normal(k_noise, -2.0, 2.0, (population, *mean.shape))
            plans = mean[None] + jnp.minimum(deviation, room)[None] * noise
            plans = jnp.moveaxis(plans, 0, 1)
            score = scored(model, params, k_model, observation, plans, discount, particles)
            best = jax.lax.top_k(score, elites)[1]
            chosen = jax.vmap(lambda plans, i: plans[i])(plans, best)
            mean = alpha * mean + (1 - alpha) * jnp.mean(chosen, 1)
            square = alpha * deviation**2 + (1 - alpha) * jnp.var(chosen, 1)
            return (mean, jnp.sqrt(square)), None

        begun = carry, jnp.broadcast_to(jnp.float32(spread), carry.shape)
        (mean, _), _ = jax.lax.scan(improve, begun, jax.random.split(key, iterations))
        return mean[:, 0], _shifted(mean, middle)

    return Planner(begin, plan)


def mppi(
    model: Model,
    actions: Box,
    horizon: int,
    population: int = 700,
    temperature: float = 10.0,
    smoothing: float = 0.7,
    sigma: float = 0.5,
    particles: int = 1,
    discount: float = 1.0,
) -> Planner:
    """Filtering and reward-weighted refinement (Nagabandi et al., PDDM, 2019; Williams et al., MPPI, 2016).

    n_t = β (μ_t + ε_t) + (1 - β) n_{t-1},  μ ← Σ_i softmax_i(κ R_i) n^i, with R scaled to [0, 1] over the population.

    n_{-1} is the action that was taken last, and the middle of the range in an episode's first step.

    Args:
      model: to plan with.
      actions: bounded.
      horizon: H, steps of a plan.
      population: plans of a step.
      temperature: κ.
      smoothing: β.
      sigma: standard deviation of ε, in half ranges of the actions.
      particles: rollouts of each plan.
      discount: γ.
    """
    middle, half = (actions.high + actions.low) / 2, (actions.high - actions.low) / 2

    def begin(lanes: int) -> tuple[Array, Array]:
        mean = jnp.broadcast_to(jnp.float32(middle), (lanes, horizon, *actions.shape))
        return mean, mean[:, 0]

    def plan(params: Any, key: Key, carry: tuple[Array, Array], observation: Tree) -> tuple[Array, tuple[Array, Array]]:
        mean, taken = carry
        k_noise, k_model = jax.random.split(key)
        noise = sigma * half * jax.random.normal(k_noise, (population, *mean.shape))
        wished = jnp.moveaxis(mean[None] + noise, 2, 0)  # [H, P, B, ...]

        def smooth(last: Array, wish: Array) -> tuple[Array, Array]:
            last = smoothing * wish + (1 - smoothing) * last
            return last, last

        _, plans = jax.lax.scan(smooth, jnp.broadcast_to(taken, wished[0].shape), wished)
        plans = jnp.clip(jnp.moveaxis(plans, (0, 1), (2, 1)), actions.low, actions.high)  # [B, P, H, ...]
        score = scored(model, params, k_model, observation, plans, discount, particles)
        low, high = jnp.min(score, -1, keepdims=True), jnp.max(score, -1, keepdims=True)
        weight = jax.nn.softmax(temperature * (score - low) / jnp.maximum(high - low, 1e-8))
        mean = jnp.einsum("bp,bp...->b...", weight, plans)
        return mean[:, 0], (_shifted(mean, middle), mean[:, 0])

    return Planner(begin, plan)


def _shifted(mean: Array, middle: Any) -> Array:
    return jnp.concatenate([mean[:, 1:], jnp.broadcast_to(jnp.float32(middle), mean[:, :1].shape)], 1)


class State(NamedTuple):
    """What an agent that plans learns: its model."""

    params: Any
    updates: Array  # int32


def mpc(planner: Planner, actions: Space, learner: Learner | None = None) -> Agent:
    """An agent that acts by planning. With a learner it learns the model, and acts at random until it has.

    Args:
      planner: whose model takes the learner's parameters, or `()` without one.
      actions: of the task.
      learner: of the model, from any replay.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        return State(learner.init(key, timestep) if learner else (), jnp.int32(0))

    def actor(state: State) -> tuple[Any, Array]:
        return (learner.params(state.params) if learner else ()), state.updates

    def act(actor: tuple, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        params, updates = actor
        k_plan, k_random = jax.random.split(key)
        lanes = timestep.reward.shape[0]
        carry = select(timestep.first(), planner.begin(lanes), carry)
        action, carry = planner.plan(params, k_plan, carry, timestep.observation)
        if learner and explore:
            action = jnp.where(updates > 0, action, uniform(actions, k_random, (lanes,)))
        return action, carry, ()

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        if learner is None:
            return state._replace(updates=state.updates + 1), Info({"loss": jnp.float32(0)})
        params, metrics = learner.update(state.params, key, sample.steps)
        return State(params, state.updates + 1), Info({"loss": metrics["model_loss"], **metrics})

    return Agent(init, actor, planner.begin, act, update)
