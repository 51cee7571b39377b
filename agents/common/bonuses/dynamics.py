"""What a forward model mispredicts: ICM, and the features of the large-scale study.

Pathak et al., "Curiosity-driven exploration by self-supervised prediction", ICML 2017; Burda et al., "Large-scale study
of curiosity-driven learning", ICLR 2019.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
from agents import losses
from agents.base import Array, Key, Step, TimeStep, Tree, valid
from agents.common import optimisers
from agents.common.bonuses.encoders import Head, Modelled, Reminded, check_actions, coded, flat, view
from agents.common.curiosity import Module
from agents.common.moments import fresh_moments, merge
from envs import parallel
from envs.base import Discrete, Spec

Features = Literal["inverse", "random", "raw", "vae"]


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
    blocks: int | None = None,
    whiten: bool = False,
    newest: int = 0,
) -> Module:
    """ICM and its relatives. Learns from windows of consecutive rows.

    Args:
      spec: of the task.
      optimiser: of the models.
      kind: features φ: "inverse" learns them from actions, "vae" from what they tell of the observation, "random" keeps
        them as they began, "raw" takes the observation.
      hidden: sizes of layers.
      features: F.
      cnn: convolutions for images, as in `networks.Torso`.
      beta: share of the forward loss in (1 - β) L + β L_F, with L of the inverse model or of the autoencoder.
      through: whether the forward loss trains φ, as in the released code of ICM, or not, as in the later study; that of
        an autoencoder is never trained by it.
      blocks: of a residual forward model that is told the action at every layer (`Reminded`); None for one hidden layer
        that is told it once.
      whiten: show boxes less their mean, over the mean of their deviations, and clipped at 5.
      newest: channels of the newest frame of images, which is shown alone, and is whitened too; 0 for images as they
        are.

    Raises:
      ValueError: the actions are neither discrete nor a vector.
    """
    actions, learned = check_actions("dynamics", spec.action), kind in ("inverse", "vae")
    seen = view(spec.observation, whiten, newest, single=True)
    encoder = Head(networks.Torso(seen.space, hidden, cnn), (2 * features if kind == "vae" else features,))
    inverse = networks.MLP((hidden[-1], actions), activate_final=False)
    moved = learned and through and kind != "vae"

    def phi(params: Any, observation: Tree) -> Array:
        code = flat(seen.space, observation) if kind == "raw" else jnp.asarray(encoder.apply(params, observation))
        return code[..., :features] if kind == "vae" else code

    def decoder(observation: Tree) -> networks.MLP:
        return networks.MLP((hidden[-1], flat(seen.space, observation).shape[-1]), activate_final=False)

    def forward(size: int) -> Any:
        if blocks is None:
            return networks.MLP((hidden[-1], size), activate_final=False)
        return Reminded(hidden[-1], size, blocks)

    def given(code: Array, action: Array) -> tuple[Array, ...]:
        """What a forward model is given."""
        return (jnp.concatenate([code, action], -1),) if blocks is None else (code, action)

    def told(params: Any, encoding: Any, key: Key, pair: tuple[Array, ...], a_tm1: Array, x_t: Tree) -> Array:
        """The loss of what learns the features, of each transition."""
        if kind == "vae":
            mean, spread = jnp.split(jnp.asarray(encoder.apply(encoding, x_t)), 2, -1)
            drawn = mean + jnp.exp(0.5 * spread) * jax.random.normal(parallel.own_key(key), mean.shape)
            decoded = jnp.asarray(decoder(x_t).apply(params["decoder"], drawn))
            return losses.autoencoder_loss(mean, spread, decoded, flat(seen.space, x_t))
        guess = jnp.asarray(inverse.apply(params["inverse"], jnp.concatenate(pair, -1)))
        if isinstance(spec.action, Discrete):
            return losses.inverse_loss(guess, a_tm1)
        return losses.prediction_error(guess, a_tm1)

    def errors(params: Any, pair: tuple[Array, ...], a_tm1: Array) -> Array:
        """The forward error of each transition."""
        before, after = pair
        known, goal = (before, after) if moved else jax.lax.stop_gradient((before, after))
        guess = forward(after.shape[-1]).apply(params["forward"], *given(known, coded(spec.action, a_tm1)))
        return losses.prediction_error(jnp.asarray(guess), goal)

    def encodings(params: Any, fixed: Any) -> Any:
        return params["encoder"] if learned else fixed

    def shown(moments: Any, observation: Tree) -> Tree:
        return seen.see(moments, observation) if whiten or newest else observation

    def init(key: Key, timestep: TimeStep) -> Modelled:
        k_encoder, k_inverse, k_forward = jax.random.split(key, 3)
        moments: Any = ()
        if whiten:
            moments = fresh_moments(jax.tree.map(lambda x: x[0], seen.look(timestep.observation)))
        observation = shown(moments, timestep.observation)
        encoding = encoder.init(k_encoder, observation)
        code = phi(encoding, observation)
        done = jnp.zeros((*code.shape[:-1], actions))
        side = (
            {"decoder": decoder(observation).init(k_inverse, code)}
            if kind == "vae"
            else {"inverse": inverse.init(k_inverse, jnp.concatenate([code, code], -1))}
        )
        params = {**side, "forward": forward(code.shape[-1]).init(k_forward, *given(code, done))}
        params |= {"encoder": encoding} if learned else {}
        return Modelled(params, () if learned else encoding, optimiser.init(params), moments)

    def bonus(actor: Any, memory: Any, x_tm1: Tree, a_tm1: Array, timestep: TimeStep) -> tuple[Array, Any]:
        params, fixed, moments = actor
        encoding = encodings(params, fixed)
        pair = tuple(phi(encoding, shown(moments, x)) for x in (x_tm1, timestep.observation))
        return errors(params, pair, a_tm1), memory

    def measure(state: Modelled, steps: Step) -> Modelled:
        if not whiten:
            return state
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep.observation)
        return state._replace(moments=merge(state.moments, seen.look(arrived), valid(steps)))

    def update(state: Modelled, key: Key, steps: Step) -> tuple[Modelled, dict[str, Array]]:
        state = measure(state, steps)
        rows = shown(state.moments, steps.timestep.observation)
        ends = [jax.tree.map(lambda x, s=s: x[s], rows) for s in (np.s_[:-1], np.s_[1:])]

        def loss(params: Any) -> tuple[Array, tuple[Array, Array]]:
            encoding = encodings(params, state.fixed)
            pair = tuple(phi(encoding, x) for x in ends)
            error = errors(params, pair, steps.action[:-1])
            wrong = told(params, encoding, key, pair, steps.action[:-1], ends[1])
            parts = parallel.masked_mean(error, valid(steps)), parallel.masked_mean(wrong, valid(steps))
            return beta * parts[0] + (1 - beta) * parts[1], parts

        (_, (error, wrong)), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
        params, opt_state, metrics = optimisers.step(optimiser, gradients, state.optimiser, state.params, "bonus_")
        metrics |= {"bonus_loss": error, ("vae_loss" if kind == "vae" else "inverse_loss"): wrong}
        return state._replace(params=params, optimiser=opt_state), metrics

    return Module(init, lambda s: (s.params, s.fixed, s.moments), lambda batch: (), bonus, update, measure)
