"""Tasks of counted states and actions as tables: what is known of them, what they are worth, and where policies lead.

A row of transitions that adds up to less than 1 ends the episode with the rest. Rewards are r(s, a), values are 0 after
an end.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.base import FIRST, LAST, MID, Array, Key, Step, TimeStep, valid
from envs.base import Rules


class Model(NamedTuple):
    """A task."""

    transition: Array  # [S, A, S]
    initial: Array  # [S], adds up to 1


class Counts(NamedTuple):
    """What was seen of a task."""

    transition: Array  # [S, A, S + 1]; the last is the end of an episode
    initial: Array  # [S]


class Plan(NamedTuple):
    """What a policy does, is worth, and where it is."""

    values: Array  # [S, A]
    policy: Array  # [S, A], probabilities
    occupancy: Array  # [S, A], shares of the discounted time


def unseen(states: int, actions: int) -> Counts:
    """The counts before anything was seen."""
    return Counts(jnp.zeros((states, actions, states + 1)), jnp.zeros(states))


def counted(counts: Counts, steps: Step) -> Counts:
    """The counts with those of a window `[T+1, N]`, whose observations are numbers of states, added."""
    states = counts.initial.shape[0]
    timestep = steps.timestep
    before, reached = timestep.observation[:-1], timestep.observation[1:]
    after = jnp.where(timestep.discount[1:] > 0, reached, states)
    transition = counts.transition.at[before, steps.action[:-1], after].add(valid(steps).astype(jnp.float32))
    opened = (timestep.step_type == FIRST).astype(jnp.float32)
    return Counts(transition, counts.initial.at[timestep.observation].add(opened))


def estimated(counts: Counts) -> Model:
    """The most likely task; what was never tried stays where it is, and episodes begin anywhere until one did."""
    states = counts.initial.shape[0]
    tried = jnp.sum(counts.transition, axis=-1, keepdims=True)
    stay = jnp.broadcast_to(jnp.eye(states)[:, None], (states, counts.transition.shape[1], states))
    likely = counts.transition[..., :-1] / jnp.maximum(tried, 1.0)
    begun = jnp.sum(counts.initial)
    initial = jnp.where(begun > 0, counts.initial / jnp.maximum(begun, 1.0), 1.0 / states)
    return Model(jnp.where(tried > 0, likely, stay), initial)


def backup(model: Model, reward: Array, value: Array, discount: float | Array, causal: bool = True) -> Array:
    """Action values `[S, A]` of rewards `[S, A]` and the values `[S]` of what follows.

    Args:
      model: of the task.
      reward: r.
      value: V.
      discount: γ.
      causal: the expectation of V over what follows; if not, ln E[exp V], as if chance followed the policy's wishes.
    """
    if causal:
        return reward + discount * model.transition @ value
    most = jnp.maximum(jnp.max(value), 0.0)
    ends = 1.0 - jnp.sum(model.transition, axis=-1)
    total = model.transition @ jnp.exp(value - most) + ends * jnp.exp(-most)
    return reward + discount * (jnp.log(jnp.maximum(total, 1e-30)) + most)


def occupancy(model: Model, policy: Array, discount: float | Array) -> Array:
    """Shares of the discounted time that a policy `[S, A]` is in each state and takes each action, `[S, A]`.

    They add up to 1 unless episodes end: (1 - γ) Σ_t γ^t P(s_t = s, a_t = a).
    """
    follows = jnp.einsum("sa,sat->st", policy, model.transition)
    system = jnp.eye(policy.shape[0]) - discount * follows.T
    return (1 - discount) * jnp.linalg.solve(system, model.initial)[:, None] * policy


def soft_plan(
    model: Model,
    reward: Array,
    *,
    discount: float | Array,
    horizon: int | None = None,
    sweeps: int = 200,
    causal: bool = True,
) -> Plan:
    """The soft-optimal policy, π = exp(Q - V) with V = ln Σ exp Q (Ziebart, 2010, algorithms 9.1 to 9.3).

    Args:
      model: of the task.
      reward: r, `[S, A]`.
      discount: γ, of the values and of the occupancy alike.
      horizon: steps of an episode, over which the policy changes; None for a task that goes on, with γ < 1.
      sweeps: backups of a task that goes on.
      causal: see `backup`.

    Returns:
      Of a task with a horizon, the values and the policy of the first step, and the occupancy of all.
    """
    nothing = jnp.zeros(reward.shape[0])

    def sweep(value: Array, _: None) -> tuple[Array, Array]:
        q = backup(model, reward, value, discount, causal)
        return jax.nn.logsumexp(q, axis=-1), q

    if horizon is None:
        value, _ = jax.lax.scan(lambda v, _: (sweep(v, None)[0], None), nothing, None, sweeps)
        q = backup(model, reward, value, discount, causal)
        policy = jax.nn.softmax(q)
        return Plan(q, policy, occupancy(model, policy, discount))
    _, backwards = jax.lax.scan(sweep, nothing, None, horizon)
    policies = jax.nn.softmax(backwards[::-1])

    def onward(there: Array, policy: Array) -> tuple[Array, Array]:
        done = there[:, None] * policy
        return discount * jnp.einsum("sa,sat->t", done, model.transition), done

    _, each = jax.lax.scan(onward, model.initial, policies)
    weight = jnp.sum(discount ** jnp.arange(horizon))
    return Plan(backwards[-1], policies[0], jnp.sum(each, axis=0) / weight)


def plan(model: Model, reward: Array, *, discount: float | Array, sweeps: int = 200) -> Plan:
    """The greedy policy after so many sweeps of value iteration; the first of equally good actions is taken."""

    def sweep(value: Array, _: None) -> tuple[Array, None]:
        return jnp.max(backup(model, reward, value, discount), axis=-1), None

    value, _ = jax.lax.scan(sweep, jnp.zeros(reward.shape[0]), None, sweeps)
    q = backup(model, reward, value, discount)
    policy = jax.nn.one_hot(jnp.argmax(q, axis=-1), q.shape[-1])
    return Plan(q, policy, occupancy(model, policy, discount))


class Shown(NamedTuple):
    """What demonstrations say."""

    occupancy: Array  # [S, A], adds up to 1
    initial: Array  # [S], where they begin


def shown(steps: Step, states: int, actions: int, discount: float | Array) -> Shown:
    """What demonstrations `[T+1, N]` say, each column one episode from its first row; nothing after its end counts."""
    rows = valid(steps)
    weight = (discount ** jnp.arange(rows.shape[0]))[:, None] * jnp.cumprod(rows, axis=0)
    seen = steps.timestep.observation
    table = jnp.zeros((states, actions)).at[seen[:-1], steps.action[:-1]].add(weight)
    begun = jnp.zeros(states).at[seen[0]].add(1.0)
    return Shown(table / jnp.maximum(jnp.sum(table), 1e-12), begun / seen.shape[1])


def drawn(rules: Rules, states: int, actions: int, key: Key, draws: int = 1_000) -> tuple[Model, Array]:
    """A task from its rules, by drawing what follows each state and action; episodes begin anywhere.

    Args:
      rules: whose observations are numbers of states.
      states: S.
      actions: A.
      key: of the draws.
      draws: for each state and action.

    Returns:
      The model, and the mean reward `[S, A]`.
    """

    def one(key: Key, s: Array, a: Array) -> tuple[Array, Array, Array]:
        after, reward, ended = rules.transition(key, rules.restore(s), a)
        return rules.observe(after), reward, ended

    s, a = (x.reshape(-1) for x in jnp.meshgrid(jnp.arange(states), jnp.arange(actions), indexing="ij"))
    keyed = jax.random.split(key, (draws, states * actions))
    reached, reward, ended = jax.vmap(jax.vmap(one), (0, None, None))(keyed, s, a)
    going = jax.nn.one_hot(reached, states) * (1 - ended.astype(jnp.float32))[..., None]
    transition = jnp.mean(going, axis=0).reshape(states, actions, states)
    pays = jnp.mean(reward.astype(jnp.float32), axis=0).reshape(states, actions)
    return Model(transition, jnp.full(states, 1.0 / states)), pays


def demonstrated(rules: Rules, initial: Array, policy: Array, key: Key, episodes: int, steps: int) -> Step:
    """Demonstrations `[steps + 1, N]` of a policy `[S, A]` by the rules, each from a state drawn from `initial`."""

    def one(state: tuple[Array, Array], keys: Key) -> tuple[tuple[Array, Array], Step]:
        s, kind = state
        k_action, k_chance = jax.random.split(keys)
        action = jax.random.categorical(k_action, jnp.log(policy[s]))
        after, reward, ended = rules.transition(k_chance, rules.restore(s), action)
        del reward
        row = TimeStep(kind, jnp.float32(0), jnp.where(kind == LAST, 0.0, 1.0), s)
        return (rules.observe(after), jnp.where(ended, LAST, MID).astype(jnp.int8)), Step(row, action)

    def episode(key: Key) -> Step:
        k_start, k_steps = jax.random.split(key)
        start = jax.random.categorical(k_start, jnp.log(initial)).astype(jnp.int32)
        _, rows = jax.lax.scan(one, (start, jnp.int8(FIRST)), jax.random.split(k_steps, steps + 1))
        # What follows an end is no part of the demonstration.
        over = jnp.cumsum(rows.timestep.step_type == LAST) - (rows.timestep.step_type == LAST) > 0
        kinds = jnp.where(over, FIRST, rows.timestep.step_type).astype(jnp.int8)
        return rows._replace(timestep=rows.timestep._replace(step_type=kinds))

    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), jax.vmap(episode)(jax.random.split(key, episodes)))
