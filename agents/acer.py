"""ACER: actor-critic with experience replay, for discrete actions.

Wang et al., "Sample efficient actor-critic with experience replay", ICLR 2017. From windows of a replay, with the
probabilities μ of all actions when they were taken, ρ = π/μ and returns by Retrace (λ = 1),

    G_t = r_{t+1} + γ_{t+1} [V(x_{t+1}) + min(1, ρ_{t+1}) (G_{t+1} - Q(x_{t+1}, a_{t+1}))]          V = Σ_a π(a) Q(a)

the critic minimises ½ (G_t - Q(x_t, a_t))², and the policy follows, in its probabilities, the gradient with truncated
importance weights and bias correction (`losses.truncated_gradient`) and that of its entropy, projected onto a trust
region around an average of past policies (`losses.trusted_gradient`):

    L_π = -E[Σ_a z_a π(a|x_t)]        z a constant
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.common import measures, objectives, recurrence
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """What ACER learns, and the average of what it was."""

    params: Any
    average: Any
    optimiser: Any


def acer(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.99,
    bound: float | Array = 10.0,
    trust: float | Array = 1.0,
    average_rate: float | Array = 0.01,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.01,
) -> Agent:
    """The ACER agent; learns from windows of `fresh_and_replayed(on_policy(T), uniform(..., T))` or of `uniform`.

    Args:
      network: observation -> (`Categorical`, action values); feed-forward or recurrent.
      optimiser: an `agents.common.optimisers` chain.
      discount: γ.
      bound: c, where importance weights are truncated; ∞ for no truncation.
      trust: δ, how much the divergence from the average policy may grow to first order; ∞ for no trust region.
      average_rate: how far the average moves towards the policy each update.
      value_cost: weight of the critic's loss.
      entropy_cost: weight of the entropy's gradient, inside the trust region.
    """
    retrace = jax.vmap(losses.retrace_returns, (1, 1, 1, 1, 1, 1, 1), 1)

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        return State(params, jax.tree.map(jnp.copy, params), optimiser.init(params))

    def act(params: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_network, k_sample = jax.random.split(key)
        (policy, _), after = recurrence.step(network, params, k_network, carry, timestep)
        action = policy.sample(k_sample) if explore else policy.mode()
        return action, after, {"mu": jax.nn.softmax(policy.logits)}

    def loss(params: Any, average: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        mask, action, mu = valid(steps), steps.action, steps.extras["mu"]
        policy, q = recurrence.unroll(network, params, key, steps)
        before, _ = recurrence.unroll(network, average, key, steps)
        pi, fixed = jax.nn.softmax(policy.logits), jax.lax.stop_gradient(q)
        arrived = steps.timestep
        returns = retrace(
            arrived.reward[1:], discount * arrived.discount[1:], fixed[1:], action[1:],
            jax.lax.stop_gradient(pi[1:]), objectives.taken(mu, action)[1:], arrived.step_type,
        )  # fmt: skip
        pi, q, fixed, mu, action = (x[:-1] for x in (pi, q, fixed, mu, action))
        f, log_mu = jax.lax.stop_gradient(pi), jnp.log(jnp.maximum(objectives.taken(mu, action), 1e-8))
        ascent = losses.truncated_gradient(f, action, fixed, returns, mu, bound)
        ascent = ascent - entropy_cost * (jnp.log(jnp.maximum(f, 1e-8)) + 1)
        within = losses.trusted_gradient(ascent, f, jax.nn.softmax(before.logits)[:-1], trust)
        terms = {
            "policy_loss": -jnp.sum(within * pi, axis=-1),
            "value_loss": losses.squared(returns - objectives.taken(q, action)),
            "entropy": policy.entropy()[:-1],
            "kl": before.kl(policy)[:-1],
            "approx_kl": losses.approx_kl(policy.log_prob(steps.action)[:-1], log_mu),
            "td_error": jnp.abs(returns - objectives.taken(fixed, action)),
            "q_mean": objectives.taken(fixed, action),
            "projected": jnp.any(within != ascent, axis=-1).astype(jnp.float32),
        }
        means = {name: parallel.masked_mean(term, mask) for name, term in terms.items()}
        total = means["policy_loss"] + value_cost * means["value_loss"]
        explained = measures.explained_variance(objectives.taken(fixed, action), returns, mask)
        return total, {"loss": total, **means, "explained_variance": explained}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        state, metrics = descend(optimiser, loss, state, state.average, key, sample.steps)
        return state._replace(average=optax.incremental_update(state.params, state.average, average_rate)), Info(
            metrics
        )

    return Agent(init, lambda state: state.params, network.begin, act, update, recurrence.entire)
