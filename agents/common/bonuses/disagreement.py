"""Where forward models disagree: Pathak, Gandhi and Gupta, "Self-supervised exploration via disagreement", 2019."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
from agents import losses
from agents.base import Array, Key, Step, TimeStep, Tree, valid
from agents.common import optimisers
from agents.common.bonuses.encoders import Head, Modelled, check_actions, coded
from agents.common.curiosity import Module
from envs import parallel
from envs.base import Spec


def disagreement(
    spec: Spec,
    optimiser: optax.GradientTransformation,
    *,
    members: int = 5,
    hidden: tuple[int, ...] = (128, 128),
    features: int = 32,
    cnn: str | None = None,
    share: float = 0.5,
) -> Module:
    """The variance over forward models of the next state's fixed random features, mean over features.

    What is noise they all learn to predict by its mean, and agree on; what is new each predicts in its own way.

    Args:
      spec: of the task.
      optimiser: of the models.
      members: models, at least 2, which begin apart.
      hidden: sizes of layers.
      features: F.
      cnn: convolutions for images, as in `networks.Torso`.
      share: of the transitions, drawn at random for each model apart, that it learns from.

    Raises:
      ValueError: fewer than 2 members, or actions that are neither discrete nor a vector.
    """
    if members < 2:
        raise ValueError(f"disagreement: members is {members}; must be at least 2")
    actions = check_actions("disagreement", spec.action)
    encoder = Head(networks.Torso(spec.observation, hidden, cnn), (features,))
    forward = networks.MLP((hidden[-1], features), activate_final=False)

    def guesses(params: Any, fixed: Any, x_tm1: Tree, a_tm1: Array) -> Array:
        code = jax.lax.stop_gradient(jnp.asarray(encoder.apply(fixed, x_tm1)))
        inputs = jnp.concatenate([code, coded(spec.action, a_tm1)], -1)
        return jax.vmap(lambda p: jnp.asarray(forward.apply(p, inputs)))(params)

    def init(key: Key, timestep: TimeStep) -> Modelled:
        k_encoder, k_forward = jax.random.split(key)
        fixed = encoder.init(k_encoder, timestep.observation)
        row = jnp.zeros((timestep.reward.shape[0], features + actions))
        params = jax.vmap(lambda k: forward.init(k, row))(jax.random.split(k_forward, members))
        return Modelled(params, fixed, optimiser.init(params))

    def bonus(actor: Any, memory: Any, x_tm1: Tree, a_tm1: Array, timestep: TimeStep) -> tuple[Array, Any]:
        del timestep
        params, fixed = actor
        return losses.disagreement(guesses(params, fixed, x_tm1, a_tm1)), memory

    def update(state: Modelled, key: Key, steps: Step) -> tuple[Modelled, dict[str, Array]]:
        before, after = (jax.tree.map(lambda x, s=s: x[s], steps.timestep.observation) for s in (np.s_[:-1], np.s_[1:]))
        goal = jax.lax.stop_gradient(jnp.asarray(encoder.apply(state.fixed, after)))
        own = jax.random.uniform(parallel.own_key(key), (members, *valid(steps).shape)) < share

        def loss(params: Any) -> Array:
            error = losses.prediction_error(guesses(params, state.fixed, before, steps.action[:-1]), goal[None])
            return parallel.masked_mean(error, own & valid(steps)[None])

        value, gradients = jax.value_and_grad(loss)(state.params)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params, "bonus_")
        return state._replace(params=params, optimiser=opt_state), {"bonus_loss": value, **told}

    return Module(init, lambda s: (s.params, s.fixed), lambda batch: (), bonus, update)
