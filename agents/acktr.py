"""ACKTR: an actor-critic whose step is natural, by Kronecker factors, and bounded in KL.

Wu et al., "Scalable trust-region method for deep reinforcement learning using Kronecker-factored approximation",
NeurIPS 2017. The gradient g is that of A2C (`agents.a2c`). The Fisher matrix F is that of actions and values which the
network itself gives, p(a, v|x) = π(a|x) N(v; V(x), 1), and

    Δ = F⁻¹ g        m ← μ m + (1 - μ) min(η, √(2δ / Δᵀg)) Δ        θ ← θ - m
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.a2c import acting, objective
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep
from agents.common import kfac, recurrence
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """What ACKTR learns."""

    params: Any
    factors: kfac.Factors
    momentum: Any
    updates: Array  # int32


def acktr(
    network: Network,
    *,
    learning_rate: Any = 0.25,
    radius: float | Array = 0.001,
    momentum: float | Array = 0.9,
    decay: float | Array = 0.99,
    damping: float | Array = 0.01,
    curvature: bool = True,
    discount: float | Array = 0.99,
    lambda_: float | Array = 1.0,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.01,
) -> Agent:
    """The ACKTR agent; learns from `replay.on_policy()`.

    Args:
      network: observation -> (distribution, value), feed-forward; what is neither a dense layer nor a convolution
        gets plain steps.
      learning_rate: η, or a schedule of it over updates.
      radius: δ, in nats.
      momentum: μ.
      decay: of the factors' running averages.
      damping: λ of the factors.
      curvature: if not, F is the identity.
      discount: γ.
      lambda_: λ of the generalised advantage.
      value_cost: c_v.
      entropy_cost: c_e.
    """
    loss = objective(network, discount=discount, lambda_=lambda_, value_cost=value_cost, entropy_cost=entropy_cost)

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        return State(params, kfac.empty(params), jax.tree.map(jnp.zeros_like, params), jnp.int32(0))

    def curved(params: Any, key: Key, steps: Step) -> tuple[dict[str, Array], dict[str, Array]]:
        k_network, k_action, k_value = jax.random.split(key, 3)
        policy, value = jax.lax.stop_gradient(recurrence.unroll(network, params, k_network, steps))
        action = policy.sample(parallel.own_key(k_action))
        target = value + jax.random.normal(parallel.own_key(k_value), value.shape)

        def log_likelihood(params: Any) -> Array:
            policy, value = recurrence.unroll(network, params, k_network, steps)
            return jnp.sum(policy.log_prob(action) - 0.5 * jnp.square(target - value))

        return kfac.sampled(log_likelihood, params, value.size)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_loss, k_fisher = jax.random.split(key)
        gradient, metrics = jax.grad(loss, has_aux=True)(state.params, k_loss, sample.steps)
        gradient, factors = parallel.mean(gradient), state.factors
        natural = gradient
        if curvature:
            factors = kfac.accumulate(factors, curved(state.params, k_fisher, sample.steps), decay)
            natural = kfac.precondition(factors, gradient, damping)
        length = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, natural, gradient)))
        most = learning_rate(state.updates) if callable(learning_rate) else learning_rate
        rate = jnp.minimum(most, jnp.sqrt(2 * radius / jnp.maximum(length, 1e-12)))
        moving = jax.tree.map(lambda m, x: momentum * m + (1 - momentum) * rate * x, state.momentum, natural)
        params = jax.tree.map(jnp.subtract, state.params, moving)
        metrics |= {"learning_rate": jnp.asarray(most, jnp.float32), "gradient_norm": optax.tree.norm(gradient)}
        return State(params, factors, moving, state.updates + 1), Info({**metrics, "step_size": rate})

    return Agent(init, lambda state: state.params, network.begin, acting(network), update, recurrence.entire)
