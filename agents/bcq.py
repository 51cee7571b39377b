"""Batch-constrained Q-learning for continuous actions: the best of those that a model of the data would do.

Fujimoto, Meger and Precup, "Off-policy deep reinforcement learning without exploration", ICML 2019. With a variational
autoencoder of actions (E, D), critics Q_i and a perturbation ξ in [-Φ, Φ],

    L(E, D) = E[‖a - D(x, z)‖² / D + ½ KL(E(x, a) ‖ N(0, 1)) / Z]                 z ~ E(x, a)
    a_k = D(x, z_k) + ξ(x, D(x, z_k))                                             z_k ~ N(0, 1) within ±½
    y_t = r_t + γ_t max_k [λ min_i Q_i(x_t, a_k; θ⁻) + (1 - λ) max_i Q_i(x_t, a_k; θ⁻)]
    L(θ) = Σ_i E[½ (y_t - Q_i(x_{t-1}, a_{t-1}; θ))²]          J(ξ) = -E[Q_1(x_{t-1}, D(x_{t-1}, z) + ξ)]

and the targets of θ and ξ follow them. It acts by the best of many a_k. For discrete actions BCQ is `agents.dqn` with
`objectives.constrained`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.common.critics import apply, ends, fit, with_action
from agents.common.penalties import many
from envs import parallel
from networks.base import Network


class Parts(NamedTuple):
    """Something for each of the three."""

    generator: Any  # of the encoder and the decoder
    critic: Any
    perturbation: Any


class State(NamedTuple):
    """Everything that is learned and counted."""

    generator: Learned
    critic: Learned
    perturbation: Learned
    target: Any  # of critics and perturbation
    updates: Array  # int32


class Generator(NamedTuple):
    """A variational autoencoder of actions in [-1, 1]; both feed-forward."""

    encoder: Network
    """`with_action` of an observation -> `Gaussian [Z]`."""
    decoder: Network
    """`with_action` of an observation and a latent `[Z]` -> action `[D]`."""


def generator_loss(nets: Generator, params: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
    """The loss of the autoencoder, of parameters `(encoder's, decoder's)`."""
    before, a_tm1 = ends(steps)[0], steps.action[:-1]
    latent = apply(nets.encoder, params[0], before, a_tm1)
    log_std = jnp.clip(latent.log_std, -4.0, 15.0)
    z = latent.mean + jnp.exp(log_std) * jax.random.normal(parallel.own_key(key), latent.mean.shape)
    made = apply(nets.decoder, params[1], before, z)
    each = losses.evidence_lower_bound(a_tm1, made, latent.mean, log_std)
    value = parallel.masked_mean(each, valid(steps))
    return value, {"generator_loss": value}


def generated(
    nets: Generator, params: Any, key: Key, timestep: TimeStep, num: int, latents: int, limit: float = 0.5
) -> Array:
    """Actions of the data as the decoder makes them, `[num, T, N, D]`, of latents that are clipped to ±`limit`."""
    shape = (num, *timestep.reward.shape, latents)
    z = jnp.clip(jax.random.normal(key, shape), -limit, limit)
    return jax.vmap(lambda z: apply(nets.decoder, params[1], timestep, z))(z)


def bcq(
    nets: Generator,
    critic: Network,
    perturbation: Network,
    optimiser: Parts,
    *,
    actions: int,
    discount: float | Array = 0.99,
    reach: float | Array = 0.05,
    share: float | Array = 0.75,
    candidates: int = 10,
    choices: int = 100,
    target_rate: float | Array = 0.005,
) -> Agent:
    """The BCQ agent, acting in [-1, 1].

    Args:
      nets: the model of the data's actions, whose latents are twice as many as these have dimensions.
      critic: `with_action` of an observation -> values `[E]`.
      perturbation: `with_action` of an observation -> `[D]` in [-1, 1].
      optimiser: an `agents.common.optimisers` chain for each.
      actions: D.
      discount: γ.
      reach: Φ.
      share: λ.
      candidates: actions that targets are the best of.
      choices: actions that it acts by the best of.
      target_rate: how far the targets move after each update.
    """
    latents = 2 * actions

    def init(key: Key, timestep: TimeStep) -> State:
        k_encoder, k_decoder, k_critic, k_perturbation = jax.random.split(key, 4)
        seen, batch = timestep.observation, timestep.reward.shape[0]
        action = jnp.zeros((batch, actions))
        encoder = nets.encoder.init(k_encoder, with_action(seen, action))
        decoder = nets.decoder.init(k_decoder, with_action(seen, jnp.zeros((batch, latents))))
        critics = critic.init(k_critic, with_action(seen, action))
        shift = perturbation.init(k_perturbation, with_action(seen, action))
        target = jax.tree.map(jnp.copy, (critics, shift))  # its own buffers, so that the state can be donated
        return State(
            Learned((encoder, decoder), optimiser.generator.init((encoder, decoder))),
            Learned(critics, optimiser.critic.init(critics)),
            Learned(shift, optimiser.perturbation.init(shift)),
            target,
            jnp.int32(0),
        )

    def moved(params: Any, timestep: TimeStep, action: Array) -> Array:
        """Actions `[..., T, N, D]`, perturbed."""
        shift = lambda a: jnp.clip(a + reach * apply(perturbation, params, timestep, a), -1.0, 1.0)  # noqa: E731
        return shift(action) if action.ndim == 3 else jax.vmap(shift)(action)

    def act(actor: Parts, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        del explore
        row = jax.tree.map(lambda x: x[None], timestep)
        action = moved(actor.perturbation, row, generated(nets, actor.generator, key, row, choices, latents))
        best = jnp.argmax(many(critic, actor.critic, row, action)[0, 0], axis=-1)
        return jnp.take_along_axis(action[:, 0], best[None, :, None], axis=0)[0], carry, {}

    def imitation(params: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        return generator_loss(nets, params, key, steps)

    def perturbation_loss(params: Any, critics: Any, action: Array, steps: Step) -> tuple[Array, dict[str, Array]]:
        before = ends(steps)[0]
        q = apply(critic, critics, before, moved(params, before, action))[0]
        value = parallel.masked_mean(-q, valid(steps))
        return value, {"policy_loss": value}

    def predict(params: Any, steps: Step) -> Array:
        return apply(critic, params, ends(steps)[0], steps.action[:-1])

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_generator, k_critic, k_policy = jax.random.split(key, 3)
        model, metrics = descend(
            optimiser.generator, imitation, state.generator, k_generator, sample.steps, part="generator_"
        )

        def targets(key: Key, steps: Step) -> Array:
            _, after = ends(steps)
            made = generated(nets, model.params, parallel.own_key(key), after, candidates, latents)
            q = many(critic, state.target[0], after, moved(state.target[1], after, made))
            best = jnp.max(losses.softened_minimum(q, share), axis=-1)
            return jax.lax.stop_gradient(after.reward + discount * after.discount * best)

        critics, told, priority, _ = fit(optimiser.critic, predict, targets, state.critic, k_critic, sample)
        before = ends(sample.steps)[0]
        made = generated(nets, model.params, parallel.own_key(k_policy), before, 1, latents)[0]
        shift, more = descend(
            optimiser.perturbation, perturbation_loss, state.perturbation, critics.params, made, sample.steps,
            part="policy_",
        )  # fmt: skip
        target = optax.incremental_update((critics.params, shift.params), state.target, target_rate)
        state = State(model, critics, shift, target, state.updates + 1)
        return state, Info({**metrics, **told, **more}, priority=priority)

    def actor(state: State) -> Parts:
        return Parts(state.generator.params, state.critic.params, state.perturbation.params)

    return Agent(init, actor, lambda batch: (), act, update)
