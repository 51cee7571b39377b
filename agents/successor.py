"""Successor representation on tables, and what several of them are worth on a new task.

Dayan, "Improving generalization for temporal difference learning: the successor representation", 1993; Barreto et al.,
"Successor features for transfer in reinforcement learning", NeurIPS 2017 (arXiv:1606.05312). The representation

    ψ(s, a) = E_π[Σ_k γ^k 1(s_{t+1+k})]        ψ(s, a) ← ψ(s, a) + α [1(s') + γ ψ(s', a') - ψ(s, a)]

says which states follow, w(s') ← w(s') + β [r - w(s')] what entering them pays, and Q(s, a) = ψ(s, a)ᵀw. A reward that
moves is relearned in w alone, at once; a way that is blocked is not, for ψ still leads through it.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, TimeStep, valid
from agents.dqn import epsilon_greedy


class State(NamedTuple):
    """What follows, and what it pays."""

    psi: Array  # [S, A, S]
    weights: Array  # [S]


def values(state: State) -> Array:
    """Q, `[S, A]`."""
    return state.psi @ state.weights


def successor(
    states: int,
    actions: int,
    *,
    learning_rate: float | Array = 0.1,
    reward_rate: float | Array = 0.5,
    discount: float | Array = 0.95,
    epsilon: float | Array = 0.1,
    policy: Literal["greedy", "random"] = "greedy",
) -> Agent:
    """The agent for observations 0, ..., states - 1; learns from `replay.on_policy(1)`.

    Args:
      states: S.
      actions: A.
      learning_rate: α.
      reward_rate: β.
      discount: γ.
      epsilon: probability of a random action. Otherwise the best one is taken, ties broken at random.
      policy: whose representation is learned: that of the greedy policy, or of the one that acts uniformly at random.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        del key, timestep
        return State(jnp.zeros((states, actions, states)), jnp.zeros(states))

    def act(q: Array, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_ties, k_explore = jax.random.split(key)
        here = q[timestep.observation]
        best = here >= jnp.max(here, -1, keepdims=True)
        ties = jnp.where(best, jax.random.uniform(k_ties, here.shape), -1.0)
        return epsilon_greedy(k_explore, ties, jnp.float32(epsilon if explore else 0.0)), carry, ()

    def following(state: State, s: Array) -> Array:
        """ψ of what the policy does in s, `[S]`."""
        if policy == "random":
            return jnp.mean(state.psi[s], axis=0)
        return state.psi[s, jnp.argmax(state.psi[s] @ state.weights)]

    def learn(state: State, transition: tuple[Array, ...]) -> tuple[State, Array]:
        real, s, a, reward, going_on, after = transition
        arrived = jax.nn.one_hot(after, states)
        error = losses.successor_error(state.psi[s, a], arrived, discount * going_on, following(state, after))
        psi = state.psi.at[s, a].add(jnp.where(real, learning_rate * error, 0.0))
        surprise = reward - state.weights[after]
        weights = state.weights.at[after].add(jnp.where(real, reward_rate * surprise, 0.0))
        return State(psi, weights), jnp.where(real, jnp.sum(jnp.abs(error)), 0.0)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        steps = sample.steps
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep)
        rows = (valid(steps), steps.timestep.observation[:-1], steps.action[:-1], arrived.reward, arrived.discount)
        flat = jax.tree.map(jnp.ravel, (*rows, arrived.observation))
        state, errors = jax.lax.scan(learn, state, flat)
        return state, Info({"loss": jnp.mean(errors)})

    return Agent(init, values, lambda batch: (), act, update)
