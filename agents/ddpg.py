"""Deep deterministic policy gradient, and by its arguments twin delayed DDPG (TD3).

Lillicrap et al., "Continuous control with deep reinforcement learning", ICLR 2016; Fujimoto, van Hoof and Meger,
"Addressing function approximation error in actor-critic methods", ICML 2018. With critics Q_i, a policy μ in [-1, 1]:

    ã_t = clip(μ(x_t; φ⁻) + clip(ε, ±c), ±1)      ε ~ N(0, σ̃²)
    y_t = r_t + γ_t min_i Q_i(x_t, ã_t; θ⁻)
    L(θ) = Σ_i E[½ (y_t - Q_i(x_{t-1}, a_{t-1}; θ))²]            d times, then once
    J(φ) = E[-Q_1(x_{t-1}, μ(x_{t-1}; φ); θ) + c_a ‖μ‖² / D]     and (θ⁻, φ⁻) ← τ (θ, φ) + (1 - τ) (θ⁻, φ⁻)

With `demonstrations` it is DDPGfD (Vecerik et al., arXiv:1707.08817): the critics learn from windows of n transitions,
by J_1 of the first and λ_n J_n of all folded into one, and a window's priority is δ² + λ |∇_a Q_1(x_{t-1}, a_{t-1})|².

DDPG has one critic, σ̃ = 0 and d = 1; TD3 two, σ̃ = 0.2, c = 0.5 and d = 2. Actions are in [-1, 1]:
`wrappers.unit_actions` maps them to a task's. With `Cloning` it learns from data alone, as TD3+BC and ReBRAC:

    y_t = r_t + γ_t (min_i Q_i(x_t, ã_t; θ⁻) - β_Q ‖ã_t - a_t‖²)
    J(φ) = E[-s Q(x_{t-1}, μ(x_{t-1}; φ)) / mean |Q| + β_π ‖μ(x_{t-1}; φ) - a_{t-1}‖²]
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, over_window, select, valid
from agents.common import action_noise as noises
from agents.common import recurrence
from agents.common.action_noise import Noise
from agents.common.critics import apply, ends, fit, with_action
from agents.common.demonstrations import Demonstrations, joint_weight, one_and_n
from envs import parallel
from envs.extremes import least
from networks.base import Network


class Params(NamedTuple):
    """Something for each of the two."""

    policy: Any
    critic: Any


class Cloning(NamedTuple):
    """How closely the policy keeps to the actions of the data."""

    policy: float | Array
    """β_π; TD3+BC's is 1 / D (Fujimoto and Gu, NeurIPS 2021)."""
    scale: float | Array = 1.0
    """s: TD3+BC's α, 2.5."""
    critic: float | Array = 0.0
    """β_Q, of ReBRAC (Tarasov et al., NeurIPS 2023)."""
    least: bool = False
    """The policy ascends the least of the critics, as ReBRAC's, and not the first."""


class State(NamedTuple):
    """Everything that DDPG learns and counts."""

    policy: Learned
    critic: Learned
    target: Params
    updates: Array  # int32

    @property
    def params(self) -> Params:
        """What is learned by gradient."""
        return Params(self.policy.params, self.critic.params)


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    epsilon: Array


def uniform_or(key: Key, epsilon: Array, action: Array) -> Array:
    """`action[B, D]`, or in lanes chosen with probability ε one drawn uniformly from [-1, 1]."""
    k_choice, k_random = jax.random.split(key)
    random = jax.random.uniform(k_random, action.shape, minval=-1.0, maxval=1.0)
    return select(jax.random.uniform(k_choice, action.shape[:1]) < epsilon, random, action)


def ddpg(
    policy: Network,
    critic: Network,
    optimiser: Params,
    *,
    discount: float | Array = 0.99,
    noise: Noise | None = None,
    epsilon: float | Array = 0.0,
    target_rate: float | Array = 0.005,
    target_period: int | Array = 1,
    smoothing: float | Array = 0.0,
    smoothing_limit: float | Array = 0.5,
    delay: int = 1,
    target_range: tuple[float | Array, float | Array] = (-jnp.inf, jnp.inf),
    action_cost: float | Array = 0.0,
    slope_limit: float | Array | None = None,
    demonstrations: Demonstrations | None = None,
    cloning: Cloning | None = None,
) -> Agent:
    """The DDPG and TD3 agent, acting in [-1, 1].

    Args:
      policy: observation -> action `[D]` in [-1, 1]; feed-forward.
      critic: `with_action` of an observation -> values `[E]`: `networks.ensemble` of one or two; feed-forward.
      optimiser: an `agents.common.optimisers` chain for the policy and one for the critics.
      discount: γ.
      noise: of the actions when exploring; by default Gaussian with standard deviation 0.1.
      epsilon: probability of a uniformly random action when exploring. Until the first update all are random.
      target_rate: τ; 1 is no target network.
      target_period: updates between moves of the targets.
      smoothing: σ̃.
      smoothing_limit: c.
      delay: d, critic steps per update of policy and targets. Each takes its own d-th of the sample.
      target_range: what y is clipped to.
      action_cost: c_a.
      slope_limit: what each entry of ∂Q_1/∂a is clipped to on its way to the policy, as in Ape-X DPG; None for none.
      demonstrations: how they enter, which makes it DDPGfD; for `replay.with_demonstrations`.
      cloning: of the data's actions; None to learn without.
    """
    noise = noise or noises.gaussian()

    def init(key: Key, timestep: TimeStep) -> State:
        k_policy, k_critic = jax.random.split(key)
        params = policy.init(k_policy, timestep.observation)
        action, _ = recurrence.step(policy, params, None, (), timestep)
        critics = critic.init(k_critic, with_action(timestep.observation, action))
        target = jax.tree.map(jnp.copy, Params(params, critics))  # own buffers, so that the state can be donated
        return State(
            Learned(params, optimiser.policy.init(params)),
            Learned(critics, optimiser.critic.init(critics)),
            target,
            jnp.int32(0),
        )

    def epsilon_now(state: State) -> Array:
        return jnp.where(state.updates == 0, 1.0, epsilon)

    def actor(state: State) -> Actor:
        return Actor(state.policy.params, epsilon_now(state))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        action, _ = recurrence.step(policy, actor.params, None, (), timestep)
        if not explore:
            return action, carry, {}
        k_noise, k_random = jax.random.split(key)
        added, carry = noise.draw(k_noise, carry, timestep.first(), action.shape)
        return uniform_or(k_random, actor.epsilon, jnp.clip(action + added, -1.0, 1.0)), carry, {}

    def policy_loss(params: Any, critics: Any, steps: Step) -> tuple[Array, dict[str, Array]]:
        before, _ = ends(steps)
        action = apply(policy, params, before)
        cost = action_cost * jnp.mean(jnp.square(action), axis=-1)
        if slope_limit is not None:
            total = lambda a: (jnp.sum((q := apply(critic, critics, before, a))[0]), q)  # noqa: E731
            slope, q = jax.grad(total, has_aux=True)(action)
            q = losses.limited_ascent(q[0], slope, action, slope_limit)[None]
        else:
            q = apply(critic, critics, before, action)
        if cloning is None:
            value = parallel.masked_mean(cost - q[0], valid(steps))
            return value, {"policy_loss": value}
        q = least(q, 0) if cloning.least else q[0]
        size = parallel.mean(parallel.masked_mean(jnp.abs(q), valid(steps)))
        apart = jnp.sum(jnp.square(action - steps.action[:-1]), axis=-1)
        each = cost - cloning.scale * losses.value_scale(q, size) + cloning.policy * apart
        value = parallel.masked_mean(each, valid(steps))
        return value, {"policy_loss": value, "cloning_error": parallel.masked_mean(apart, valid(steps))}

    def predict(params: Any, steps: Step) -> Array:
        return apply(critic, params, ends(steps)[0], steps.action[:-1])

    def guided(params: Any, priority: Array, steps: Step, weight: float | Array) -> tuple[Array, Step]:
        """DDPGfD's priorities `[N]`, and the single transitions of the sample `[2, 2N]`, of which |δ| is given."""
        windows = priority.shape[0] // 2
        single = jax.tree.map(lambda x: x[:, :windows], steps)
        value = lambda action: jnp.sum(apply(critic, params, ends(single)[0], action)[0])  # noqa: E731
        slope = jnp.sum(jnp.square(jax.grad(value)(single.action[:-1])), axis=-1)
        return jnp.square(priority[:windows]) + weight * over_window(slope, single), single

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        def targets(key: Key, steps: Step) -> Array:
            _, after = ends(steps)
            a_t = apply(policy, state.target.policy, after)
            a_t = losses.smoothed_action(parallel.own_key(key), a_t, smoothing, smoothing_limit)
            q_t = apply(critic, state.target.critic, after, a_t)
            if cloning is not None:
                # Where an episode was cut there is no next action of the data to keep to.
                apart = jnp.sum(jnp.square(a_t - steps.action[1:]), axis=-1) * ~after.last()
                q_t = q_t - cloning.critic * apart[None]
            return losses.pessimistic_target(after.reward, discount * after.discount, q_t, *target_range)

        if demonstrations is not None:
            weight = joint_weight(sample, demonstrations)
            sample = sample._replace(steps=one_and_n(sample.steps, demonstrations, discount), weight=weight)
        critics, metrics, priority, last = fit(optimiser.critic, predict, targets, state.critic, key, sample, delay)
        if demonstrations is not None:
            priority, last = guided(state.critic.params, priority, last, demonstrations.gradient_weight)
        actor, more = descend(optimiser.policy, policy_loss, state.policy, critics.params, last, part="policy_")
        count = state.updates + 1
        rate = jnp.where(count % target_period == 0, target_rate, 0.0)
        target = optax.incremental_update(Params(actor.params, critics.params), state.target, rate)
        metrics |= {**more, "epsilon": epsilon_now(state)}
        return State(actor, critics, target, count), Info(metrics, priority=priority)

    return Agent(init, actor, noise.begin, act, update)
