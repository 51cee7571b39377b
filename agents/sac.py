"""Soft actor-critic, for continuous and for discrete actions.

Haarnoja et al., "Soft actor-critic algorithms and applications", arXiv:1812.05905; Christodoulou, "Soft actor-critic
for discrete action settings", arXiv:1910.07207. With critics Q_i, a policy π and the temperature α,

    y_t = r_t + γ_t (min_i Q_i(x_t, a; θ⁻) - α ln π(a|x_t))                     a ~ π(·|x_t)
    L(θ) = Σ_i E[½ (y_t - Q_i(x_{t-1}, a_{t-1}; θ))²]                           d times, then once
    J(φ) = E[α ln π(a|x_{t-1}; φ) - min_i Q_i(x_{t-1}, a; θ)]                   a ~ π(·|x_{t-1}; φ), reparameterised
    J(α) = E[α (-ln π(a|x_{t-1}) - H̄)]                                          by the gradient in ln α

and θ⁻ ← τ θ + (1 - τ) θ⁻. For discrete actions the expectations over a are sums. Continuous actions are in [-1, 1],
as is the density whose entropy H̄ is: `wrappers.unit_actions` maps them to a task's.

With a `penalty` of its critics (`agents.common.penalties`) and no entropy in y it is CQL, with many critics and another
penalty SAC-N and EDAC; these learn from data alone.
"""

from collections.abc import Callable
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
from agents.ddpg import uniform_or
from envs import parallel
from networks.base import Network


class Params(NamedTuple):
    """Something for each of the three."""

    policy: Any
    critic: Any
    temperature: Any


class Constraint(NamedTuple):
    """What a penalty is kept at, by a multiplier that is learned: its weight times its mean is to be `most`."""

    most: float | Array
    optimiser: optax.GradientTransformation


class State(NamedTuple):
    """Everything that SAC learns and counts."""

    policy: Learned
    critic: Learned
    temperature: Learned  # ln α
    target: Any  # the critics'
    updates: Array  # int32
    multiplier: Any = ()  # ln of that of the penalty, if it is learned: a `Learned`

    @property
    def params(self) -> Params:
        """What is learned by gradient."""
        return Params(self.policy.params, self.critic.params, self.temperature.params)


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    random: Array  # bool: nothing is learned yet


def sac(
    policy: Network,
    critic: Network,
    optimiser: Params,
    *,
    discount: float | Array = 0.99,
    temperature: float | Array = 1.0,
    target_entropy: float | Array | None = None,
    target_rate: float | Array = 0.005,
    delay: int = 1,
    discrete: bool = False,
    penalty: Callable[[Any, Callable[[TimeStep], Any], Key, Step], Array] | None = None,
    penalty_weight: float | Array = 1.0,
    constraint: Constraint | None = None,
    soft_targets: bool = True,
    cloned: int = 0,
) -> Agent:
    """The SAC agent.

    Args:
      policy: observation -> distribution: a `TanhGaussian` in [-1, 1] or a `Categorical`; feed-forward.
      critic: `with_action` of an observation -> values `[E]`; for discrete actions, observation -> `[E, A]`.
      optimiser: `agents.common.optimisers` chains for the policy, the critics and the temperature.
      discount: γ.
      temperature: α; the first one, if it is learned.
      target_entropy: H̄, for which α is learned; None for a fixed α.
      target_rate: τ; 1 is no target network.
      delay: d, critic steps per update of the policy, the temperature and the targets. Each takes its own d-th of the
        sample.
      discrete: whether actions are.
      penalty: `(critics' params, policy, key, steps[T+1, N]) -> [E', T, N]`, added to the critics' loss; `policy` gives
        the distributions at rows.
      penalty_weight: factor of the penalty.
      constraint: for which a further factor is learned.
      soft_targets: whether y has the entropy in it.
      cloned: updates at first in which the policy imitates the data instead, with its entropy bonus.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        k_policy, k_critic, k_action = jax.random.split(key, 3)
        params = policy.init(k_policy, timestep.observation)
        distribution, _ = recurrence.step(policy, params, None, (), timestep)
        seen = timestep.observation if discrete else with_action(timestep.observation, distribution.sample(k_action))
        critics = critic.init(k_critic, seen)
        log_temperature = jnp.log(jnp.asarray(temperature, jnp.float32))
        return State(
            Learned(params, optimiser.policy.init(params)),
            Learned(critics, optimiser.critic.init(critics)),
            Learned(log_temperature, optimiser.temperature.init(log_temperature)),
            jax.tree.map(jnp.copy, critics),  # its own buffers, so that the state can be donated
            jnp.int32(0),
            () if constraint is None else Learned(jnp.float32(0), constraint.optimiser.init(jnp.float32(0))),
        )

    def actor(state: State) -> Actor:
        return Actor(state.policy.params, state.updates == 0)

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        distribution, _ = recurrence.step(policy, actor.params, None, (), timestep)
        if not explore:
            return distribution.mode(), carry, {}
        k_sample, k_random = jax.random.split(key)
        if discrete:
            flat = jnp.where(actor.random, jnp.zeros_like(distribution.logits), distribution.logits)
            return distribution._replace(logits=flat).sample(k_sample), carry, {}
        return uniform_or(k_random, actor.random.astype(jnp.float32), distribution.sample(k_sample)), carry, {}

    def soft(params: Any, critics: Any, alpha: Array, key: Key, timestep: TimeStep) -> tuple[Array, Array]:
        """The soft value of rows `[T, N]`, differentiable in the policy, and the entropy there; or samples of both."""
        distribution = apply(policy, params, timestep)
        if discrete:
            q = apply(critic, critics, timestep)
            return losses.expected_soft_value(q, distribution.logits, alpha), distribution.entropy()
        action, log_prob = distribution.sample_and_log_prob(parallel.own_key(key))
        return losses.soft_value(apply(critic, critics, timestep, action), log_prob, alpha), -log_prob

    def policy_loss(
        params: Any, critics: Any, alpha: Array, key: Key, steps: Step, count: Array
    ) -> tuple[Array, dict[str, Array]]:
        value, entropy = soft(params, critics, alpha, key, ends(steps)[0])
        if cloned:
            imitated = apply(policy, params, ends(steps)[0]).log_prob(steps.action[:-1]) + alpha * entropy
            value = jnp.where(count < cloned, imitated, value)
        means = {"policy_loss": -value, "entropy": entropy}
        means = {name: parallel.masked_mean(term, valid(steps)) for name, term in means.items()}
        return means["policy_loss"], means

    def multiplier_loss(log_multiplier: Array, excess: Array) -> tuple[Array, dict[str, Array]]:
        return losses.multiplier_loss(log_multiplier, excess), {}

    def temperature_loss(log_temperature: Array, entropy: Array, aim: Array) -> tuple[Array, dict[str, Array]]:
        return losses.temperature_loss(log_temperature, entropy, aim), {}

    def predict(params: Any, steps: Step) -> Array:
        before, a_tm1 = ends(steps)[0], steps.action[:-1]
        if discrete:
            return jax.vmap(taken, (0, None))(apply(critic, params, before), a_tm1)
        return apply(critic, params, before, a_tm1)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_critic, k_policy = jax.random.split(key)
        alpha = jnp.exp(state.temperature.params)

        def targets(key: Key, steps: Step) -> Array:
            _, after = ends(steps)
            v_t, _ = soft(state.policy.params, state.target, alpha if soft_targets else jnp.float32(0), key, after)
            return jax.lax.stop_gradient(after.reward + discount * after.discount * v_t)

        def penalised(params: Any, key: Key, steps: Step) -> Array:
            assert penalty is not None
            return penalty(params, lambda timestep: apply(policy, state.policy.params, timestep), key, steps)

        extra = None if penalty is None else penalised
        weight, multiplier = penalty_weight, state.multiplier
        if constraint is not None:
            weight = weight * jnp.minimum(jnp.exp(multiplier.params), 1e6)
        critics, metrics, priority, last = fit(
            optimiser.critic, predict, targets, state.critic, k_critic, sample, delay, extra, weight
        )
        if constraint is not None:
            excess = parallel.mean(metrics["penalty"]) * penalty_weight - constraint.most
            multiplier, _ = descend(constraint.optimiser, multiplier_loss, multiplier, excess)
            metrics["multiplier"] = jnp.asarray(weight)
        past = (critics.params, alpha, k_policy, last, state.updates)
        actor, more = descend(optimiser.policy, policy_loss, state.policy, *past, part="policy_")
        learned = state.temperature
        if target_entropy is not None:
            learned, _ = descend(optimiser.temperature, temperature_loss, learned, more["entropy"], target_entropy)
        target = optax.incremental_update(critics.params, state.target, target_rate)
        metrics |= {**more, "temperature": alpha}
        state = State(actor, critics, learned, target, state.updates + 1, multiplier)
        return state, Info(metrics, priority=priority)

    return Agent(init, actor, lambda batch: (), act, update)
