"""Behavioural cloning: the policy under which demonstrated actions are likeliest, or closest.

Pomerleau, "ALVINN: an autonomous land vehicle in a neural network", NeurIPS 1989:

    L = E[-ln π(a|x) - c H(π(·|x))]        of a Gaussian, a categorical, or any other distribution
    L = E[‖μ(x) - a‖² / D]                 of a policy that names one action
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State, descend, learner
from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, over_window
from agents.common import recurrence
from networks.base import Network


def bc(network: Network, optimiser: optax.GradientTransformation, *, entropy_cost: float | Array = 0.0) -> Agent:
    """The agent that imitates the actions of what it learns from, whatever they were paid.

    Args:
      network: observation -> distribution over actions, whose mode is played greedily, or -> action `[D]`.
      optimiser: an `agents.common.optimisers` chain.
      entropy_cost: c, of a distribution.
    """
    init, actor = learner(network, optimiser)

    def act(params: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        k_network, k_sample = jax.random.split(key)
        policy, after = recurrence.step(network, params, k_network, carry, timestep)
        if not hasattr(policy, "log_prob"):
            return policy, after, ()
        return policy.sample(k_sample) if explore else policy.mode(), after, ()

    def loss(params: Any, key: Key, sample: Sample) -> tuple[Array, dict[str, Array]]:
        steps = sample.steps
        policy = recurrence.unroll(network, params, key, recurrence.before(steps))
        actions = jax.tree.map(lambda x: x[:-1], steps.action)
        if hasattr(policy, "log_prob"):
            each = losses.cloning(policy.log_prob(actions))
            named = policy.mode()
        else:
            each, named = losses.squared_cloning(policy, actions), policy
        mean = lambda x: jnp.mean(sample.weight * over_window(x, steps))  # noqa: E731
        metrics = {"action_error": mean(_apart(named, actions))}
        total = mean(each)
        if hasattr(policy, "entropy"):
            metrics["entropy"] = mean(policy.entropy())
            total = total - entropy_cost * metrics["entropy"]
        return total, {"loss": total, **metrics}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        state, metrics = descend(optimiser, loss, state, key, sample)
        return state, Info(metrics)

    return Agent(init, actor, network.begin, act, update, recurrence.entire)


def _apart(named: Array, actions: Array) -> Array:
    """How far the greedy action is from the demonstrated one, `[T, N]`: the root mean square over dimensions, or the
    share of numbers that differ."""
    if jnp.issubdtype(actions.dtype, jnp.integer):
        differ = (named != actions).astype(jnp.float32)
        return differ if differ.ndim == 2 else jnp.mean(differ, axis=-1)
    return jnp.sqrt(losses.squared_cloning(named, actions))
