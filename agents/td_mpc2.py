"""TD-MPC2: planning by MPPI with a policy's proposals in a latent model, whose end is valued by a critic.

Hansen, Su and Wang, "TD-MPC2: scalable, robust world models for continuous control", ICLR 2024. A window of H
transitions is unrolled in the model from z_0 = e(x_t) by its own actions, z_{h+1} = d(z_h, a_h):

    L = 1/H Σ_h ρ^h [c_z |z_{h+1} - sg e(x_{h+1})|² + c_r ℓ(R(z_h, a_h), r_{h+1}) + c_q/E Σ_e ℓ(Q_e(z_h, a_h), y_{h+1})]
    y = r + γ min of two of Q̄(e(x'), π(e(x'))),     L_π = -1/(H+1) Σ_h ρ^h [Q(z_h, π(z_h)) / S + β H(π(·|z_h))]

with cross-entropies ℓ to two-hot distributions of symlog x, Q̄ an average of Q's parameters over time, S the running
range from the 5th to the 95th percentile of Q, at least 1, and L_π descended by π alone. What comes after the end of an
episode counts nothing. Actions are in [-1, 1].
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import rlax

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, select, valid
from agents.common import optimisers
from agents.world.proposals import Imagination, Mppi, planned
from envs import keys, parallel
from networks.control import Control

PAIR = rlax.TxPair(losses.symlog, losses.symexp)


class State(NamedTuple):
    """What is learned."""

    params: Any
    critics: Any  # Q̄
    optimiser: Any
    scale: Array  # S before it is cut from below
    updates: Array  # int32


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    updates: Array


class Coefficients(NamedTuple):
    """Weights of the terms of L and L_π."""

    consistency: float | Array = 20.0  # c_z
    reward: float | Array = 0.1  # c_r
    value: float | Array = 0.1  # c_q
    entropy: float | Array = 1e-4  # β
    decay: float | Array = 0.5  # ρ


def td_mpc2(
    network: Control,
    optimiser: optax.GradientTransformation,
    *,
    actions: int,
    atoms: Array,
    mppi: Mppi = Mppi(),  # noqa: B008
    planning: bool = True,
    discount: float | Array = 0.975,
    coefficients: Coefficients = Coefficients(),  # noqa: B008
    target_rate: float | Array = 0.01,
) -> Agent:
    """The agent, for a replay of windows of H transitions; acts at random until it has learned.

    Args:
      network: the five networks, of `networks.control`.
      optimiser: an `agents.common.optimisers.apart` chain with a part for each network.
      actions: A.
      atoms: the support of rewards and values under symlog, symmetric about 0.
      mppi: how to plan.
      planning: act by plans; without, as an ablation, by the policy.
      discount: γ.
      coefficients: weights of the losses.
      target_rate: of the average Q̄.
    """
    scalar = lambda logits: losses.support_mean(logits, atoms, PAIR)  # noqa: E731

    def two(key: Key, critics: Any) -> Any:
        """The parameters of two critics drawn at random."""
        number = jax.tree.leaves(critics)[0].shape[0]
        which = jax.random.permutation(key, number)[:2]
        return jax.tree.map(lambda x: x[which], critics)

    def imagination(params: Any) -> Imagination:
        def step(z: Array, action: Array) -> tuple[Array, Array]:
            return network.step(params, z, action), scalar(network.reward(params, z, action))

        def value(key: Key, z: Array) -> Array:
            k_action, k_two = jax.random.split(key)
            action = network.policy(params, z).sample(k_action)
            return jnp.mean(scalar(network.values(two(k_two, params["critics"]), z, action)), 0)

        return Imagination(step, lambda key, z: network.policy(params, z).sample(key), value)

    def begin(lanes: int) -> Array:
        return jnp.zeros((lanes, mppi.horizon, actions))

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        return State(params, params["critics"], optimiser.init(params), jnp.float32(1), jnp.int32(0))

    def act(actor: Actor, key: Key, carry: Array, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_plan, k_noise, k_random = jax.random.split(key if explore else keys.key(0), 3)
        lanes = timestep.reward.shape[0]
        z = network.encode(actor.params, timestep.observation)
        if planning:
            begun = select(timestep.first(), begin(lanes), carry)
            mean, deviation, drawn = planned(mppi, imagination(actor.params), k_plan, z, begun, discount)
            carry = jnp.concatenate([mean[:, 1:], jnp.zeros_like(mean[:, :1])], axis=1)
            noisy = drawn + deviation[:, 0] * jax.random.normal(k_noise, drawn.shape)
            action = jnp.clip(noisy if explore else mean[:, 0], -1.0, 1.0)
        else:
            policy = network.policy(actor.params, z)
            action = policy.sample(k_plan) if explore else policy.mode()
        if explore:
            random = jax.random.uniform(k_random, action.shape, minval=-1.0, maxval=1.0)
            action = jnp.where(actor.updates > 0, action, random)
        return action, carry, {}

    def targets(state: State, key: Key, steps: Step, seen: Array) -> Array:
        """y `[H, N]`, of what was seen `[H+1, N, D]`."""
        k_action, k_two = jax.random.split(key)
        after = seen[1:].reshape((-1, seen.shape[-1]))
        action = network.policy(state.params, after).sample(k_action)
        value = jnp.min(scalar(network.values(two(k_two, state.critics), after, action)), 0)
        ending = discount * steps.timestep.discount[1:]
        return jax.lax.stop_gradient(steps.timestep.reward[1:] + ending * value.reshape(ending.shape))

    def loss(params: Any, state: State, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        k_target, k_policy, k_two = jax.random.split(key, 3)
        horizon, lanes = steps.timestep.reward.shape[0] - 1, steps.timestep.reward.shape[1]
        flat = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), steps.timestep.observation)
        seen = jax.lax.stop_gradient(network.encode(params, flat)).reshape((horizon + 1, lanes, -1))
        y = targets(state, k_target, steps, seen)
        first = network.encode(params, jax.tree.map(lambda x: x[0], steps.timestep.observation))

        def step(z: Array, action: Array) -> tuple[Array, tuple]:
            after = network.step(params, z, action)
            return after, (after, network.reward(params, z, action), network.values(params["critics"], z, action))

        _, (z, rewards, values) = jax.lax.scan(step, first, steps.action[:-1])
        weight = coefficients.decay ** jnp.arange(horizon + 1.0)[:, None]
        alive = jnp.cumprod(valid(steps), axis=0)
        worth = [losses.support_loss(values[:, e], y, atoms, PAIR) for e in range(values.shape[1])]
        each = {
            "consistency_loss": jnp.mean(jnp.square(z - seen[1:]), -1),
            "reward_loss": losses.support_loss(rewards, steps.timestep.reward[1:], atoms, PAIR),
            "value_loss": jnp.mean(jnp.stack(worth), axis=0),
        }
        means = {name: jnp.mean(weight[:-1] * alive * x) for name, x in each.items()}
        # The policy hears of latents as they were imagined, and moves nothing but itself.
        fixed, states = jax.lax.stop_gradient((params, jnp.concatenate([first[None], z])))
        states = states.reshape((-1, states.shape[-1]))
        action, log_prob = network.policy(params, states).sample_and_log_prob(k_policy)
        q = jnp.mean(scalar(network.values(two(k_two, fixed["critics"]), states, action)), 0)
        scale = jnp.maximum(state.scale, 1.0)
        pull = (q / scale - coefficients.entropy * log_prob).reshape((horizon + 1, lanes))
        reached = jnp.concatenate([jnp.ones((1, lanes)), alive])
        means["policy_loss"] = -jnp.mean(weight * reached * pull)
        total = (
            coefficients.consistency * means["consistency_loss"]
            + coefficients.reward * means["reward_loss"]
            + coefficients.value * means["value_loss"]
            + means["policy_loss"]
        )
        low, high = jnp.percentile(q[:lanes], jnp.array([5.0, 95.0]))
        told = {"q_mean": jnp.mean(q), "entropy": -jnp.mean(log_prob), "range": parallel.mean(high - low)}
        return total, {"loss": total, **means, **told}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        gradients, metrics = jax.grad(loss, has_aux=True)(state.params, state, key, sample.steps)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params)
        critics = optax.incremental_update(params["critics"], state.critics, target_rate)
        scale = state.scale + target_rate * (jax.lax.stop_gradient(metrics["range"]) - state.scale)
        state = State(params, critics, opt_state, scale, state.updates + 1)
        return state, Info({**metrics, "scale": jnp.maximum(scale, 1.0), **told})

    return Agent(init, lambda state: Actor(state.params, state.updates), begin, act, update)
