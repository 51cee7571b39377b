"""QRL: the shortest way from any state to any other as a quasimetric, and a policy that descends it in a latent model.

Wang, Torralba, Isola and Zhang, "Optimal goal-reaching reinforcement learning via quasimetric learning", ICML 2023.
With an embedding φ, a quasimetric d(x, g) = d_iqe(φ(x), φ(g)), a multiplier λ, a model φ̂' = φ(x) + T(φ(x), a) and a
policy,

    L(φ)   = E[s softplus((L - d(x, g)) / s)] + λ (E[max(d(x, x') - 1, 0)²] - ε)      g any state; λ ascends
    L(T)   = E[½ d_iqe(φ(x'), φ̂') + ½ d_iqe(φ̂', φ(x'))]                                 φ learns from it too
    J(π)   = E[d_iqe(φ(x) + T(φ(x), a_π), φ(g)) / mean d - c ln π(a|x, g)]             a_π = π's mode

States are pushed apart as far as steps that cost 1 each allow, so that d becomes the length of the shortest way,
although none of the episodes need go it. As in OGBench (Park et al., ICLR 2025).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import Agent, Array, Key, Step, TimeStep, Tree
from agents.common.critics import apply, ends, with_action
from agents.common.reaching import State, ascent, played, posed, together
from replay import goals as drawn


class Nets(NamedTuple):
    """Something for each of the networks."""

    embedding: Any
    dynamics: Any
    policy: Any


class Params(NamedTuple):
    """What is learned by gradient."""

    nets: Nets
    mix: Array  # logit of w, see `losses.interval_quasimetric`
    log_multiplier: Array  # ln λ


def goals(policy: drawn.Shares) -> drawn.Rows:
    """Which rows the goals are, for `replay.with_goals`.

    Args:
      policy: of the policy's, which are any later row alike.
    """

    def rows(key: Key, data: Any, start: Array) -> Array:
        k_first, k_goal = jax.random.split(key)
        return jnp.stack([drawn.any_rows(data, k_first, start.shape[0]), drawn.mixed(k_goal, data, start, policy)])

    return rows


def qrl(
    networks: Nets,
    optimiser: optax.GradientTransformation,
    *,
    cloning: float | Array = 3e-3,
    margin: float | Array = 0.05,
    limit: float | Array = 500.0,
    softness: float | Array = 100.0,
    size: int = 8,
) -> Agent:
    """The QRL agent, of windows `[4, N]` by `replay.with_goals`; goals are states, whole observations.

    The rows are a transition, any state, and the goal of the policy.

    Args:
      networks: `embedding` of an observation -> `[D]`; `dynamics` of `observation` (an embedding) and `action` ->
        `[D]`; `policy` of `observation` and `desired_goal` -> distribution of actions.
      optimiser: an `agents.common.optimisers` chain for everything.
      cloning: c.
      margin: ε.
      limit: L.
      softness: s.
      size: intervals in each component of the quasimetric.
    """

    def embedded(params: Params, observation: Array) -> Array:
        return networks.embedding.apply(params.nets.embedding, None, (), observation, _first(observation))[0]

    def distance(params: Params, x: Array, y: Array) -> Array:
        return losses.interval_quasimetric(x, y, jax.nn.sigmoid(params.mix), size)

    def predicted(params: Params, code: Array, action: Array) -> Array:
        seen = with_action(code, action)
        return code + networks.dynamics.apply(params.nets.dynamics, None, (), seen, _first(code))[0]

    def init(key: Key, timestep: TimeStep) -> State:
        k_embedding, k_dynamics, k_policy = jax.random.split(key, 3)
        state = timestep.observation["observation"]
        embedding = networks.embedding.init(k_embedding, state)
        policy = networks.policy.init(k_policy, posed(timestep).observation)
        code = networks.embedding.apply(embedding, None, (), state[None], _first(state[None]))[0]
        row = jax.tree.map(lambda x: x[None], posed(timestep))
        action = apply(networks.policy, policy, row).mode()
        dynamics = networks.dynamics.init(k_dynamics, with_action(code[0], action[0]))
        params = Params(Nets(embedding, dynamics, policy), jnp.float32(0), jnp.float32(0))
        return State(params, optimiser.init(params), jnp.int32(0))

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        return played(networks.policy, actor, key, posed(timestep), explore), carry, {}

    def distance_loss(params: Params, steps: Step, other: TimeStep) -> tuple[Array, dict[str, Array]]:
        before, after = (embedded(params, timestep.observation["observation"]) for timestep in ends(steps))
        far = distance(params, before, embedded(params, other.observation["achieved_goal"]))
        near = distance(params, before, after)
        excess = jnp.mean(losses.overlong(near))
        multiplier = jax.lax.stop_gradient(jnp.exp(params.log_multiplier))
        value = jnp.mean(losses.spread(far, limit, softness)) + multiplier * excess
        value = value + losses.multiplier_loss(params.log_multiplier, excess - margin)
        guess = predicted(params, before, steps.action[:-1])
        model = jnp.mean(distance(params, after, guess) + distance(params, guess, after)) / 2
        lengths = {"goal_distance": jnp.mean(far), "step_length": jnp.mean(near)}
        told = {**lengths, "excess": excess, "multiplier": multiplier}
        return value + model, {"value_loss": value, "model_loss": model, **told}

    def policy_loss(params: Params, steps: Step, goal: TimeStep) -> tuple[Array, dict[str, Array]]:
        before, _ = ends(steps)
        fixed = jax.lax.stop_gradient(params)
        policy = apply(networks.policy, params.nets.policy, posed(before, goal))
        code, aim = (embedded(fixed, x) for x in (before.observation["observation"], goal.observation["achieved_goal"]))
        q = -distance(fixed, predicted(fixed, code, jnp.clip(policy.mode(), -1.0, 1.0)), aim)
        return ascent(q, policy.log_prob(steps.action[:-1]), cloning)

    return Agent(
        init,
        lambda state: state.params.nets.policy,
        lambda batch: (),
        act,
        together(optimiser, distance_loss, policy_loss),
    )


def _first(rows: Array) -> Array:
    """No row opens an episode, for networks without memory: booleans `[T, N]`."""
    return jnp.zeros(rows.shape[:2], bool)
