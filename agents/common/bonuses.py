"""Modules of intrinsic reward for `agents.common.curiosity`: counts, random network distillation, forward dynamics.

- `counts`: 1 / √N(x) of the cells of a table, which the states of all lanes are hashed into (Tang et al., 2017,
  arXiv:1611.04717, section 2.2, of states as they are).
- `distillation`: the error of a network that learns what a fixed random one says of the next state (RND; Burda et al.,
  2019, arXiv:1810.12894).
- `dynamics`: the error of a forward model in the features of a network that learns which action led from one state to
  the next (ICM; Pathak et al., 2017, arXiv:1705.05363), in fixed random features, or in the observation as it is
  (Burda et al., 2019, "Large-scale study of curiosity-driven learning", arXiv:1808.04355).
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
from agents import losses
from agents.base import Array, Key, Step, TimeStep, Tree, valid
from agents.common import optimisers, wrappers
from agents.common.curiosity import Module
from agents.common.moments import Moments, fresh_moments, merge
from envs import parallel
from envs.base import Discrete, Spec
from networks.torsos import layout

Features = Literal["inverse", "random", "raw"]


def counts(spec: Spec, cells: int = 65_536, seed: int = 0) -> Module:
    """Visits are counted as they happen, in the memory of the lanes; there is nothing to train.

    Args:
      spec: of the task. A Discrete observation is its own cell; all else is hashed by the signs of random projections.
      cells: of the table; ignored for Discrete observations.
      seed: of the projections.
    """
    space = spec.observation
    size = space.num if isinstance(space, Discrete) else cells
    bits = int(np.ceil(np.log2(max(size, 2))))

    def cell_of(observation: Tree) -> Array:
        if isinstance(space, Discrete):
            return observation
        vector = flat(space, observation)
        rng = np.random.default_rng(seed)
        signs = vector @ jnp.asarray(rng.normal(size=(vector.shape[-1], bits)), jnp.float32) > 0
        return jnp.sum(signs * (2 ** jnp.arange(bits))[None], axis=-1) % size

    def bonus(actor: Any, visits: Array, x_tm1: Tree, a_tm1: Tree, timestep: TimeStep) -> tuple[Array, Array]:
        del actor, x_tm1, a_tm1
        cell = cell_of(timestep.observation)
        visits = visits.at[jnp.arange(cell.shape[0]), cell].add(1)
        return losses.count_bonus(parallel.total(jnp.sum(visits, axis=0))[cell]), visits

    begin = lambda batch: jnp.zeros((batch, size), jnp.int32)  # noqa: E731
    return Module(lambda key, timestep: (), lambda state: (), begin, bonus, lambda state, key, steps: (state, {}))


class Distilled(NamedTuple):
    """The predictor's parameters, the target's, the optimiser's state, and the moments of observations."""

    params: Any
    fixed: Any
    optimiser: Any
    moments: Moments


class Modelled(NamedTuple):
    """Parameters that learn, those that do not, and the optimiser's state."""

    params: Any
    fixed: Any
    optimiser: Any


def distillation(
    spec: Spec,
    optimiser: optax.GradientTransformation,
    *,
    hidden: tuple[int, ...] = (128, 128),
    features: int = 64,
    cnn: str | None = None,
    whiten: bool = True,
) -> Module:
    """RND. The predictor has one layer more than the target, so that it can learn it.

    Args:
      spec: of the task.
      optimiser: of the predictor.
      hidden: sizes of the target's layers.
      features: F, that the target gives.
      cnn: convolutions for images, as in `networks.Torso`.
      whiten: subtract the running mean of boxes, divide by their deviation, and clip at 5.
    """
    target = _Head(networks.Torso(spec.observation, hidden, cnn), (features,))
    predictor = _Head(networks.Torso(spec.observation, hidden, cnn), (hidden[-1], features))

    def seen(moments: Moments, observation: Tree) -> Tree:
        return wrappers.standardised(observation, spec.observation, moments, clip=5.0) if whiten else observation

    def error(params: Any, fixed: Any, observation: Tree) -> Array:
        goal = jax.lax.stop_gradient(target.apply(fixed, observation))
        return losses.prediction_error(jnp.asarray(predictor.apply(params, observation)), jnp.asarray(goal))

    def init(key: Key, timestep: TimeStep) -> Distilled:
        k_target, k_predictor = jax.random.split(key)
        moments = fresh_moments(jax.tree.map(lambda x: x[0], timestep.observation))
        first = seen(moments, timestep.observation)
        params = predictor.init(k_predictor, first)
        return Distilled(params, target.init(k_target, first), optimiser.init(params), moments)

    def bonus(actor: Any, memory: Any, x_tm1: Tree, a_tm1: Tree, timestep: TimeStep) -> tuple[Array, Any]:
        del x_tm1, a_tm1
        params, fixed, moments = actor
        return error(params, fixed, seen(moments, timestep.observation)), memory

    def update(state: Distilled, key: Key, steps: Step) -> tuple[Distilled, dict[str, Array]]:
        del key
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep.observation)
        moments = merge(state.moments, arrived, valid(steps))

        def loss(params: Any) -> Array:
            return parallel.masked_mean(error(params, state.fixed, seen(moments, arrived)), valid(steps))

        value, gradients = jax.value_and_grad(loss)(state.params)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params, "bonus_")
        return Distilled(params, state.fixed, opt_state, moments), {"bonus_loss": value, **told}

    return Module(init, lambda s: (s.params, s.fixed, s.moments), lambda batch: (), bonus, update)


def dynamics(
    spec: Spec,
    optimiser: optax.GradientTransformation,
    *,
    kind: Features = "inverse",
    hidden: tuple[int, ...] = (128, 128),
    features: int = 32,
    cnn: str | None = None,
    beta: float | Array = 0.2,
    through: bool = True,
) -> Module:
    """ICM and its relatives; for discrete actions. Learns from windows of consecutive rows.

    Args:
      spec: of the task.
      optimiser: of the models.
      kind: features φ: "inverse" learns them from actions, "random" keeps them as they began, "raw" takes the
        observation.
      hidden: sizes of layers.
      features: F.
      cnn: convolutions for images, as in `networks.Torso`.
      beta: share of the forward loss in (1 - β) L_I + β L_F.
      through: whether the forward loss trains φ, as in the released code of ICM, or not, as in the later study.

    Raises:
      ValueError: the actions are not discrete.
    """
    if not isinstance(spec.action, Discrete):
        raise ValueError(f"dynamics: actions are {spec.action}; must be Discrete")
    actions = spec.action.num
    encoder = _Head(networks.Torso(spec.observation, hidden, cnn), (features,))
    inverse = networks.MLP((hidden[-1], actions), activate_final=False)
    learned = kind == "inverse"

    def phi(params: Any, observation: Tree) -> Array:
        return flat(spec.observation, observation) if kind == "raw" else jnp.asarray(encoder.apply(params, observation))

    def forward(size: int) -> networks.MLP:
        return networks.MLP((hidden[-1], size), activate_final=False)

    def errors(params: Any, fixed: Any, x_tm1: Tree, a_tm1: Array, x_t: Tree) -> tuple[Array, Array]:
        """The forward error, and the inverse loss, of each transition."""
        encoding = params["encoder"] if learned else fixed
        before, after = phi(encoding, x_tm1), phi(encoding, x_t)
        logits = jnp.asarray(inverse.apply(params["inverse"], jnp.concatenate([before, after], -1)))
        known, goal = (before, after) if learned and through else jax.lax.stop_gradient((before, after))
        inputs = jnp.concatenate([known, jax.nn.one_hot(a_tm1, actions)], -1)
        guess = jnp.asarray(forward(after.shape[-1]).apply(params["forward"], inputs))
        return losses.prediction_error(guess, goal), losses.inverse_loss(logits, a_tm1)

    def init(key: Key, timestep: TimeStep) -> Modelled:
        k_encoder, k_inverse, k_forward = jax.random.split(key, 3)
        encoding = encoder.init(k_encoder, timestep.observation)
        code = phi(encoding, timestep.observation)
        params = {
            "inverse": inverse.init(k_inverse, jnp.concatenate([code, code], -1)),
            "forward": forward(code.shape[-1]).init(
                k_forward, jnp.concatenate([code, jnp.zeros((*code.shape[:-1], actions))], -1)
            ),
            **({"encoder": encoding} if learned else {}),
        }
        fixed = () if learned else encoding
        return Modelled(params, fixed, optimiser.init(params))

    def bonus(actor: Any, memory: Any, x_tm1: Tree, a_tm1: Array, timestep: TimeStep) -> tuple[Array, Any]:
        params, fixed = actor
        return errors(params, fixed, x_tm1, a_tm1, timestep.observation)[0], memory

    def update(state: Modelled, key: Key, steps: Step) -> tuple[Modelled, dict[str, Array]]:
        del key
        before, after = (jax.tree.map(lambda x, s=s: x[s], steps.timestep.observation) for s in (np.s_[:-1], np.s_[1:]))

        def loss(params: Any) -> tuple[Array, tuple[Array, Array]]:
            error, wrong = errors(params, state.fixed, before, steps.action[:-1], after)
            parts = parallel.masked_mean(error, valid(steps)), parallel.masked_mean(wrong, valid(steps))
            return beta * parts[0] + (1 - beta) * parts[1], parts

        (_, (error, wrong)), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params, "bonus_")
        told |= {"bonus_loss": error, "inverse_loss": wrong}
        return state._replace(params=params, optimiser=opt_state), told

    return Module(init, lambda s: (s.params, s.fixed), lambda batch: (), bonus, update)


class _Head(nn.Module):
    """A torso and dense layers, of which the last is linear."""

    torso: Any
    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        return networks.MLP(self.sizes, activate_final=False)(self.torso(observation))


def flat(space: Any, observation: Tree) -> Array:
    """An observation `[..., *shape]`, or a dict of them, as one vector `[..., F]`; Discrete numbers become one-hot."""
    parts = []
    for leaf in layout(space):
        x = observation if leaf.name is None else observation[leaf.name]
        lead = x.shape[: x.ndim - len(leaf.shape)]
        code = jax.nn.one_hot(x, leaf.num) if leaf.num else x.astype(jnp.float32)
        parts.append(code.reshape((*lead, -1)))
    return jnp.concatenate(parts, -1)
