"""Dyna-Q, Dyna-Q+ and prioritised sweeping, on tables.

Sutton, "Integrated architectures for learning, planning, and reacting", ICML 1990; Moore and Atkeson, "Prioritized
sweeping", 1993; Sutton and Barto, "Reinforcement learning" (2018), sections 8.2 to 8.4. After each real transition

    Q(s, a) ← Q(s, a) + α [r + γ max_b Q(s', b) - Q(s, a)]         M(s, a) ← (r, γ, s')

and n times the same with the modelled (r, γ, s') of a pair (s, a) seen before: drawn uniformly, or, sweeping, that of
the largest |error| above θ, whose predecessors then get their errors. Dyna-Q+ adds κ √τ(s, a) to a modelled reward, τ
the time since the pair was tried, and may draw any action of a state it has visited.

It acts ε-greedily, or by π(a|s) ∝ e^(β Q(s, a)), whose inverse temperature β is one of the numbers that adapt in
Schweighofer and Doya, "Meta-learning in reinforcement learning", Neural Networks 2003 (`agents.doya`).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, valid
from agents.dqn import epsilon_greedy
from envs import parallel


class State(NamedTuple):
    """The values and the model; all `[S, A]` but the clock."""

    q: Array
    reward: Array
    discount: Array  # 0 where the episode ends
    after: Array  # int32, the next state; the state itself before the pair was tried
    tried: Array  # bool
    last: Array  # int32, when the pair was tried last
    priority: Array  # 0 where it is not to be swept
    clock: Array  # int32, transitions so far


def dyna_q(
    states: int,
    actions: int,
    *,
    n: int = 5,
    learning_rate: float | Array = 0.1,
    discount: float | Array = 0.95,
    epsilon: float | Array = 0.1,
    beta: float | Array | None = None,
    kappa: float | Array | None = None,
    theta: float | Array | None = None,
) -> Agent:
    """The agent for observations 0, ..., states - 1; learns from `replay.on_policy(1)`.

    Args:
      states: S.
      actions: A.
      n: planning steps after each real one; 0 is Q-learning.
      learning_rate: α.
      discount: γ.
      epsilon: probability of a random action. Otherwise the best one is taken, ties broken at random.
      beta: β of a softmax of the values, by which it acts instead while it explores; None for none.
      kappa: κ of Dyna-Q+; None for none.
      theta: θ of prioritised sweeping; None to draw uniformly.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        del key, timestep
        zeros, count = jnp.zeros((states, actions)), jnp.zeros((states, actions), jnp.int32)
        after = jnp.arange(states, dtype=jnp.int32)[:, None] + count
        return State(zeros, zeros, zeros + 1, after, count > 0, count, zeros, jnp.int32(0))

    def act(q: Array, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_ties, k_explore = jax.random.split(key)
        values = q[timestep.observation]
        if beta is not None and explore:
            return jax.random.categorical(k_explore, beta * values), carry, ()
        best = values >= jnp.max(values, -1, keepdims=True)
        ties = jnp.where(best, jax.random.uniform(k_ties, values.shape), -1.0)
        action = epsilon_greedy(k_explore, ties, jnp.float32(epsilon if explore else 0.0))
        return action, carry, ()

    def aims(state: State, q: Array) -> Array:
        """Modelled targets of all pairs, `[S, A]`."""
        reward = state.reward
        if kappa is not None:
            reward = reward + kappa * jnp.sqrt((state.clock - state.last).astype(jnp.float32))
        return reward + discount * state.discount * jnp.max(q, -1)[state.after]

    def improved(state: State, q: Array, s: Array, a: Array) -> Array:
        reward = state.reward[s, a]
        if kappa is not None:
            reward = reward + kappa * jnp.sqrt((state.clock - state.last[s, a]).astype(jnp.float32))
        target = reward + discount * state.discount[s, a] * jnp.max(q[state.after[s, a]])
        return q.at[s, a].add(learning_rate * (target - q[s, a]))

    def draw(state: State, key: Key) -> State:
        """n improvements of pairs drawn uniformly."""
        known = state.tried if kappa is None else jnp.broadcast_to(jnp.any(state.tried, -1)[:, None], state.q.shape)
        upto = jnp.cumsum(jnp.ravel(known))
        nth = 1 + jnp.floor(jax.random.uniform(key, (n,)) * upto[-1]).astype(jnp.int32)
        pairs = jnp.searchsorted(upto, nth)  # the nth known pair
        step = lambda q, pair: (improved(state, q, pair // actions, pair % actions), None)  # noqa: E731
        return state._replace(q=jax.lax.scan(step, state.q, pairs)[0])

    def sweep(state: State, first: Array, theta: float | Array) -> State:
        """n improvements in the order of priority, `first` being the pair just tried."""
        error = jnp.abs(aims(state, state.q) - state.q)
        queued = jnp.where((jnp.arange(states * actions) == first).reshape(state.q.shape), error, state.priority)
        queued = jnp.where(queued > theta, queued, 0.0)

        def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            q, priority = carry
            pair = jnp.argmax(priority)
            s, a = pair // actions, pair % actions
            urgent = priority[s, a] > 0
            q = jnp.where(urgent, improved(state, q, s, a), q)
            priority = priority.at[s, a].set(0.0)
            error = jnp.abs(aims(state, q) - q)
            leads = urgent & state.tried & (state.after == s) & (state.discount > 0) & (error > theta)
            return (q, jnp.where(leads, jnp.maximum(priority, error), priority)), None

        (q, queued), _ = jax.lax.scan(step, (state.q, queued), None, length=n)
        return state._replace(q=q, priority=queued)

    def learn(state: State, transition: tuple) -> tuple[State, Array]:
        key, s, a, reward, going_on, after = transition
        clock = state.clock + 1
        error = reward + discount * going_on * jnp.max(state.q[after]) - state.q[s, a]
        state = State(
            q=state.q if theta is not None and n else state.q.at[s, a].add(learning_rate * error),
            reward=state.reward.at[s, a].set(reward),
            discount=state.discount.at[s, a].set(going_on),
            after=state.after.at[s, a].set(after),
            tried=state.tried.at[s, a].set(True),
            last=state.last.at[s, a].set(clock),
            priority=state.priority,
            clock=clock,
        )
        if n:
            state = draw(state, key) if theta is None else sweep(state, s * actions + a, theta)
        return state, jnp.abs(error)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps, real = sample.steps, valid(sample.steps)
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep)
        keys = jax.random.split(key, real.shape)
        rows = (keys, steps.timestep.observation[:-1], steps.action[:-1], arrived.reward, arrived.discount)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (*rows, arrived.observation))

        def one(state: State, row: tuple) -> tuple[State, Array]:
            real, transition = row
            after, error = learn(state, transition)
            return jax.tree.map(partial(jnp.where, real), after, state), error * real

        state, errors = jax.lax.scan(one, state, (jnp.ravel(real), flat))
        terms = {"td_error": errors.reshape(real.shape), "q_mean": state.q[rows[1], rows[2]]}
        metrics = {name: parallel.masked_mean(x, real) for name, x in terms.items()}
        explores = {"epsilon": epsilon} if beta is None else {"inverse_temperature": beta}
        fixed = {**explores, "learning_rate": learning_rate}
        metrics |= {name: jnp.asarray(x, jnp.float32) for name, x in fixed.items()}
        return state, Info({"loss": jnp.mean(errors), **metrics})

    return Agent(init, lambda state: state.q, lambda batch: (), act, update)
