"""BEAR: a policy that may prefer what it likes among the data's actions, but not leave them.

Kumar, Fu, Tucker and Levine, "Stabilizing off-policy Q-learning via bootstrapping error reduction", NeurIPS 2019. With
the model of the data's actions of `agents.bcq`, critics Q_i and a policy π whose samples are actions before tanh,

    y_t = r_t + γ_t max_k [λ min_i Q_i(x_t, a_k; θ⁻) + (1 - λ) max_i Q_i(x_t, a_k; θ⁻)]       a_k ~ π(·|x_t; φ⁻)
    L(θ) = Σ_i E[½ (y_t - Q_i(x_{t-1}, a_{t-1}; θ))²]
    J(φ) = E[-min_i Q_i(x_{t-1}, a) + α MMD(π(·|x_{t-1}), D(x_{t-1}, ·))]                      J(α) = -α (MMD - ε)

and the targets of θ and φ follow them. At first only the discrepancy is learned. It acts by the best of several a_k.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.bcq import Generator, generated, generator_loss
from agents.common.critics import apply, ends, fit, with_action
from agents.common.penalties import many
from agents.losses.offline import Kernel
from envs import parallel
from envs.extremes import least
from networks.base import Network


class Parts(NamedTuple):
    """Something for each of the four."""

    generator: Any
    critic: Any
    policy: Any
    multiplier: Any


class State(NamedTuple):
    """Everything that is learned and counted."""

    generator: Learned
    critic: Learned
    policy: Learned
    multiplier: Learned  # ln α
    target: Any  # of critics and policy
    updates: Array  # int32


class Actor(NamedTuple):
    """What acting needs."""

    critic: Any
    policy: Any


def before_tanh(action: Array) -> Array:
    """Actions in [-1, 1] as they were before they were squashed."""
    return jnp.arctanh(jnp.clip(action, -1 + 1e-6, 1 - 1e-6))


def bear(
    nets: Generator,
    critic: Network,
    policy: Network,
    optimiser: Parts,
    *,
    actions: int,
    discount: float | Array = 0.99,
    discrepancy: float | Array = 0.05,
    kernel: Kernel = "laplacian",
    width: float | Array = 10.0,
    samples: int = 10,
    share: float | Array = 0.75,
    candidates: int = 10,
    imitated: int | Array = 0,
    target_rate: float | Array = 0.005,
) -> Agent:
    """The BEAR agent, acting in [-1, 1].

    Args:
      nets: the model of the data's actions, whose latents are twice as many as these have dimensions.
      critic: `with_action` of an observation -> values `[E]`.
      policy: observation -> `TanhGaussian [D]`.
      optimiser: an `agents.common.optimisers` chain for each.
      actions: D.
      discount: γ.
      discrepancy: ε.
      kernel: of the discrepancy, see `losses.mean_discrepancy`.
      width: of the kernel.
      samples: of the policy and of the model, that the discrepancy is of.
      share: λ.
      candidates: actions that targets, and what is done, are the best of.
      imitated: updates at first in which the policy learns the discrepancy alone.
      target_rate: how far the targets move after each update.
    """
    latents = 2 * actions

    def init(key: Key, timestep: TimeStep) -> State:
        k_encoder, k_decoder, k_critic, k_policy = jax.random.split(key, 4)
        seen, batch = timestep.observation, timestep.reward.shape[0]
        action = jnp.zeros((batch, actions))
        model = (
            nets.encoder.init(k_encoder, with_action(seen, action)),
            nets.decoder.init(k_decoder, with_action(seen, jnp.zeros((batch, latents)))),
        )
        critics = critic.init(k_critic, with_action(seen, action))
        params, log_multiplier = policy.init(k_policy, seen), jnp.float32(0)
        return State(
            Learned(model, optimiser.generator.init(model)),
            Learned(critics, optimiser.critic.init(critics)),
            Learned(params, optimiser.policy.init(params)),
            Learned(log_multiplier, optimiser.multiplier.init(log_multiplier)),
            jax.tree.map(jnp.copy, (critics, params)),  # its own buffers, so that the state can be donated
            jnp.int32(0),
        )

    def drawn(params: Any, key: Key, timestep: TimeStep, num: int) -> Array:
        """Actions of the policy, `[num, T, N, D]`."""
        return jax.vmap(apply(policy, params, timestep).sample)(jax.random.split(key, num))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        row = jax.tree.map(lambda x: x[None], timestep)
        if explore:
            return drawn(actor.policy, key, row, 1)[0, 0], carry, {}
        action = drawn(actor.policy, key, row, candidates)
        best = jnp.argmax(many(critic, actor.critic, row, action)[0, 0], axis=-1)
        return jnp.take_along_axis(action[:, 0], best[None, :, None], axis=0)[0], carry, {}

    def imitation(params: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        return generator_loss(nets, params, key, steps)

    def policy_loss(
        params: Any, critics: Any, model: Any, alpha: Array, key: Key, steps: Step, count: Array
    ) -> tuple[Array, dict[str, Array]]:
        before = ends(steps)[0]
        k_policy, k_model = jax.random.split(parallel.own_key(key))
        own = drawn(params, k_policy, before, samples)
        data = jax.lax.stop_gradient(generated(nets, model, k_model, before, samples, latents))
        turned = lambda x: jnp.moveaxis(before_tanh(x), 0, -2)  # noqa: E731
        apart = losses.mean_discrepancy(turned(own), turned(data), width, kernel)
        q = jnp.mean(least(many(critic, critics, before, own), 0), axis=-1)
        each = alpha * apart - jnp.where(count < imitated, 0.0, q)
        terms = {"policy_loss": each, "discrepancy": apart}
        means = {name: parallel.masked_mean(x, valid(steps)) for name, x in terms.items()}
        return means["policy_loss"], means

    def multiplier_loss(log_multiplier: Array, excess: Array) -> tuple[Array, dict[str, Array]]:
        return losses.multiplier_loss(log_multiplier, excess), {}

    def predict(params: Any, steps: Step) -> Array:
        return apply(critic, params, ends(steps)[0], steps.action[:-1])

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps
        k_generator, k_critic, k_policy = jax.random.split(key, 3)
        model, metrics = descend(optimiser.generator, imitation, state.generator, k_generator, steps, part="generator_")

        def targets(key: Key, steps: Step) -> Array:
            _, after = ends(steps)
            action = drawn(state.target[1], parallel.own_key(key), after, candidates)
            q = losses.softened_minimum(many(critic, state.target[0], after, action), share)
            return jax.lax.stop_gradient(after.reward + discount * after.discount * jnp.max(q, axis=-1))

        critics, told, priority, _ = fit(optimiser.critic, predict, targets, state.critic, k_critic, sample)
        alpha = jnp.exp(state.multiplier.params)
        past = (critics.params, model.params, alpha, k_policy, steps, state.updates)
        actor, more = descend(optimiser.policy, policy_loss, state.policy, *past, part="policy_")
        excess = parallel.mean(more["discrepancy"]) - discrepancy
        multiplier, _ = descend(optimiser.multiplier, multiplier_loss, state.multiplier, excess)
        multiplier = multiplier._replace(params=jnp.clip(multiplier.params, -5.0, 10.0))
        target = optax.incremental_update((critics.params, actor.params), state.target, target_rate)
        state = State(model, critics, actor, multiplier, target, state.updates + 1)
        return state, Info({**metrics, **told, **more, "multiplier": alpha}, priority=priority)

    return Agent(init, lambda s: Actor(s.critic.params, s.policy.params), lambda batch: (), act, update)
