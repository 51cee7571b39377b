"""Implicit Q-learning and advantage-weighted actor-critic: policies that imitate the better part of what was done.

Kostrikov, Nair and Levine, "Offline reinforcement learning with implicit Q-learning", ICLR 2022; Nair, Gupta, Dalal and
Levine, "AWAC: accelerating online reinforcement learning with offline datasets", arXiv:2006.09359. With critics Q_i,
a value V and a policy π,

    L(ψ) = E[|τ - 1{u < 0}| u²]              u = min_i Q_i(x_{t-1}, a_{t-1}; θ⁻) - V(x_{t-1})
    J(φ) = -E[min(exp(β A), w̄) ln π(a_{t-1}|x_{t-1})]                                    A = u, with the new V
    L(θ) = Σ_i E[½ (r_t + γ_t V(x_t) - Q_i(x_{t-1}, a_{t-1}; θ))²]                            with the new V

and θ⁻ ← τ_Q θ + (1 - τ_Q) θ⁻, in this order. AWAC learns no V: its targets are of actions of the policy,
r_t + γ_t min_i Q_i(x_t, a; θ⁻) with a ~ π, and A = min_i Q_i(x_{t-1}, a_{t-1}) - min_i Q_i(x_{t-1}, a). Actions that
are not in the data are never valued by IQL.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, valid
from agents.common import recurrence
from agents.common.critics import apply, ends, fit, with_action
from agents.common.objectives import taken
from envs import parallel
from networks.base import Network


class Params(NamedTuple):
    """Something for each of the three; AWAC has nothing for the value."""

    policy: Any
    critic: Any
    value: Any = ()


class State(NamedTuple):
    """Everything that is learned and counted."""

    policy: Learned
    critic: Learned
    value: Any  # Learned, or ()
    target: Any  # the critics'
    updates: Array  # int32

    @property
    def params(self) -> Params:
        """What is learned by gradient."""
        return Params(self.policy.params, self.critic.params, self.value.params if self.value else ())


def iql(
    policy: Network,
    critic: Network,
    value: Network | None,
    optimiser: Params,
    *,
    discount: float | Array = 0.99,
    level: float | Array = 0.7,
    inverse_temperature: float | Array = 3.0,
    weight_limit: float | Array = 100.0,
    target_rate: float | Array = 0.005,
    discrete: bool = False,
) -> Agent:
    """The IQL agent, and without a value network AWAC; both learn from data alone as well as from a replay.

    Args:
      policy: observation -> distribution of actions in [-1, 1], or a `Categorical`; feed-forward.
      critic: `with_action` of an observation -> values `[E]`; for discrete actions, observation -> `[E, A]`.
      value: observation -> value; None for AWAC.
      optimiser: `agents.common.optimisers` chains; for AWAC none for the value.
      discount: γ.
      level: τ, the expectile that V is.
      inverse_temperature: β.
      weight_limit: w̄.
      target_rate: τ_Q; 1 is no target network.
      discrete: whether actions are.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        k_policy, k_critic, k_action, k_value = jax.random.split(key, 4)
        params = policy.init(k_policy, timestep.observation)
        distribution, _ = recurrence.step(policy, params, None, (), timestep)
        seen = timestep.observation if discrete else with_action(timestep.observation, distribution.sample(k_action))
        critics = critic.init(k_critic, seen)
        baseline: Any = ()
        if value is not None:
            first = value.init(k_value, timestep.observation)
            baseline = Learned(first, optimiser.value.init(first))
        return State(
            Learned(params, optimiser.policy.init(params)),
            Learned(critics, optimiser.critic.init(critics)),
            baseline,
            jax.tree.map(jnp.copy, critics),  # its own buffers, so that the state can be donated
            jnp.int32(0),
        )

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        distribution, _ = recurrence.step(policy, actor, None, (), timestep)
        action = distribution.sample(key) if explore else distribution.mode()
        return action if discrete else jnp.clip(action, -1.0, 1.0), carry, {}

    def worth(critics: Any, timestep: TimeStep, action: Array) -> Array:
        """Values of actions `[E, T, N]`."""
        if discrete:
            return jax.vmap(taken, (0, None))(apply(critic, critics, timestep), action)
        return apply(critic, critics, timestep, action)

    def drawn(policy_params: Any, critics: Any, key: Key, timestep: TimeStep) -> Array:
        """The least value of an action of the policy, `[T, N]`; its expectation, for discrete actions."""
        distribution = apply(policy, policy_params, timestep)
        if discrete:
            return jnp.sum(jax.nn.softmax(distribution.logits) * jnp.min(apply(critic, critics, timestep), 0), -1)
        return jnp.min(worth(critics, timestep, distribution.sample(parallel.own_key(key))), axis=0)

    def value_loss(params: Any, q: Array, steps: Step) -> tuple[Array, dict[str, Array]]:
        assert value is not None
        v = apply(value, params, ends(steps)[0])
        loss = parallel.masked_mean(losses.expectile(q - v, level), valid(steps))
        return loss, {"value_loss": loss}

    def policy_loss(params: Any, advantage: Array, steps: Step) -> tuple[Array, dict[str, Array]]:
        """Imitation of the data's actions, weighted by what they are worth."""
        distribution = apply(policy, params, ends(steps)[0])
        weight = losses.advantage_weight(advantage, inverse_temperature, weight_limit)
        each = {
            "policy_loss": -weight * distribution.log_prob(steps.action[:-1]),
            "entropy": distribution.entropy(),
            "weight": weight,
        }
        means = {name: parallel.masked_mean(x, valid(steps)) for name, x in each.items()}
        return means["policy_loss"], means

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps
        before, _ = ends(steps)
        metrics: dict[str, Array] = {}
        k_critic, k_drawn = jax.random.split(key)
        baseline, judges = state.value, state.critic.params
        if value is not None:
            q = jnp.min(worth(state.target, before, steps.action[:-1]), axis=0)
            baseline, metrics = descend(optimiser.value, value_loss, baseline, q, steps, part="value_")
            advantage = q - apply(value, baseline.params, before)
        else:
            q = jnp.min(worth(judges, before, steps.action[:-1]), axis=0)
            advantage = q - drawn(state.policy.params, judges, k_drawn, before)
        actor, more = descend(optimiser.policy, policy_loss, state.policy, advantage, steps, part="policy_")

        def targets(key: Key, steps: Step) -> Array:
            _, after = ends(steps)
            if value is not None:
                v_t = apply(value, baseline.params, after)
            else:
                v_t = drawn(actor.params, state.target, key, after)
            return jax.lax.stop_gradient(after.reward + discount * after.discount * v_t)

        predict = lambda params, steps: worth(params, ends(steps)[0], steps.action[:-1])  # noqa: E731
        critics, told, priority, _ = fit(optimiser.critic, predict, targets, state.critic, k_critic, sample)
        target = optax.incremental_update(critics.params, state.target, target_rate)
        metrics |= {**told, **more}
        return State(actor, critics, baseline, target, state.updates + 1), Info(metrics, priority=priority)

    return Agent(init, lambda state: state.policy.params, lambda batch: (), act, update)
