"""Temporal difference models: how near a goal one gets within a number of steps, and planning with what can be reached.

Pong, Gu, Dalal and Levine, "Temporal difference models: model-free deep RL for model-based control", ICLR 2018. A goal
g comes with a horizon τ, the steps that are left after this one. Values are vectors, an entry for each of the goal's,
of a network f that tells what will be reached; they are neither discounted nor paid on the way:

    Q(x, a, g, τ) = -|g - f(x, a, g, τ)|
    y = -|g - m(x')|                        where τ = 0 or the episode has terminated
    y = Q(x', a', g, τ - 1; θ⁻)             elsewhere; a' maximises the mean entry, or is μ(x', g, τ - 1; φ⁻)
    L(θ) = E[Σ_i huber(y_i - Q_i)],         J(φ) = E[-mean_i Q_i(x, μ(x, g, τ; φ), g, τ)]

Goals are those of hindsight (`replay.hindsight`), and τ is drawn anew, uniformly from 0, ..., T, for every sample. One
acts with τ = T, T - 1, ..., 0, T, ... With `plan` candidates of goals one pursues that whose end is worth most to the
task, argmax_g r(f(x, μ(x, g, τ), g, τ)): f predicts a state that can be reached, whatever goal is asked for.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, valid
from agents.common.action_noise import Noise, gaussian
from agents.common.critics import apply, ends
from agents.common.objectives import taken
from agents.ddpg import Params, State, uniform_or
from envs import parallel
from envs.base import Box, Space
from networks.base import Network


class Actor(NamedTuple):
    """What acting needs."""

    params: Params
    random: Array  # bool: nothing is learned yet


class Carry(NamedTuple):
    """Memory of the lanes."""

    horizon: Array  # int32 [B], of the last row
    noise: Any


class Reach(NamedTuple):
    """The network f, and how it is asked."""

    critic: Network
    """`seen` and, of continuous actions, the action -> `[..., D]`; of discrete ones `[..., A, D]`."""
    horizon: int
    """T, the longest horizon."""
    structured: bool = True
    """The network tells what is reached; else it tells the values themselves."""

    def seen(self, timestep: TimeStep, goal: Array, tau: Array) -> TimeStep:
        """Rows as networks see them: `observation`, `desired_goal` [..., D] and `horizon` [..., 1] in [0, 1]."""
        part = (tau / max(self.horizon, 1)).astype(jnp.float32)[..., None]
        observation = {"observation": timestep.observation["observation"], "desired_goal": goal, "horizon": part}
        return timestep._replace(observation=observation)

    def values(self, params: Any, seen: TimeStep, action: Array | None = None) -> tuple[Array, Array]:
        """f and Q at rows: `[..., D]` of continuous actions; `[..., A, D]` of all discrete ones."""
        told = apply(self.critic, params, seen, action)
        goal = seen.observation["desired_goal"]
        goal = goal[..., None, :] if told.ndim > goal.ndim else goal
        return told, losses.reach_value(told, jnp.broadcast_to(goal, told.shape)) if self.structured else told


def spaces(observation: dict[str, Space]) -> dict[str, Any]:
    """The space of `Reach.seen`, of the observations of a task with goals."""
    return {**{name: observation[name] for name in ("observation", "desired_goal")}, "horizon": Box((1,), 0.0, 1.0)}


def tdm(
    critic: Network,
    policy: Network | None,
    optimiser: Params,
    goals: Box,
    *,
    horizon: int = 10,
    structured: bool = True,
    countdown: bool = True,
    pay: Literal["end", "always"] = "end",
    target_rate: float | Array = 0.001,
    noise: Noise | None = None,
    epsilon: float | Array = 0.0,
    plan: int = 0,
    worth: Callable[[Array, Array], Array] | None = None,
) -> Agent:
    """The agent, for vectors of goals; it learns from windows of one transition that `replay.hindsight` relabels.

    Args:
      critic: see `Reach`; feed-forward.
      policy: `Reach.seen` -> action in [-1, 1], feed-forward; None for discrete actions.
      optimiser: an `agents.common.optimisers` chain for the policy and one for the critic.
      goals: their space; bounded, if one plans.
      horizon: T.
      structured: see `Reach`.
      countdown: whether the next row has one step less to go; without, these are no temporal difference models.
      pay: see `losses.horizon_target`.
      target_rate: share by which the targets follow.
      noise: of continuous actions when exploring; by default Gaussian with standard deviation 0.1.
      epsilon: probability of a uniformly random action when exploring. Until the first update all are random.
      plan: candidates of goals, drawn uniformly, among which one chooses beside the desired goal itself; 0 for none.
      worth: `(reached[..., D], desired[..., D]) -> [...]`, the task's reward there, for planning.

    Raises:
      ValueError: planning without `worth`.
    """
    if plan and worth is None:
        raise ValueError(f"plan is {plan}; planning needs `worth`, the task's reward")
    noise = noise or gaussian()
    reach = Reach(critic, horizon, structured)

    def best(params: Params, seen: TimeStep) -> tuple[Array, Array, Array]:
        """The action `[T, N]` that is best by the networks, and f and Q of it."""
        if policy is not None:
            action = apply(policy, params.policy, seen)
            return action, *reach.values(params.critic, seen, action)
        told, q = reach.values(params.critic, seen)
        action = jnp.argmax(jnp.mean(q, axis=-1), axis=-1).astype(jnp.int32)
        return action, taken(told, action), taken(q, action)

    def init(key: Key, timestep: TimeStep) -> State:
        k_policy, k_critic = jax.random.split(key)
        seen = reach.seen(timestep, timestep.observation["desired_goal"], jnp.zeros(timestep.reward.shape, jnp.int32))
        params: Any = ()
        learned, asked = Learned((), ()), seen.observation
        if policy is not None:
            params = policy.init(k_policy, seen.observation)
            learned = Learned(params, optimiser.policy.init(params))
            lifted = jax.tree.map(lambda x: x[None], seen)
            asked = {**asked, "action": apply(policy, params, lifted)[0]}
        critics = critic.init(k_critic, asked)
        target = jax.tree.map(jnp.copy, Params(params, critics))
        return State(learned, Learned(critics, optimiser.critic.init(critics)), target, jnp.int32(0))

    def begin(batch: int) -> Carry:
        return Carry(jnp.zeros(batch, jnp.int32), noise.begin(batch))

    def pursued(params: Params, key: Key, timestep: TimeStep, tau: Array) -> Array:
        """The goals `[B, D]` that one acts for: the desired ones, or those whose ends are worth most."""
        desired: Array = timestep.observation["desired_goal"]
        if not plan:
            return desired
        assert worth is not None
        ends_at = (jnp.broadcast_to(jnp.asarray(bound), goals.shape) for bound in (goals.low, goals.high))
        low, high = (bound.reshape((1,) * desired.ndim + goals.shape) for bound in ends_at)
        drawn = jax.random.uniform(key, (plan, *desired.shape), minval=low, maxval=high)
        candidates = jnp.concatenate([desired[None], drawn])
        rows = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (plan + 1, *x.shape)), (timestep, tau))
        _, reached, _ = best(params, reach.seen(rows[0], candidates, rows[1]))
        chosen = jnp.argmax(worth(reached, jnp.broadcast_to(desired[None], reached.shape)), axis=0)
        return candidates[chosen, jnp.arange(chosen.shape[0])]

    def act(actor: Actor, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        tau = jnp.where(timestep.first() | (carry.horizon == 0), horizon, carry.horizon - 1)
        k_plan, k_noise, k_random = jax.random.split(key, 3)
        seen = reach.seen(timestep, pursued(actor.params, k_plan, timestep, tau), tau)
        action = best(actor.params, jax.tree.map(lambda x: x[None], seen))[0][0]
        if not explore:
            return action, Carry(tau, carry.noise), {}
        chance = jnp.where(actor.random, 1.0, epsilon)
        if policy is None:
            number = actions_of(actor.params, seen)
            k_choice, k_which = jax.random.split(k_random)
            other = jax.random.randint(k_which, action.shape, 0, number, action.dtype)
            action = jnp.where(jax.random.uniform(k_choice, action.shape) < chance, other, action)
            return action, Carry(tau, carry.noise), {}
        added, process = noise.draw(k_noise, carry.noise, timestep.first(), action.shape)
        return uniform_or(k_random, chance, jnp.clip(action + added, -1.0, 1.0)), Carry(tau, process), {}

    def actions_of(params: Params, seen: TimeStep) -> int:
        row = jax.tree.map(lambda x: x[None], seen)
        return jax.eval_shape(lambda p: reach.values(p, row)[0], params.critic).shape[-2]

    def loss(params: Any, target: Params, tau: Array, steps: Step, weight: Array) -> tuple[Array, dict[str, Array]]:
        before, after = ends(steps)
        goal = after.observation["desired_goal"]
        _, _, q_t = best(target, reach.seen(after, goal, jnp.maximum(tau - 1, 0) if countdown else tau))
        over = (tau == 0) | (after.discount == 0)
        y = losses.horizon_target(after.observation["achieved_goal"], goal, over, q_t, pay)
        done = None if policy is None else steps.action[:-1]
        _, q = reach.values(params, reach.seen(before, goal, tau), done)
        q = taken(q, steps.action[:-1]) if policy is None else q
        terms = {
            "loss": jnp.sum(losses.huber(y - q), axis=-1) * weight[None],
            "q_mean": jnp.mean(q, axis=-1),
            "td_error": jnp.mean(jnp.abs(y - q), axis=-1),
        }
        means = {name: parallel.masked_mean(term, valid(steps)) for name, term in terms.items()}
        return means["loss"], means

    def policy_loss(params: Any, critics: Any, tau: Array, steps: Step) -> tuple[Array, dict[str, Array]]:
        goal = steps.timestep.observation["desired_goal"][1:]
        _, _, q = best(Params(params, critics), reach.seen(ends(steps)[0], goal, tau))
        value = -parallel.masked_mean(jnp.mean(q, axis=-1), valid(steps))
        return value, {"policy_loss": value}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps
        shape = steps.timestep.reward[1:].shape
        tau = jax.random.randint(parallel.own_key(key), shape, 0, horizon + 1)
        weight = jnp.broadcast_to(jnp.asarray(sample.weight, jnp.float32), shape[1:])
        critics, metrics = descend(optimiser.critic, loss, state.critic, state.target, tau, steps, weight)
        learned = state.policy
        if policy is not None:
            learned, more = descend(optimiser.policy, policy_loss, learned, critics.params, tau, steps, part="policy_")
            metrics |= more
        target = optax.incremental_update(Params(learned.params, critics.params), state.target, target_rate)
        return State(learned, critics, target, state.updates + 1), Info(metrics)

    def actor(state: State) -> Actor:
        return Actor(state.params, state.updates == 0)

    return Agent(init, actor, begin, act, update)
