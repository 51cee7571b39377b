"""Contrastive RL: a critic that tells the states that follow from those that do not, and a policy that climbs it.

Eysenbach, Zhang, Levine and Salakhutdinov, "Contrastive learning as goal-conditioned reinforcement learning", NeurIPS
2022. With embeddings φ_e of states and actions and ψ_e of goals, e = 1, 2, f_e(x, a, g) = φ_e(x, a) · ψ_e(g) / √D,

    L(φ, ψ) = Σ_e E_i[mean_j BCE(σ(f_e(x_i, a_i, g_j)), 1{i = j})]        g_i = x_{t+Δ}, Δ ~ Geometric(1 - γ)
    J(π)    = -E[min_e f_e(x, a_π, g) / mean |min_e f_e| + c ln π(a|x, g)]     a_π = π's mode, g = any later state

At its minimum f is, up to a constant, ln of how likelier g is to follow from (x, a) than at all, which is γ-discounted
occupancy and hence Q of the behaviour. As in OGBench (Park et al., ICLR 2025), with the policy loss of DDPG+BC.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import Agent, Array, Key, Step, TimeStep, Tree
from agents.common.critics import apply, ends, with_action
from agents.common.reaching import State, ascent, played, posed, together
from envs.extremes import least
from replay import goals as drawn


class Nets(NamedTuple):
    """Something for each of the networks."""

    state: Any
    goal: Any
    policy: Any


def goals(policy: drawn.Shares, discount: float | Array = 0.99) -> drawn.Rows:
    """Which rows the goals are, for `replay.with_goals`.

    Args:
      policy: of the policy's, which are any later row alike.
      discount: γ.
    """

    def rows(key: Key, data: Any, start: Array) -> Array:
        k_first, k_goal = jax.random.split(key)
        return jnp.stack([drawn.ahead(k_first, data, start, discount), drawn.mixed(k_goal, data, start, policy)])

    return rows


def crl(networks: Nets, optimiser: optax.GradientTransformation, *, cloning: float | Array = 0.1) -> Agent:
    """The contrastive agent, of windows `[4, N]` by `replay.with_goals`.

    The rows are a transition, a row that followed for the critic, and the goal of the policy.

    Args:
      networks: `state` is φ, of `observation` and `action` -> `[E, D]`; `goal` is ψ, of `desired_goal` -> `[E, D]`;
        `policy` of `observation` and `desired_goal` -> distribution of actions.
      optimiser: an `agents.common.optimisers` chain for all of them.
      cloning: c.
    """

    def embedded(params: Nets, timestep: TimeStep, action: Array) -> Array:
        """φ, `[E, T, N, D]`."""
        seen = with_action({"observation": timestep.observation["observation"]}, action)
        return networks.state.apply(params.state, None, (), seen, timestep.first())[0]

    def aimed(params: Nets, goal: TimeStep) -> Array:
        """ψ, `[E, T, N, D]`."""
        seen = {"desired_goal": goal.observation["achieved_goal"]}
        return networks.goal.apply(params.goal, None, (), seen, goal.first())[0]

    def init(key: Key, timestep: TimeStep) -> State:
        k_state, k_goal, k_policy = jax.random.split(key, 3)
        seen = posed(timestep).observation
        policy = networks.policy.init(k_policy, seen)
        row = jax.tree.map(lambda x: x[None], posed(timestep))
        action = apply(networks.policy, policy, row).mode()[0]
        state = networks.state.init(k_state, with_action({"observation": seen["observation"]}, action))
        params = Nets(state, networks.goal.init(k_goal, {"desired_goal": seen["desired_goal"]}), policy)
        return State(params, optimiser.init(params), jnp.int32(0))

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        return played(networks.policy, actor, key, posed(timestep), explore), carry, {}

    def critic_loss(params: Nets, steps: Step, goal: TimeStep) -> tuple[Array, dict[str, Array]]:
        before, _ = ends(steps)
        phi, psi = embedded(params, before, steps.action[:-1]), aimed(params, goal)
        logits = losses.similarities(phi, psi)  # [E, 1, N, N]
        value = jnp.sum(jnp.mean(losses.contrastive(logits), axis=(1, 2)))
        right = jnp.argmax(jnp.mean(logits, axis=0)[0], axis=-1) == jnp.arange(logits.shape[-1])
        return value, {"critic_loss": value, "critic_accuracy": jnp.mean(right.astype(jnp.float32))}

    def policy_loss(params: Nets, steps: Step, goal: TimeStep) -> tuple[Array, dict[str, Array]]:
        before, _ = ends(steps)
        fixed = jax.lax.stop_gradient(params)
        policy = apply(networks.policy, params.policy, posed(before, goal))
        phi = embedded(fixed, before, jnp.clip(policy.mode(), -1.0, 1.0))
        q = least(jnp.mean(phi * aimed(fixed, goal), axis=-1) * jnp.sqrt(float(phi.shape[-1])), 0)
        return ascent(q, policy.log_prob(steps.action[:-1]), cloning)

    return Agent(
        init, lambda state: state.params.policy, lambda batch: (), act, together(optimiser, critic_loss, policy_loss)
    )
