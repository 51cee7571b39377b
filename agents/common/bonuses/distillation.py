"""Random network distillation: Burda et al., "Exploration by random network distillation", ICLR 2019."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import networks
from agents import losses
from agents.base import Array, Key, Step, TimeStep, Tree, valid
from agents.common import optimisers
from agents.common.bonuses.encoders import Head, view
from agents.common.curiosity import Module
from agents.common.moments import Moments, fresh_moments, merge
from envs import parallel
from envs.base import Spec


class Distilled(NamedTuple):
    """The predictor's parameters, the target's, the optimiser's state, and the moments of observations."""

    params: Any
    fixed: Any
    optimiser: Any
    moments: Moments


def distillation(
    spec: Spec,
    optimiser: optax.GradientTransformation,
    *,
    hidden: tuple[int, ...] = (128, 128),
    features: int = 64,
    cnn: str | None = None,
    whiten: bool = True,
    newest: int = 0,
    share: float = 1.0,
) -> Module:
    """RND. The predictor has one layer more than the target, so that it can learn it.

    Args:
      spec: of the task.
      optimiser: of the predictor.
      hidden: sizes of the target's layers.
      features: F, that the target gives.
      cnn: convolutions for images, as in `networks.Torso`.
      whiten: subtract the running mean of boxes, divide by their deviation, and clip at 5.
      newest: channels of the newest frame of images, which is shown alone and whitened too; 0 for images as they are.
      share: of the transitions, drawn at random, that the predictor learns from.
    """
    seen = view(spec.observation, whiten, newest)
    target = Head(networks.Torso(seen.space, hidden, cnn), (features,))
    predictor = Head(networks.Torso(seen.space, hidden, cnn), (hidden[-1], features))

    def error(params: Any, fixed: Any, observation: Tree) -> Array:
        goal = jax.lax.stop_gradient(target.apply(fixed, observation))
        return losses.prediction_error(jnp.asarray(predictor.apply(params, observation)), jnp.asarray(goal))

    def init(key: Key, timestep: TimeStep) -> Distilled:
        k_target, k_predictor = jax.random.split(key)
        moments = fresh_moments(jax.tree.map(lambda x: x[0], seen.look(timestep.observation)))
        first = seen.see(moments, timestep.observation)
        params = predictor.init(k_predictor, first)
        return Distilled(params, target.init(k_target, first), optimiser.init(params), moments)

    def bonus(actor: Any, memory: Any, x_tm1: Tree, a_tm1: Tree, timestep: TimeStep) -> tuple[Array, Any]:
        del x_tm1, a_tm1
        params, fixed, moments = actor
        return error(params, fixed, seen.see(moments, timestep.observation)), memory

    def measure(state: Distilled, steps: Step) -> Distilled:
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep.observation)
        return state._replace(moments=merge(state.moments, seen.look(arrived), valid(steps)))

    def update(state: Distilled, key: Key, steps: Step) -> tuple[Distilled, dict[str, Array]]:
        moments, mask = measure(state, steps).moments, valid(steps)
        if share < 1:
            mask &= jax.random.uniform(parallel.own_key(key), mask.shape) < share
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep.observation)

        def loss(params: Any) -> Array:
            return parallel.masked_mean(error(params, state.fixed, seen.see(moments, arrived)), mask)

        value, gradients = jax.value_and_grad(loss)(state.params)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params, "bonus_")
        return Distilled(params, state.fixed, opt_state, moments), {"bonus_loss": value, **told}

    return Module(init, lambda s: (s.params, s.fixed, s.moments), lambda batch: (), bonus, update, measure, pairs=False)
