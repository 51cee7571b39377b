"""Normalised advantage functions: Q-learning for continuous actions.

Gu, Lillicrap, Sutskever and Levine, "Continuous deep Q-learning with model-based acceleration", ICML 2016. One network
gives a value V, a best action μ in [-1, 1] and a lower triangular L, and with P = L Lᵀ

    Q(x, u) = V(x) - ½ (u - μ(x))ᵀ P(x) (u - μ(x)),      so that max_u Q(x, u) = V(x)
    y_t = r_t + γ_t V(x_t; θ⁻)
    L(θ) = E[½ (y_t - Q(x_{t-1}, u_{t-1}; θ))²],         θ⁻ ← τ θ + (1 - τ) θ⁻
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State as Learned
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep
from agents.common import action_noise as noises
from agents.common import recurrence
from agents.common.action_noise import Noise
from agents.common.critics import apply, ends, fit
from agents.ddpg import Actor, uniform_or
from networks.base import Network


class State(NamedTuple):
    """Everything that NAF learns and counts."""

    critic: Learned
    target: Any
    updates: Array  # int32

    @property
    def params(self) -> Any:
        """What is learned by gradient."""
        return self.critic.params


def naf(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.99,
    noise: Noise | None = None,
    target_rate: float | Array = 0.005,
) -> Agent:
    """The NAF agent, acting in [-1, 1].

    Args:
      network: observation -> `networks.Quadratic`; feed-forward.
      optimiser: an `agents.common.optimisers` chain.
      discount: γ.
      noise: of the actions when exploring; by default Gaussian with standard deviation 0.1. Until the first update
        actions are uniformly random.
      target_rate: τ; 1 is no target network.
    """
    noise = noise or noises.gaussian()

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        target = jax.tree.map(jnp.copy, params)  # its own buffers, so that the state can be donated
        return State(Learned(params, optimiser.init(params)), target, jnp.int32(0))

    def actor(state: State) -> Actor:
        return Actor(state.critic.params, (state.updates == 0).astype(jnp.float32))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        output, _ = recurrence.step(network, actor.params, None, (), timestep)
        if not explore:
            return output.action, carry, {}
        k_noise, k_random = jax.random.split(key)
        added, carry = noise.draw(k_noise, carry, timestep.first(), output.action.shape)
        return uniform_or(k_random, actor.epsilon, jnp.clip(output.action + added, -1.0, 1.0)), carry, {}

    def predict(params: Any, steps: Step) -> Array:
        value, mu, lower = apply(network, params, ends(steps)[0])
        return (value + losses.quadratic_advantage(mu, lower, steps.action[:-1]))[None]

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        def targets(key: Key, steps: Step) -> Array:
            _, after = ends(steps)
            return after.reward + discount * after.discount * apply(network, state.target, after).value

        learned, metrics, priority, _ = fit(optimiser, predict, targets, state.critic, key, sample)
        target = optax.incremental_update(learned.params, state.target, target_rate)
        return State(learned, target, state.updates + 1), Info(metrics, priority=priority)

    return Agent(init, actor, noise.begin, act, update)
