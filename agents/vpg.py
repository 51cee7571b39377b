"""Vanilla policy gradient, by its argument any of the Ψ_t family; batch actor-critic.

Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning", 1992; Sutton et
al., "Policy gradient methods for reinforcement learning with function approximation", NeurIPS 2000; Schulman et al.,
"High-dimensional continuous control using generalized advantage estimation", ICLR 2016. One policy step on

    L_π = E[ -log π(a_{t-1}|x_{t-1}) Ψ_t - c_e H(π(·|x_{t-1})) ]          Ψ_t: `losses.policy_weights`

with the critic as it was when the rollout was collected, and then the critic is fitted to the rollout's sampled sums
of rewards (λ_v = 1) or to its λ_v-returns:

    L_V = E[ ½ (G_t - V(x_{t-1}))² ]      or, where Ψ_t reads action values,      E[ ½ (G_t - Q(x_{t-1}, a_{t-1}))² ]
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import a2c, losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.common import measures, objectives, recurrence
from agents.losses import Psi
from agents.ppo import Batch, normalised, passes
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """What a batch actor-critic learns."""

    params: Any
    optimiser: Any  # of the policy
    critic: Any  # the critic's optimiser


def learner(network: Network, optimiser: optax.GradientTransformation, critic: optax.GradientTransformation) -> Any:
    """`init` and `actor` of an agent whose policy and critic have an optimiser each."""

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        return State(params, optimiser.init(params), critic.init(params))

    return init, lambda state: state.params


def read(policy: Any, critic: Array, action: Any) -> tuple[Array, Array | None]:
    """V `[T, N]`, and Q of the actions taken if the critic gives action values `[T, N, A]`: then V is Σ_a π(a) Q(a)."""
    if critic.ndim == 2:
        return critic, None
    return jnp.sum(jax.nn.softmax(policy.logits) * critic, axis=-1), objectives.taken(critic, action)


def rollout(steps: Step, v: Array, advantage: Array, *, discount: float | Array, lambda_: float | Array) -> Batch:
    """A window `[T+1, N]` with its advantages, and its λ-returns as the critic's targets."""
    arrived = steps.timestep
    returns = jax.vmap(losses.lambda_returns, (1, 1, 1, 1, None), 1)
    target = returns(arrived.reward[1:], discount * arrived.discount[1:], v[1:], arrived.step_type, lambda_)
    return Batch(recurrence.before(steps), advantage, target, valid(steps))


def fit(
    network: Network, optimiser: optax.GradientTransformation, state: Any, key: Key, batch: Batch, passes_: tuple
) -> tuple[Any, dict[str, Array]]:
    """Fits the critic of a state with `params` and `critic` to a batch; `passes_` is (epochs, minibatches)."""

    def loss(params: Any, key: Key, batch: Batch) -> tuple[Array, dict[str, Array]]:
        policy, critic = recurrence.unroll(network, params, key, batch.steps)
        v, q = read(jax.lax.stop_gradient(policy), critic, batch.steps.action)
        value = parallel.masked_mean(losses.value_loss(v if q is None else q, batch.target), batch.mask)
        return value, {"value_loss": value}

    step = partial(a2c.descend, optimiser, loss, part="critic_")
    before = a2c.State(state.params, state.critic)
    after, metrics = passes(step, before, key, batch, *passes_)
    return state._replace(params=after.params, critic=after.optimiser), metrics


def vpg(
    network: Network,
    optimiser: optax.GradientTransformation,
    critic_optimiser: optax.GradientTransformation,
    *,
    psi: Psi = "gae",
    discount: float | Array = 0.99,
    lambda_: float | Array = 0.97,
    value_lambda: float | Array = 1.0,
    entropy_cost: float | Array = 0.0,
    epochs: int = 10,
    minibatches: int = 1,
    normalise: bool = True,
) -> Agent:
    """The VPG agent; learns from `replay.on_policy()`.

    Args:
      network: observation -> (distribution, value), better with a torso for each; for the Ψ that read action values,
        (`Categorical`, action values).
      optimiser: an `agents.common.optimisers` chain for the policy.
      critic_optimiser: another for the critic.
      psi: what weighs the score function.
      discount: γ.
      lambda_: λ of `gae`.
      value_lambda: λ_v; 1 for sampled sums of rewards.
      entropy_cost: c_e.
      epochs: passes of the critic over each rollout.
      minibatches: gradient steps per pass; must divide the rollout's steps (its lanes, if the network has memory).
      normalise: bring Ψ to mean 0 and variance 1 in each batch.
    """
    init, actor = learner(network, optimiser, critic_optimiser)
    weigh = jax.vmap(partial(losses.policy_weights, psi), (1, 1, 1, 1, 1, None), 1)

    def loss(params: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Any]]:
        arrived, mask = steps.timestep, valid(steps)
        policy, critic = recurrence.unroll(network, params, key, steps)
        v, q = jax.lax.stop_gradient(read(policy, critic, steps.action))
        q_tm1 = None if q is None else q[:-1]
        weight = weigh(arrived.reward[1:], discount * arrived.discount[1:], v, arrived.step_type, q_tm1, lambda_)
        batch = rollout(steps, v, weight, discount=discount, lambda_=value_lambda)
        policy, action = jax.tree.map(lambda x: x[:-1], (policy, steps.action))
        log_prob = policy.log_prob(action)
        terms = {
            "policy_loss": losses.policy_gradient(log_prob, normalised(weight, mask) if normalise else weight),
            "entropy": policy.entropy(),
            "approx_kl": losses.approx_kl(log_prob, steps.extras["log_prob"][:-1]),
        }
        means = {name: parallel.masked_mean(term, mask) for name, term in terms.items()}
        means["explained_variance"] = measures.explained_variance(v[:-1], batch.target, mask)
        return means["policy_loss"] - entropy_cost * means["entropy"], {**means, "batch": batch}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_policy, k_critic = jax.random.split(key)
        state, metrics = a2c.descend(optimiser, loss, state, k_policy, sample.steps)
        batch = metrics.pop("batch")
        state, fitted = fit(network, critic_optimiser, state, k_critic, batch, (epochs, minibatches))
        return state, Info({"loss": metrics["policy_loss"] + fitted["value_loss"], **metrics, **fitted})

    return Agent(init, actor, network.begin, a2c.acting(network), update, recurrence.entire)
