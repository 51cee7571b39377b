"""IMPALA: an actor-critic whose actors are behind the learner, with V-trace.

Espeholt et al., "IMPALA: scalable distributed deep-RL with importance weighted actor-learner architectures", ICML 2018.
With ρ_t = min(ρ̄, π/μ) and c_t = λ min(1, π/μ) of the action taken, and μ the policy that took it:

    v_{t-1} = V(x_{t-1}) + δ_t + γ_t c_{t-1} (v_t - V(x_t))             δ_t = ρ_{t-1} (r_t + γ_t V(x_t) - V(x_{t-1}))
    L = E[ -log π(a_{t-1}|x_{t-1}) ρ_{t-1} (r_t + γ_t v_t - V(x_{t-1})) + c_v ½ (v_{t-1} - V(x_{t-1}))² - c_e H(π) ]

with v and the advantage constants. The lag of the actors is `agents.common.lagged`. The paper's loss is a sum over
the batch, with which its bound on the gradient and its ε of RMSProp go; here it is a mean.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State, acting, descend, learner
from agents.base import Agent, Array, Info, Key, Sample, Step, valid
from agents.common import lessons, measures, recurrence
from agents.common.lagged import lagged
from agents.common.lessons import Lesson
from envs import parallel
from networks.base import Network


def impala(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    lag: int = 0,
    discount: float | Array = 0.99,
    lambda_: float | Array = 1.0,
    clip_rho: float | Array = 1.0,
    clip_pg_rho: float | Array = 1.0,
    correct: bool = True,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.01,
    lesson: Lesson | None = None,
) -> Agent:
    """The IMPALA agent; learns from `replay.on_policy()`.

    Args:
      network: observation -> (distribution, value); feed-forward or recurrent.
      optimiser: an `agents.common.optimisers` chain.
      lag: updates that the acting parameters are behind.
      discount: γ.
      lambda_: λ; 1 in the paper.
      clip_rho: ρ̄ of the values: the policy that they belong to lies between μ and, for ∞, π.
      clip_pg_rho: ρ̄ of the policy gradient.
      correct: if not, π/μ counts as 1, as in A3C.
      value_cost: c_v.
      entropy_cost: c_e.
      lesson: what is learned from teachers beside the reward, `agents.kickstart.lesson`; or None.
    """
    init, actor = learner(network, optimiser)
    of_lanes = jax.vmap(losses.vtrace, in_axes=(1, 1, 1, 1, 1, None, None, None), out_axes=1)

    def loss(params: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        policy, value = recurrence.unroll(network, params, key, steps)
        policy, action = jax.tree.map(lambda x: x[:-1], (policy, steps.action))
        arrived, log_prob = steps.timestep, policy.log_prob(action)
        log_rho = jax.lax.stop_gradient(log_prob) - steps.extras["log_prob"][:-1]
        rho = jnp.exp(log_rho) if correct else jnp.ones_like(log_rho)
        error, advantage = of_lanes(
            arrived.reward[1:], discount * arrived.discount[1:], rho, jax.lax.stop_gradient(value),
            arrived.step_type, lambda_, clip_rho, clip_pg_rho,
        )  # fmt: skip
        target = error + jax.lax.stop_gradient(value[:-1])
        terms = {
            "policy_loss": losses.policy_gradient(log_prob, advantage),
            "value_loss": losses.squared(target - value[:-1]),
            "entropy": policy.entropy(),
            "approx_kl": losses.approx_kl(log_prob, steps.extras["log_prob"][:-1]),
            "rho": rho,
            **lessons.terms(lesson, policy, steps.extras),
        }
        means = {name: parallel.masked_mean(term, valid(steps)) for name, term in terms.items()}
        total = lessons.total(lesson, means) + value_cost * means["value_loss"] - entropy_cost * means["entropy"]
        explained = measures.explained_variance(jax.lax.stop_gradient(value[:-1]), target, valid(steps))
        return total, {"loss": total, **means, "explained_variance": explained}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        state, metrics = descend(optimiser, loss, state, key, sample.steps)
        return state, Info(metrics)

    return lagged(Agent(init, actor, network.begin, acting(network), update, recurrence.entire), lag)
