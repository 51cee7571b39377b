"""Parallelised Q-network.

Gallici et al., "Simplifying deep temporal difference learning", ICLR 2025: Q-learning with many lanes and layer
normalisation instead of a replay and a target network. On each rollout,

    G_t = r_t + γ_t [(1 - λ) max_a Q(x_t, a) + λ G_{t+1}]
    L(θ) = E[ ½ (G_t - Q(x_{t-1}, a_{t-1}; θ))² ]

over several epochs of minibatches, with Q in the targets as it was when acting. The recursion stops at truncations as
it does at terminations, but bootstraps there from the true final observation. The behaviour is ε-greedy. Minibatches
are drawn over single steps, or over whole lanes if the network has memory.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import rlax

from agents import losses
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.common import recurrence
from agents.dqn import epsilon_greedy
from agents.ppo import passes
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """Everything that PQN learns and counts."""

    params: Any
    optimiser: Any
    rollouts: Array  # int32


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    epsilon: Array


class Batch(NamedTuple):
    """A rollout with its targets, all `[T, N]`."""

    steps: Step
    target: Array
    mask: Array


def targets(steps: Step, q: Array, *, discount: float | Array, lambda_: float | Array) -> Array:
    """G `[T, N]` of a window `[T+1, N]` from action values `[T+1, N, A]`; 0 where a transition joins two episodes."""
    arrived = steps.timestep
    returns = jax.vmap(losses.q_lambda_returns, in_axes=(1, 1, 1, 1, None), out_axes=1)
    return returns(arrived.reward[1:], discount * arrived.discount[1:], q[1:], arrived.step_type, lambda_)


def pqn(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.99,
    lambda_: float | Array = 0.65,
    epsilon: float | Array | optax.Schedule = 0.1,
    epochs: int = 2,
    minibatches: int = 4,
) -> Agent:
    """The PQN agent; learns from `replay.on_policy()`.

    Args:
      network: observation -> Q `[A]`, with layer normalisation; feed-forward or recurrent.
      optimiser: an `agents.common.optimisers` chain; the paper's has RAdam (Liu et al., 2020) and clips the gradient.
      discount: γ.
      lambda_: λ.
      epsilon: probability of a random action, or a schedule of it over rollouts. Evaluation is greedy.
      epochs: passes over each rollout.
      minibatches: gradient steps per pass; must divide the rollout's steps (its lanes, if the network has memory).
    """

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        return State(params, optimiser.init(params), jnp.int32(0))

    def actor(state: State) -> Actor:
        rate = epsilon(state.rollouts) if callable(epsilon) else epsilon
        return Actor(state.params, jnp.asarray(rate, jnp.float32))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_network, k_explore = jax.random.split(key)
        q, after = recurrence.step(network, actor.params, k_network, carry, timestep)
        action = epsilon_greedy(k_explore, q, actor.epsilon) if explore else jnp.argmax(q, -1).astype(jnp.int32)
        return action, after, {"q": q}

    def loss(params: Any, key: Key, batch: Batch) -> tuple[Array, dict[str, Array]]:
        q = recurrence.unroll(network, params, key, batch.steps)
        q_taken = rlax.batched_index(q, batch.steps.action)
        error = batch.target - q_taken
        terms = {"loss": losses.squared(error), "td_error": jnp.abs(error), "q_mean": q_taken}
        means = {name: parallel.masked_mean(term, batch.mask) for name, term in terms.items()}
        return means["loss"], means

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps
        target = targets(steps, steps.extras["q"], discount=discount, lambda_=lambda_)
        batch = Batch(recurrence.before(steps), target, valid(steps))
        after, metrics = passes(partial(descend, optimiser, loss), state, key, batch, epochs, minibatches)
        return after._replace(rollouts=state.rollouts + 1), Info({**metrics, "epsilon": actor(state).epsilon})

    return Agent(init, actor, network.begin, act, update, recurrence.entire)
