"""Advantage actor-critic, synchronous.

Mnih et al., "Asynchronous methods for deep reinforcement learning", ICML 2016, in its batched form, with the
generalised advantage of Schulman et al., "High-dimensional continuous control using generalized advantage estimation",
ICLR 2016:

    L = E[ -log π(a_{t-1}|x_{t-1}) Â_t + c_v ½ (Â_t + V̄(x_{t-1}) - V(x_{t-1}))² - c_e H(π(·|x_{t-1})) ]

with Â and V̄ constants; λ = 1 gives the n-step returns of the paper.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import optax

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, valid
from agents.common import lessons, measures, optimisers, recurrence, streams
from agents.common.lessons import Lesson
from agents.common.streams import Stream
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """What an on-policy actor-critic learns."""

    params: Any
    optimiser: Any


def advantages(
    steps: Step, value: Array, *, discount: float | Array, lambda_: float | Array, through: Any = False
) -> Array:
    """Â `[T, N]` of a window `[T+1, N]` from values `[T+1, N]`; 0 where a transition joins two episodes.

    With `through` it can be differentiated, by γ and λ among others.
    """
    arrived = steps.timestep
    gae = jax.vmap(partial(losses.gae, stop_target_gradients=not through), in_axes=(1, 1, None, 1, 1), out_axes=1)
    return gae(arrived.reward[1:], discount * arrived.discount[1:], lambda_, value, arrived.step_type)


def targets(
    steps: Step, value: Array, second: Stream | None, *, discount: float | Array, lambda_: float | Array
) -> tuple[Array, Array]:
    """Â `[T, N]` of a window `[T+1, N]`, and what its values learn.

    Args:
      steps: the window.
      value: V `[T+1, N]`; with a second stream of rewards the values of both, `[T+1, N, 2]`.
      second: that stream.
      discount: γ of the first.
      lambda_: λ of both.

    Returns:
      Â of both streams together, and targets as the values are.
    """
    advantage = advantages(steps, streams.first(value, second), discount=discount, lambda_=lambda_)
    if second is None:
        return advantage, advantage + value[:-1]
    return streams.joined(steps, value, advantage, second, lambda_)


def acting(network: Network) -> Callable[..., tuple[Tree, Any, Any]]:
    """The `act` of an agent whose network gives `(distribution, value)`: sample to explore, take the mode if not.

    The extras hold the log-probability and the value `[B]`, and without exploration the distribution, as `policy`.
    """

    def act(params: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        k_network, k_sample = jax.random.split(key)
        (policy, value), after = recurrence.step(network, params, k_network, carry, timestep)
        action, log_prob = policy.sample_and_log_prob(k_sample)
        told = {"log_prob": log_prob, "value": value}
        if not explore:
            return policy.mode(), after, {**told, "policy": policy}
        return action, after, told

    return act


def learner(
    network: Network, optimiser: optax.GradientTransformation
) -> tuple[Callable[..., State], Callable[..., Any]]:
    """`init` and `actor` of an agent that learns one set of parameters."""

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        return State(params, optimiser.init(params))

    return init, lambda state: state.params


def descend(
    optimiser: optax.GradientTransformation,
    loss: Callable[..., tuple[Array, dict[str, Any]]],
    state: Any,
    *args: Any,
    part: str = "",
) -> tuple[Any, dict[str, Any]]:
    """One gradient step on `loss(params, *args) -> (value, metrics)`, for any state with `params` and `optimiser`.

    The metrics that come back have those of `optimisers.step` among them, with `part` before their names.
    """
    gradients, metrics = jax.grad(loss, has_aux=True)(state.params, *args)
    params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params, part)
    return state._replace(params=params, optimiser=opt_state), {**metrics, **told}


def objective(
    network: Network,
    *,
    discount: float | Array,
    lambda_: float | Array,
    value_cost: float | Array,
    entropy_cost: float | Array,
    second: Stream | None = None,
    through: bool = False,
    lesson: Lesson | None = None,
) -> Callable[..., tuple[Array, dict[str, Array]]]:
    """L of a window, `(params, key, steps[T+1, N]) -> (value, metrics)`.

    With `through`, of one stream of rewards, its gradient can itself be differentiated by γ and λ; with a `lesson` it
    has that beside it.
    """

    def loss(params: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        policy, value = recurrence.unroll(network, params, key, steps)
        policy = jax.tree.map(lambda x: x[:-1], policy)
        fixed = jax.lax.stop_gradient(value)
        if through:
            advantage = advantages(steps, fixed, discount=discount, lambda_=lambda_, through=True)
            target = advantage + fixed[:-1]
        else:
            advantage, target = targets(steps, fixed, second, discount=discount, lambda_=lambda_)
        log_prob = policy.log_prob(jax.tree.map(lambda x: x[:-1], steps.action))
        terms = {
            "policy_loss": -log_prob * advantage if through else losses.policy_gradient(log_prob, advantage),
            "value_loss": streams.summed(losses.squared(target - value[:-1]), second),
            "entropy": policy.entropy(),
            "approx_kl": losses.approx_kl(log_prob, steps.extras["log_prob"][:-1]),
            **lessons.terms(lesson, policy, steps.extras),
        }
        means = {name: parallel.masked_mean(term, valid(steps)) for name, term in terms.items()}
        total = lessons.total(lesson, means) + value_cost * means["value_loss"] - entropy_cost * means["entropy"]
        explained = measures.explained_variance(
            streams.first(fixed[:-1], second), streams.first(target, second), valid(steps)
        )
        return total, {"loss": total, **means, "explained_variance": explained}

    return loss


def a2c(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.99,
    lambda_: float | Array = 1.0,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.01,
    second: Any = None,
    through: Any = False,
    lesson: Any = None,
) -> Agent:
    """The A2C agent; learns from `replay.on_policy()`.

    Args:
      network: observation -> (distribution, value); feed-forward or recurrent.
      optimiser: an `agents.common.optimisers` chain.
      discount: γ.
      lambda_: λ of the generalised advantage.
      value_cost: c_v.
      entropy_cost: c_e.
      second: a `Stream` of rewards, `extras["bonus"]`, for a network with two values (`networks.Values(2)`); or None.
      through: let an update be differentiated by γ and λ, for `agents.meta_gradient`; with one stream of rewards.
      lesson: what is learned from teachers beside the reward, `agents.kickstart.lesson`; or None.
    """
    init, actor = learner(network, optimiser)

    loss = objective(
        network,
        discount=discount,
        lambda_=lambda_,
        value_cost=value_cost,
        entropy_cost=entropy_cost,
        second=second,
        through=through,
        lesson=lesson,
    )

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        state, metrics = descend(optimiser, loss, state, key, sample.steps)
        return state, Info(metrics)

    return Agent(init, actor, network.begin, acting(network), update, recurrence.entire)
