"""Scheduled auxiliary control (SAC-X): several rewards, a policy for each, and a scheduler of which policy acts.

Riedmiller et al., "Learning by playing: solving sparse reward tasks from scratch", ICML 2018. Every transition pays a
vector of rewards, that of the task first and auxiliary ones after it (`envs.base.Auxiliaries`). Each has a policy of
its own, an intention, and all of them learn from everything that is played. With b the probability of an action when it
was taken, whichever intention took it, and k the number of a reward:

    G_k(t) = r_k(t+1) + γ [v_k(x_{t+1}) + c_k(t+1) (G_k(t+1) - Q_k(x_{t+1}, a_{t+1}; θ⁻))]     c_k = λ min(1, π_k / b)
    L(θ) = E[Σ_k ½ (G_k - Q_k(x, a; θ))²],      J(φ) = -E[Σ_k Q_k(x, a) - α ln π_k(a|x; φ)],  a ~ π_k reparameterised

and v_k(x) = E_{a~π_k} Q_k(x, a; θ⁻). For discrete actions J has the exact solution π_k ∝ exp(Q_k / α), and there is no
network of policies. `agents.common.scheduling` says which intention acts; greedily it is the task's own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import networks
from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, valid
from agents.common.critics import apply, with_action
from agents.common.objectives import taken
from agents.common.scheduling import Scheduler, Table
from agents.ddpg import Params
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """Everything that SAC-X learns and counts."""

    policy: Learned
    critic: Learned
    target: Any  # the critic's
    table: Table
    updates: Array  # int32

    @property
    def params(self) -> Params:
        """What is learned by gradient."""
        return Params(self.policy.params, self.critic.params)


class Actor(NamedTuple):
    """What acting needs."""

    params: Params
    table: Table
    random: Array  # bool: nothing is learned yet


class Known(NamedTuple):
    """What rows `[T, N]` are worth to K intentions."""

    done: Array  # Q_k of what was done, [T, N, K]
    value: Array  # v_k, [T, N, K]
    log_prob: Array  # ln π_k of what was done, [T, N, K]


def sac_x(
    critic: Network,
    policy: Network | None,
    optimiser: Params,
    scheduler: Scheduler,
    rewards: Callable[[Any], Array] | None,
    *,
    replayed: int,
    passes: int = 1,
    discount: float | Array = 0.99,
    temperature: float | Array = 0.01,
    epsilon: float | Array = 0.0,
    lambda_: float | Array = 1.0,
    target_rate: float | Array = 0.005,
) -> Agent:
    """The agent; it learns from `replay.fresh_and_replayed`, the scheduler from fresh windows, all else from others.

    Args:
      critic: observation -> `[K, A]` of discrete actions; `critics.with_action` of it -> `[K]`. Feed-forward.
      policy: observation -> `TanhGaussian` `[K, D]` in [-1, 1], feed-forward; None for discrete actions.
      optimiser: an `agents.common.optimisers` chain for the policies and one for the critic.
      scheduler: of the K intentions.
      rewards: `(observation[..., *shape]) -> [..., K - 1]`, the auxiliary ones; None for none.
      replayed: windows of the sample that come from the past, a multiple of `passes`.
      passes: gradient steps of an update, each on its own share of them.
      discount: γ.
      temperature: α.
      epsilon: probability of a random action when exploring, of discrete ones. Until the first update all are.
      lambda_: λ.
      target_rate: share by which the target follows after each gradient step.
    """
    over_tasks = jax.vmap(losses.retrace_from_values, (1, None, 1, 1, 1, None), 1)
    retrace = jax.vmap(over_tasks, 1, 1)
    weights = jax.vmap(jax.vmap(losses.traces, (1, None, None, None), 1), (1, 1, 1, None), 1)

    def init(key: Key, timestep: TimeStep) -> State:
        k_policy, k_critic = jax.random.split(key)
        learned, seen = Learned((), ()), timestep.observation
        if policy is not None:
            params = policy.init(k_policy, timestep.observation)
            learned = Learned(params, optimiser.policy.init(params))
            lifted = jax.tree.map(lambda x: x[None], timestep)
            seen = with_action(seen, apply(policy, params, lifted).mode()[0, :, 0])
        critics = critic.init(k_critic, seen)
        fresh = Learned(critics, optimiser.critic.init(critics))
        return State(learned, fresh, jax.tree.map(jnp.copy, critics), scheduler.table(), jnp.int32(0))

    def soft(q: Array) -> networks.Categorical:
        return networks.Categorical(q / temperature)

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        k_slot, k_sample, k_random = jax.random.split(key, 3)
        held, carry = scheduler.step(actor.table, k_slot, carry, timestep)
        held = held if explore else jnp.zeros_like(held)
        lane, row = jnp.arange(held.shape[0]), jax.tree.map(lambda x: x[None], timestep)
        if policy is None:
            chosen = soft(apply(critic, actor.params.critic, row)[0][lane, held])
            if not explore:
                return chosen.mode(), carry, {}
            chance = jnp.where(actor.random, 1.0, epsilon)
            probs = (1 - chance) * jax.nn.softmax(chosen.logits) + chance / chosen.logits.shape[-1]
            action, log_prob = networks.Categorical(jnp.log(probs)).sample_and_log_prob(k_sample)
        else:
            every = apply(policy, actor.params.policy, row)
            chosen = jax.tree.map(lambda x: x[0][lane, held], every)
            if not explore:
                return chosen.mode(), carry, {}
            action, log_prob = chosen.sample_and_log_prob(k_sample)
            other = jax.random.uniform(k_random, action.shape, minval=-1.0, maxval=1.0)
            action = jnp.where(actor.random, other, action)
            log_prob = jnp.where(actor.random, -action.shape[-1] * jnp.log(2.0), log_prob)
        return action, carry, {"log_prob": log_prob, "chosen": carry.chosen, "returns": carry.returns}

    def sampled(policies: Any, critics: Any, key: Key, timestep: TimeStep) -> tuple[Array, Array, Any]:
        """Q_k `[T, N, K]` and ln π_k of an action of each policy, and the policies."""
        every = apply(policy, policies, timestep) if policy is not None else None
        assert every is not None
        action, log_prob = every.sample_and_log_prob(parallel.own_key(key))
        q = jax.vmap(lambda a: apply(critic, critics, timestep, a), 2, 2)(action)  # [T, N, K of actions, K of values]
        return jnp.diagonal(q, axis1=2, axis2=3), log_prob, every

    def known(params: Params, target: Any, key: Key, steps: Step) -> Known:
        """What is bootstrapped from: values of the target critic under the policies of now."""
        rows = steps.timestep
        if policy is None:
            pi, q = soft(apply(critic, params.critic, rows)), apply(critic, target, rows)
            value = jnp.sum(jax.nn.softmax(pi.logits) * q, axis=-1)
            done = jnp.broadcast_to(steps.action[..., None], value.shape)
            return Known(taken(q, done), value, pi.log_prob(done))
        value, _, every = sampled(params.policy, target, key, rows)
        done = jnp.broadcast_to(steps.action[:, :, None], every.mean.shape)
        return Known(apply(critic, target, rows, steps.action), value, every.log_prob(done))

    def paid(steps: Step) -> Array:
        """All rewards of the transitions, `[T, N, K]`."""
        own = steps.timestep.reward[1:, :, None]
        if rewards is None:
            return own
        told: Any = jax.tree.map(lambda x: x[1:], steps.timestep.observation)
        return jnp.concatenate([own, rewards(told)], axis=-1)

    def critic_loss(params: Any, policies: Any, target: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        found: Known = jax.lax.stop_gradient(known(Params(policies, params), target, key, steps))
        kind, gamma = steps.timestep.step_type, discount * steps.timestep.discount[1:]
        after = jax.tree.map(lambda x: x[1:], found)
        trace = weights(after.log_prob, steps.extras["log_prob"][1:], kind, lambda_)
        goal = retrace(paid(steps), gamma, after.value, after.done, trace, kind)
        before = jax.tree.map(lambda x: x[:-1], steps.timestep)
        if policy is None:
            q = apply(critic, params, before)
            q = taken(q, jnp.broadcast_to(steps.action[:-1, :, None], q.shape[:-1]))
        else:
            q = apply(critic, params, before, steps.action[:-1])
        terms = {
            "loss": jnp.sum(losses.squared(goal - q), axis=-1),
            "q_mean": q[..., 0],
            "td_error": jnp.mean(jnp.abs(goal - q), axis=-1),
            "trace": jnp.mean(trace, axis=-1),
        }
        means = {name: parallel.masked_mean(term, valid(steps)) for name, term in terms.items()}
        return means["loss"], means

    def policy_loss(params: Any, critics: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        q, log_prob, _ = sampled(params, critics, key, jax.tree.map(lambda x: x[:-1], steps.timestep))
        terms = {"policy_loss": jnp.sum(temperature * log_prob - q, axis=-1), "entropy": -jnp.mean(log_prob, axis=-1)}
        means = {name: parallel.masked_mean(term, valid(steps)) for name, term in terms.items()}
        return means["policy_loss"], means

    def step(state: State, each: tuple[Key, Step]) -> tuple[State, dict[str, Array]]:
        k_critic, k_policy = jax.random.split(each[0])
        past = (state.policy.params, state.target, k_critic, each[1])
        critics, metrics = descend(optimiser.critic, critic_loss, state.critic, *past)
        learned = state.policy
        if policy is not None:
            given = (critics.params, k_policy, each[1])
            learned, more = descend(optimiser.policy, policy_loss, learned, *given, part="policy_")
            metrics |= more
        target = optax.incremental_update(critics.params, state.target, target_rate)
        return state._replace(policy=learned, critic=critics, target=target), metrics

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        lanes = sample.steps.timestep.reward.shape[1]
        if replayed % passes or replayed >= lanes:
            raise ValueError(f"replayed is {replayed} of {lanes} windows; must be a multiple of {passes}, and fewer")
        fresh, past = (
            jax.tree.map(lambda x, at=at: x[:, at], sample.steps) for at in (slice(-replayed), slice(-replayed, None))
        )
        deal = lambda x: jnp.moveaxis(x.reshape(x.shape[0], passes, -1, *x.shape[2:]), 1, 0)  # noqa: E731
        state, metrics = jax.lax.scan(step, state, (jax.random.split(key, passes), jax.tree.map(deal, past)))
        table = scheduler.learn(state.table, fresh) if scheduler.learned else state.table
        told: dict[str, Array] = jax.tree.map(jnp.mean, metrics)
        told["scheduled"] = jnp.sum(table.value * table.episodes) / jnp.maximum(jnp.sum(table.episodes), 1.0)
        return state._replace(table=table, updates=state.updates + 1), Info(told)

    def actor(state: State) -> Actor:
        return Actor(state.params, state.table, state.updates == 0)

    return Agent(init, actor, scheduler.begin, act, update)
