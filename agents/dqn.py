"""Deep Q-network, plain and double.

Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015; van Hasselt, Guez and Silver,
"Deep reinforcement learning with double Q-learning", AAAI 2016.

    y_t = r_t + γ_t Q(x_t, a*; θ⁻)        a* = argmax_a Q(x_t, a; θ⁻)  (plain)   or   argmax_a Q(x_t, a; θ)  (double)
    L(θ) = Huber(y_t - Q(x_{t-1}, a_{t-1}; θ))

The behaviour is ε-greedy. Windows of any length serve: with a recurrent network this is DRQN, with `n_step` relabelling
it is n-step DQN, with importance weights in the sample it is prioritised DQN.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses, memory, parallel
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from networks.base import Network


class State(NamedTuple):
    """Everything that DQN learns and counts."""

    params: Any
    target: Any
    optimiser: Any
    updates: Array  # int32


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    epsilon: Array


def td_errors(network: Network, *, discount: float | Array, double: bool) -> Callable[..., Array]:
    """The TD errors of a window: `(params, target, key, steps[T+1, N]) -> δ[T, N]`, y_t - Q(x_{t-1}, a_{t-1}).

    Gradients flow into `params` through Q(x_{t-1}, a_{t-1}) alone.
    """

    def fn(params: Any, target: Any, key: Key, steps: Step) -> Array:
        k_online, k_target = jax.random.split(key)
        q_tm1, q_t_online = memory.pairs(network, params, k_online, steps)
        _, q_t = memory.pairs(network, target, k_target, steps)
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep)
        selector = q_t_online if double else q_t
        discount_t = discount * arrived.discount
        return losses.double_q_learning(q_tm1, steps.action[:-1], arrived.reward, discount_t, q_t, selector)

    return fn


def epsilon_greedy(key: Key, q: Array, epsilon: Array) -> Array:
    """Actions `[B]` from values `[B, A]`. One uniform number serves both the choice to explore and the action."""
    num_actions = q.shape[-1]
    u = jax.random.uniform(key, q.shape[:-1])
    random_action = jnp.minimum(u / jnp.maximum(epsilon, 1e-8) * num_actions, num_actions - 1).astype(jnp.int32)
    return jnp.where(u < epsilon, random_action, jnp.argmax(q, axis=-1).astype(jnp.int32))


def dqn(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.99,
    epsilon: float | Array | optax.Schedule = 0.1,
    target_period: int | Array = 1,
    target_rate: float | Array = 1.0,
    double: bool = True,
    error_clip: float | None = 1.0,
) -> Agent:
    """The DQN agent.

    Args:
      network: observation -> Q `[A]`; feed-forward or recurrent.
      optimiser: an `agents.optimisers` chain.
      discount: γ.
      epsilon: probability of a random action, or a schedule of it over updates. Evaluation is greedy.
      target_period: updates between moves of the target parameters θ⁻.
      target_rate: how far θ⁻ moves towards θ each time: 1 copies, less is Polyak averaging.
      double: select a* with the online parameters.
      error_clip: δ where Huber's loss turns linear (so the gradient is clipped to ±δ); None for the squared loss.
    """
    errors = td_errors(network, discount=discount, double=double)

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        target = jax.tree.map(jnp.copy, params)  # its own buffers, so that the state can be donated
        return State(params, target, optimiser.init(params), jnp.int32(0))

    def actor(state: State) -> Actor:
        rate = epsilon(state.updates) if callable(epsilon) else epsilon
        return Actor(state.params, jnp.asarray(rate, jnp.float32))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_network, k_explore = jax.random.split(key)
        q, after = memory.step(network, actor.params, k_network, carry, timestep)
        action = epsilon_greedy(k_explore, q, actor.epsilon) if explore else jnp.argmax(q, -1).astype(jnp.int32)
        return action, after, memory.stored(carry)

    def loss(params: Any, target: Any, key: Key, sample: Sample) -> tuple[Array, Array]:
        td = errors(params, target, key, sample.steps)
        per_step = losses.squared(td) if error_clip is None else losses.huber(td, error_clip)
        weight = jnp.broadcast_to(jnp.asarray(sample.weight), td.shape[1:])[None]
        return parallel.masked_mean(per_step * weight, valid(sample.steps)), td

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        (value, td), gradients = jax.value_and_grad(loss, has_aux=True)(state.params, state.target, key, sample)
        updates, opt_state = optimiser.update(gradients, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        count = state.updates + 1
        rate = jnp.where(count % target_period == 0, target_rate, 0.0)
        target = optax.incremental_update(params, state.target, rate)
        td = jnp.abs(td) * valid(sample.steps)
        metrics = {"loss": value, "td_error": jnp.mean(td)}
        return State(params, target, opt_state, count), Info(metrics, priority=jnp.mean(td, axis=0))

    return Agent(init, actor, network.begin, act, update)
