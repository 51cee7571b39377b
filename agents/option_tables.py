"""Option-critic on tables: options whose policies and ends are learned by gradient, from one transition after another.

Bacon, Harb and Precup, "The option-critic architecture", AAAI 2017, algorithm 1. From x an option w is followed, whose
policy π_w acts and which ends on arriving at x' with probability β_w(x'); then another is chosen by softmax(Q / T).

    U(w, x') = (1 - β_w(x')) Q(x', w) + β_w(x') max_v Q(x', v)
    Q(x, w)    ← Q(x, w) + α [r + γ U(w, x') - Q(x, w)]          Q_U(x, w, a) likewise
    θ[x, w, a] ← θ + α_π (1(a = a_t) - π_w(a|x)) Q_U(x, w, a_t)                  π_w = softmax(θ[x, w] / T)
    ϑ[x', w]   ← ϑ - α_β β (1 - β) (Q(x', w) - max_v Q(x', v) + η)               β_w = sigmoid(ϑ[·, w])

with the deliberation cost η, or regulariser, which makes options last; as in the authors' code, the step in θ leaves
the factor 1 / T out. That code updates policy and end for the option and the action that come *next*; here they are
those of the transition, as in the paper. With one option this is an actor-critic.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, TimeStep, valid
from agents.common.options import Carry, followed, fresh


class State(NamedTuple):
    """What is learned."""

    q: Array  # [S, W]
    action_q: Array  # [S, W, A], Q_U
    policy: Array  # [S, W, A], θ
    stop: Array  # [S, W], ϑ


def option_tables(
    states: int,
    actions: int,
    options: int = 4,
    *,
    learning_rate: float | Array = 0.5,
    policy_rate: float | Array = 0.25,
    stop_rate: float | Array = 0.25,
    discount: float | Array = 0.99,
    temperature: float | Array = 0.01,
    deliberation: float | Array = 0.0,
    baseline: bool = False,
) -> Agent:
    """The agent for observations 0, ..., states - 1; learns from `replay.on_policy`, a row after another.

    Where it does not explore, options and actions are the likeliest.

    Args:
      states: S.
      actions: A.
      options: W.
      learning_rate: α.
      policy_rate: α_π.
      stop_rate: α_β; 0 leaves all ends at a probability of one half.
      discount: γ.
      temperature: T.
      deliberation: η.
      baseline: take Q(x, w) from what an action is worth.

    Raises:
      ValueError: no option.
    """
    if options < 1:
        raise ValueError(f"options is {options}; at least 1 is needed")

    def init(key: Key, timestep: TimeStep) -> State:
        del key, timestep
        of_actions = jnp.zeros((states, options, actions))
        return State(jnp.zeros((states, options)), of_actions, of_actions + 0.0, jnp.zeros((states, options)))

    def act(state: State, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Array, Carry, Any]:
        k_stop, k_option, k_action = jax.random.split(key, 3)
        s = timestep.observation

        def draw(key: Key, preference: Array) -> Array:
            return jax.random.categorical(key, preference / temperature) if explore else jnp.argmax(preference, -1)

        chosen = draw(k_option, state.q[s]).astype(jnp.int32)
        ends = jax.nn.sigmoid(state.stop[s])
        option, stops = followed(k_stop, carry.option, timestep.first(), ends, chosen, explore)
        action = draw(k_action, state.policy[s, option]).astype(jnp.int32)
        return action, Carry(option), {"option": option, "stops": stops}

    def learn(state: State, transition: tuple[Array, ...]) -> tuple[State, dict[str, Array]]:
        real, s, w, a, reward, going_on, after = transition
        rate = jnp.where(real, 1.0, 0.0)
        here, best = state.q[after, w], losses.option_choice(state.q[after])
        end = jax.nn.sigmoid(state.stop[after, w])
        target = reward + discount * going_on * losses.option_arrival(here, end, best)
        error = target - state.q[s, w]
        q = state.q.at[s, w].add(rate * learning_rate * error)
        action_q = state.action_q.at[s, w, a].add(rate * learning_rate * (target - state.action_q[s, w, a]))
        worth = action_q[s, w, a] - (q[s, w] if baseline else 0.0)
        pi = jax.nn.softmax(state.policy[s, w] / temperature)
        step = policy_rate * worth * (jax.nn.one_hot(a, actions) - pi)
        policy = state.policy.at[s, w].add(rate * step)
        gain = q[after, w] - losses.option_choice(q[after]) + deliberation
        stop = state.stop.at[after, w].add(-rate * going_on * stop_rate * end * (1 - end) * gain)
        return State(q, action_q, policy, stop), {"td_error": rate * jnp.abs(error), "q_mean": rate * state.q[s, w]}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        steps = sample.steps
        before, arrived = (jax.tree.map(lambda x, rows=rows: x[rows], steps) for rows in (slice(-1), slice(1, None)))
        rows = (
            *(valid(steps), before.timestep.observation, before.extras["option"], before.action),
            *(arrived.timestep.reward, arrived.timestep.discount, arrived.timestep.observation),
        )
        state, told = jax.lax.scan(learn, state, jax.tree.map(jnp.ravel, rows))
        metrics = {name: jnp.mean(x) for name, x in told.items()}
        return state, Info({"loss": metrics["td_error"], **metrics})

    return Agent(init, lambda state: state, fresh, act, update)
