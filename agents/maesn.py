"""Model-agnostic exploration with structured noise.

Gupta, Mendonca, Liu, Abbeel and Levine, "Meta-reinforcement learning of structured exploration strategies", NeurIPS
2018. A policy π_θ(a|x, z) acts with a latent z that is drawn once for an episode, so that episodes differ as wholes and
not step by step. Every task of training has a Gaussian of its own for z, and takes a gradient step on that alone:

    (μ_i, ln σ_i)' = (μ_i, ln σ_i) - α ∘ ∇ E[-ln q(z; μ_i, σ_i) Â]     Â: of whole episodes, mean 0 and variance 1

    min over θ, μ, σ, α of   Σ_i L(θ, μ_i', σ_i'; rollouts after the step) + c KL(N(μ_i, σ_i²) ‖ N(0, 1))

where L is PPO's surrogate of π_θ(a|x, μ' + σ' ε). The divergence is of the latents before the step, so that a new task
can begin with N(0, 1). Lanes are the tasks of training, and each plays the same one for good.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import FIRST, Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, select
from agents.common import optimisers
from agents.common.linear_baseline import Rollouts, rollouts
from agents.maml import masked, policy_of
from envs import parallel
from networks.base import Network


class Latents(NamedTuple):
    """Gaussians of z, or numbers that go with their parameters, `[..., latent]`."""

    mean: Array
    log_std: Array


class Learned(NamedTuple):
    """All that is learned."""

    policy: Any
    latents: Latents  # [N, latent], of the tasks of training on all devices, before their step
    rate: Latents  # [latent], α


class Seen(NamedTuple):
    """Rollouts, and what z was in them, `[N, T, latent]`."""

    rows: Rollouts
    latent: Array
    noise: Array  # ε


class State(NamedTuple):
    """What is learned, and where the trial is."""

    params: Learned
    optimiser: Any
    adapted: Latents  # [N, latent], what the lanes play with
    seen: Step  # the window before the step, [T+1, N]
    stepped: Array  # bool
    gains: Array  # [2], the newest mean returns before and after the step
    told: dict[str, Array]


def joined(observation: Array, latent: Array) -> Array:
    """What the policy sees, of `[..., D]` and `[..., latent]`."""
    return jnp.concatenate([observation, latent], axis=-1)


def log_q(latents: Latents, z: Array) -> Array:
    """ln q(z), without its constant, `[T]`, for one task and z `[T, latent]`."""
    scaled = (z - latents.mean[None]) * jnp.exp(-latents.log_std[None])
    return jnp.sum(-0.5 * jnp.square(scaled) - latents.log_std[None], axis=-1)


def stepped(latents: Latents, rate: Latents, seen: Seen, hold: bool = True) -> Latents:
    """The latents of one task after their step.

    Args:
      latents: before it, `[latent]`.
      rate: α, `[latent]`.
      seen: `[T, ...]`, of that task.
      hold: whether z was drawn once for an episode.
    """
    rows = seen.rows
    first = (rows.step_type[:-1] == FIRST) if hold else rows.mask
    count = jnp.maximum(jnp.sum(first), 1)
    advantage = rows.advantage - jnp.sum(rows.advantage * first) / count
    advantage /= jnp.sqrt(jnp.sum(jnp.square(advantage) * first) / count + 1e-8)

    def loss(latents: Latents) -> Array:
        return jnp.sum(losses.policy_gradient(log_q(latents, seen.latent), advantage) * first) / count

    return jax.tree.map(lambda x, a, g: x - a * g, latents, rate, jax.grad(loss)(latents))


def mine(latents: Latents, lanes: int) -> Latents:
    """Of the latents of all tasks those of this device's lanes, `[lanes, latent]`."""
    if parallel.size() == 1:
        return latents
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, parallel.index() * lanes, lanes), latents)


def prior_kl(latents: Latents) -> Array:
    """KL(N(μ, σ²) ‖ N(0, 1)), a scalar."""
    squares = jnp.square(latents.mean) + jnp.exp(2 * latents.log_std)
    return 0.5 * jnp.sum(squares - 1 - 2 * latents.log_std)


def maesn(
    network: Network,
    optimiser: optax.GradientTransformation,
    length: int,
    latent: int,
    *,
    rate: float | Array = 1.0,
    spread_rate: float | Array = 1.0,
    kl_cost: float | Array = 0.1,
    clip: float | Array = 0.3,
    epochs: int = 5,
    discount: float | Array = 0.99,
    lambda_: float | Array = 1.0,
    hold: bool = True,
) -> Agent:
    """The agent; learns from `replay.on_policy(length)`, of lanes that each keep their task.

    Where it does not explore, z is drawn from N(0, 1) for each episode and actions are the mode.

    Args:
      network: vector of observation and z -> distribution, without memory.
      optimiser: an `agents.common.optimisers` chain.
      length: T, rows of a window, which holds whole episodes.
      latent: size of z.
      rate: α of means at first.
      spread_rate: α of the logarithms of standard deviations at first.
      kl_cost: c.
      clip: PPO's ε.
      epochs: gradient steps after each trial of two windows.
      discount: γ.
      lambda_: λ of the generalised advantage.
      hold: draw z once for an episode; if not, for every step, an ablation.
    """
    names = ("loss", "kl", "gradient_norm", "learning_rate")

    def prior(lanes: int) -> Latents:
        return Latents(jnp.zeros((lanes, latent)), jnp.zeros((lanes, latent)))

    def init(key: Key, timestep: TimeStep) -> State:
        k_params, k_latents = jax.random.split(key)
        lanes = timestep.reward.shape[0]
        nothing = jnp.zeros((lanes, latent))
        policy = network.init(k_params, joined(timestep.observation, nothing))
        whole = (lanes * parallel.size(), latent)
        spread = Latents(jax.random.normal(k_latents, whole), jnp.zeros(whole))
        rates = Latents(*(jnp.full(latent, x, jnp.float32) for x in (rate, spread_rate)))
        params = Learned(policy, spread, rates)
        action = policy_of(network, policy, joined(timestep.observation, nothing)).mode()
        row = Step(timestep, action, {"log_prob": timestep.reward, "latent": nothing, "noise": nothing})
        seen = jax.tree.map(lambda x: jnp.zeros((length + 1, *x.shape), x.dtype), row)
        told = {name: jnp.float32(0) for name in names}
        own = jax.tree.map(jnp.copy, mine(spread, lanes))  # its own buffers, so that the state can be donated
        return State(params, optimiser.init(params), own, seen, jnp.bool_(False), jnp.zeros(2), told)

    def read(steps: Step) -> Seen:
        drawn = (jnp.moveaxis(steps.extras[name][:-1], 0, 1) for name in ("latent", "noise"))
        return Seen(rollouts(steps, discount, lambda_), *drawn)

    def act(actor: Any, key: Key, carry: Array, timestep: TimeStep, explore: bool) -> tuple[Tree, Array, Any]:
        policy, adapted = actor
        k_noise, k_action = jax.random.split(key)
        lanes = timestep.reward.shape[0]
        new = timestep.first() if hold else jnp.ones(lanes, bool)
        noise = select(new, jax.random.normal(k_noise, carry.shape), carry)
        if not explore:
            return policy_of(network, policy, joined(timestep.observation, noise)).mode(), noise, {}
        z = adapted.mean + jnp.exp(adapted.log_std) * noise
        action, log_prob = policy_of(network, policy, joined(timestep.observation, z)).sample_and_log_prob(k_action)
        return action, noise, {"log_prob": log_prob, "latent": z, "noise": noise}

    def loss(params: Learned, seen: Seen, after: Seen) -> tuple[Array, Array]:
        def of_task(latents: Latents, seen: Seen, after: Seen) -> tuple[Array, Array]:
            now = stepped(latents, params.rate, seen, hold)
            z = now.mean[None] + jnp.exp(now.log_std[None]) * after.noise
            rows = after.rows
            log_prob = policy_of(network, params.policy, joined(rows.observation, z)).log_prob(rows.action)
            each = losses.clipped_surrogate(log_prob, rows.log_prob, rows.advantage, clip)
            return masked(each, rows), prior_kl(latents)

        lanes = after.noise.shape[0]
        each, kl = jax.tree.map(jnp.mean, jax.vmap(of_task)(mine(params.latents, lanes), seen, after))
        return each + kl_cost * kl, kl

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        window, learns = sample.steps._replace(carry=()), state.stepped
        before, now = read(state.seen), read(window)

        def descend(_: Any, learned: tuple) -> tuple:
            params, opt_state, _ = learned
            (value, kl), gradient = jax.value_and_grad(loss, has_aux=True)(params, before, now)
            params, opt_state, told = optimisers.step(optimiser, gradient, opt_state, params)
            found = {**dict.fromkeys(names, 0.0), **parallel.mean({"loss": value, "kl": kl}), **told}
            return params, opt_state, {name: jnp.asarray(found[name], jnp.float32) for name in names}

        begun = (state.params, state.optimiser, state.told)
        # A loop of no trips, rather than a condition, is left out in runs side by side as well, which are in step.
        params, opt_state, told = jax.lax.fori_loop(0, jnp.where(learns, epochs, 0), descend, begun)
        rate_of = state.params.rate
        own = jax.vmap(lambda latents, seen: stepped(latents, rate_of, seen, hold))(state.adapted, now)
        adapted = jax.tree.map(lambda a, b: jnp.where(learns, a, b), mine(params.latents, own.mean.shape[0]), own)
        seen = jax.tree.map(lambda a, b: jnp.where(learns, a, b), state.seen, window)
        gains = state.gains.at[learns.astype(jnp.int32)].set(parallel.mean(jnp.mean(now.rows.gain)))
        after = State(params, opt_state, adapted, seen, ~learns, gains, told)
        returns = {"return_0": gains[0], "return_1": gains[1], "gain": gains[1] - gains[0]}
        spread = jnp.mean(jnp.exp(params.latents.log_std))
        return after, Info({**told, **returns, "latent_std": spread})

    return Agent(
        init,
        lambda state: (state.params.policy, state.adapted),
        lambda batch: prior(batch).mean,
        act,
        update,
    )
