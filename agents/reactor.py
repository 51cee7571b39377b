"""The Reactor: an off-policy actor-critic with Retrace.

Gruslys et al., "The Reactor: a fast and sample-efficient actor-critic agent for reinforcement learning", ICLR 2018. The
critic learns from sequences out of a replay by distributional Retrace (`losses.categorical_retrace`),

    L_Q = E[-Σ_i m_i log p_i(x_{t-1}, a_{t-1}; θ)]        m from p(·; θ⁻), π and μ

and the actor by β-leave-one-out policy gradients, with G = Σ_i m_i z_i the return of the action taken:

    L_π = -E[β (G_t - Q(x_{t-1}, a_{t-1})) π(a_{t-1}|x_{t-1}) + Σ_a Q(x_{t-1}, a) π(a|x_{t-1})],    β = min(c, 1/μ)

The policy is a mixture of the network's and the uniform one, and its own behaviour; `act` stores the probability μ of
the action taken. Fresh memory at the start of every sequence, as in the paper, is `memory.forgetful(reactor(...))`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, over_window, valid
from agents.common import measures, objectives, optimisers, recurrence
from envs import parallel
from networks.base import Network
from networks.distributions import Categorical


class State(NamedTuple):
    """Everything that the Reactor learns and counts."""

    params: Any
    target: Any
    optimiser: Any
    updates: Array  # int32


def targets(
    steps: Step, output: Array, pi: Array, *, atoms: Array | None, discount: float | Array, lambda_: float | Array
) -> Array:
    """Retrace's targets of a window: returns `[T, N]`, or with atoms the masses `[T, N, K]` of their distributions.

    Args:
      steps: `[T+1, N]`.
      output: of the critic: values `[T+1, N, A]`, or with atoms the logits `[T+1, N, A, K]`.
      pi: probabilities of the policy `[T+1, N, A]`.
      atoms: `[K]`, or None.
      discount: γ.
      lambda_: λ.
    """

    def of_lane(r: Array, gamma: Array, output: Array, a: Array, pi: Array, mu: Array, step_type: Array) -> Array:
        r_t, discount_t, output_t = r[1:], discount * gamma[1:], output[1:]
        a_t, pi_t, mu_t = a[1:], pi[1:], mu[1:]
        if atoms is None:
            return losses.retrace_returns(r_t, discount_t, output_t, a_t, pi_t, mu_t, step_type, lambda_)
        probs_t = jax.nn.softmax(output_t)
        return losses.categorical_retrace(atoms, r_t, discount_t, probs_t, a_t, pi_t, mu_t, step_type, lambda_)

    step_type, reward, gamma, _ = steps.timestep
    return jax.vmap(of_lane, 1, 1)(reward, gamma, output, steps.action, pi, steps.extras["mu"], step_type)


def reactor(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    atoms: Array | None = None,
    discount: float | Array = 0.99,
    lambda_: float | Array = 1.0,
    bound: float | Array = 1.0,
    mixture: float | Array = 0.01,
    value_cost: float | Array = 1.0,
    policy_cost: float | Array = 1.0,
    entropy_cost: float | Array = 0.01,
    target_period: int | Array = 1000,
    target_rate: float | Array = 1.0,
) -> Agent:
    """The Reactor agent; learns from windows of a replay, in the paper prioritised ones of 33 rows.

    Args:
      network: observation -> (`Categorical`, critic): `networks.forked`, which keeps policy gradients from the torso.
        The critic's output is logits `[A, K]`, or values `[A]` if there are no atoms.
      optimiser: an `agents.common.optimisers` chain; the paper's is Adam with β₁ = 0.
      atoms: returns `[K]` that the critic's distributions lie on; None for a critic of mean returns.
      discount: γ.
      lambda_: λ of Retrace.
      bound: c: 0 trusts the critic alone, 1 is the published β = 1, ∞ is unbiased.
      mixture: share of the uniform policy in the agent's.
      value_cost: weight of L_Q.
      policy_cost: weight of L_π.
      entropy_cost: weight of the policy's entropy.
      target_period: updates between moves of the target parameters θ⁻.
      target_rate: how far θ⁻ moves towards θ each time: 1 copies, less is Polyak averaging.
    """

    def mixed(policy: Categorical) -> Array:
        return (1 - mixture) * jax.nn.softmax(policy.logits) + mixture / policy.logits.shape[-1]

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        target = jax.tree.map(jnp.copy, params)  # its own buffers, so that the state can be donated
        return State(params, target, optimiser.init(params), jnp.int32(0))

    def act(params: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_network, k_sample = jax.random.split(key)
        (policy, _), after = recurrence.step(network, params, k_network, carry, timestep)
        pi = mixed(policy)
        action = Categorical(jnp.log(pi)).sample(k_sample) if explore else policy.mode()
        return action, after, {"mu": objectives.taken(pi, action)}

    def loss(params: Any, target: Any, key: Key, sample: Sample) -> tuple[Array, tuple[dict[str, Array], Array]]:
        k_online, k_target = jax.random.split(key)
        steps, mask = sample.steps, valid(sample.steps)
        policy, output = recurrence.unroll(network, params, k_online, steps)
        _, bootstrap = recurrence.unroll(network, target, k_target, steps)
        pi, q = mixed(policy), output if atoms is None else jax.nn.softmax(output) @ atoms
        goal = targets(steps, bootstrap, pi, atoms=atoms, discount=discount, lambda_=lambda_)
        taken = objectives.taken(output, steps.action)[:-1]
        if atoms is None:
            returns, value_loss, surprise = goal, losses.squared(goal - taken), jnp.abs(goal - taken)
        else:
            returns, value_loss = goal @ atoms, losses.categorical_cross_entropy(taken, goal)
            surprise = 0.5 * jnp.sum(jnp.abs(goal - jax.nn.softmax(taken)), axis=-1)
        pi_tm1, a_tm1, q_tm1, mu_tm1 = (x[:-1] for x in (pi, steps.action, q, steps.extras["mu"]))
        terms = {
            "value_loss": value_loss,
            "policy_loss": losses.beta_leave_one_out(pi_tm1, a_tm1, q_tm1, returns, mu_tm1, bound),
            "entropy": policy.entropy()[:-1],
        }
        weight = jnp.broadcast_to(jnp.asarray(sample.weight), mask.shape[1:])[None]
        means = {name: parallel.masked_mean(term * weight, mask) for name, term in terms.items()}
        total = value_cost * means["value_loss"] + policy_cost * means["policy_loss"] - entropy_cost * means["entropy"]
        fixed, *probs = jax.lax.stop_gradient((objectives.taken(q_tm1, a_tm1), objectives.taken(pi_tm1, a_tm1), mu_tm1))
        log_prob, log_mu = (jnp.log(jnp.maximum(x, 1e-8)) for x in probs)
        told = {
            "q_mean": fixed,
            "td_error": jnp.abs(returns - fixed),
            "approx_kl": losses.approx_kl(log_prob, log_mu),
        }
        means |= {name: parallel.masked_mean(term, mask) for name, term in told.items()}
        means["explained_variance"] = measures.explained_variance(fixed, returns, mask)
        return total, ({"loss": total, **means}, surprise)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        gradients, (metrics, surprise) = jax.grad(loss, has_aux=True)(state.params, state.target, key, sample)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params)
        metrics |= {**told, "priority": jnp.mean(over_window(surprise, sample.steps))}
        count = state.updates + 1
        rate = jnp.where(count % target_period == 0, target_rate, 0.0)
        target = optax.incremental_update(params, state.target, rate)
        priority = jax.lax.stop_gradient(over_window(surprise, sample.steps))
        return State(params, target, opt_state, count), Info(metrics, priority)

    return Agent(init, lambda state: state.params, network.begin, act, update, recurrence.entire)
