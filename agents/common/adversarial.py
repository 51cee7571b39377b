"""Imitation by an adversary, around any agent: a discriminator learns to tell what it does from what an expert did.

The reward of the task is never seen. Each update rewrites the rewards of its window by what the discriminator says of
them, lets the inner agent learn from those, and then takes the discriminator's own steps; so the agents learn on-policy
or from a replay, where rewards are those of the present discriminator. `agents/gail.py` and `agents/airl.py` have the
judges, as discriminators are called here that also say what they pay.

A reward that is never negative pays for staying alive, and one that is never positive for ending, whatever the expert
did. With `absorbing`, an end leads into a state of its own, where the agent stays for ever, is judged and is paid
(Kostrikov et al., "Discriminator-actor-critic", ICLR 2019, section 4.2): the last transition gets γ / (1 - γ) of it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, valid
from agents.common import optimisers
from agents.common.moments import Moments, fresh_moments, merge
from agents.common.moves import Moves, absorbed, moves, paid, repaid
from envs import parallel
from envs.base import Spec


class Judge(NamedTuple):
    """What tells an expert from a learner, as pure functions."""

    init: Callable[[Key, Moves], Any]
    """`(key, moves[N]) -> params`."""

    logits: Callable[[Any, Moves], Array]
    """`(params, moves[N]) -> [N]`, large for what the expert does."""

    reward: Callable[[Any, Moves], Array]
    """`(params, moves[N]) -> [N]`, what the learner is paid."""

    lasting: Callable[[Any, Moves], Array]
    """`(params, moves[N]) -> [N]`, the reward that is handed on to others."""


class Contest(NamedTuple):
    """How a discriminator learns."""

    updates: int = 1  # steps per update of the agent; 0 leaves it as it began
    batch_size: int = 256  # transitions of either side in a step
    entropy_cost: float | Array = 1e-3  # of the discriminator's own entropy, which is kept up
    penalty: float | Array = 0.0  # weight of (‖∇‖ - 1)² between the expert's transitions and the learner's
    absorbing: float | Array | None = None  # the γ of absorbing states; None for none


class State(NamedTuple):
    """The inner agent's state, the judge's parameters, its optimiser's, what it normalises by, and what was shown."""

    inner: Any
    judge: Any
    optimiser: Any
    moments: Moments
    shown: Step


class Actor(NamedTuple):
    """What acting needs, and the reward that was learned, so that it is saved with the policy."""

    inner: Any
    judge: Any
    moments: Moments


def contest(judge: Judge, settings: Contest, params: Any, key: Key, learner: Any, expert: Any) -> tuple[Array, Any]:
    """The discriminator's loss on a batch of either side, each `(moves[N], inside[N], ended[N])`, and metrics."""
    terms: dict[str, Array] = {}
    total = jnp.float32(0)
    for name, (found, inside, ended), real in (("learner", learner, False), ("expert", expert, True)):

        def cost(found: Moves, real: bool = real) -> tuple[Array, Array]:
            logits = judge.logits(params, found)
            entropy = losses.bernoulli_entropy(logits)
            return losses.discriminator_loss(logits, jnp.bool_(real)) - settings.entropy_cost * entropy, logits

        each, logits = cost(found)
        if settings.absorbing is not None:
            each = each + ended * cost(absorbed(found))[0]
        total += parallel.masked_mean(each, inside)
        terms[f"{name}_accuracy"] = parallel.masked_mean(((logits > 0) == real).astype(jnp.float32), inside)
    share = jax.random.uniform(key, learner[1].shape)
    if isinstance(settings.penalty, jax.Array) or settings.penalty:

        def between(a: Array, b: Array) -> Array:
            part = share.reshape(share.shape + (1,) * (a.ndim - 1))
            return part * a + (1 - part) * b

        mixed = jax.tree.map(between, learner[0], expert[0])
        slope = jax.grad(lambda m: jnp.sum(judge.logits(params, m)))(mixed)
        gradient = jnp.concatenate([slope.observation, slope.action, slope.after], axis=-1)
        total += settings.penalty * parallel.masked_mean(losses.gradient_penalty(gradient), learner[1])
    return total, {"discriminator_loss": total, **terms}


def imitating(
    agent: Agent,
    judge: Judge,
    optimiser: optax.GradientTransformation,
    expert: Callable[[Key], Step],
    spec: Spec,
    settings: Contest = Contest(),  # noqa: B008
    density: Callable[[Any, Tree, Array], Array] | None = None,
) -> Agent:
    """The agent that is paid for being taken for the expert.

    Args:
      agent: any that learns from single steps; wrappers that rewrite rewards go inside.
      judge: the discriminator and what it pays.
      optimiser: of the judge.
      expert: `(key) -> demonstrations` as single transitions, `[2, M]`.
      spec: of the task.
      settings: how the judge learns.
      density: `(actor, observation[T, N], action[T, N]) -> ln π [T, N]` of the inner agent; None for judges that need
        none.
    """

    def told(inner: Any) -> Any:
        return None if density is None else lambda *seen: density(agent.actor(inner), *seen)

    def init(key: Key, timestep: TimeStep) -> State:
        k_agent, k_judge, k_expert = jax.random.split(key, 3)
        shown = expert(k_expert)
        moments = fresh_moments(jax.tree.map(lambda x: x[0], timestep.observation))
        moments = merge(moments, shown.timestep.observation, jnp.ones(shown.timestep.reward.shape, bool))
        params = judge.init(k_judge, moves(spec, shown, moments)[0])
        return State(agent.init(k_agent, timestep), params, optimiser.init(params), moments, shown)

    def actor(state: State) -> Actor:
        return Actor(agent.actor(state.inner), state.judge, state.moments)

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        return agent.act(actor.inner, key, carry, timestep, explore)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_agent, k_judge = jax.random.split(key)
        steps, moments = sample.steps, state.moments
        found = moves(spec, steps, moments, told(state.inner))
        reward = paid(lambda m: judge.reward(state.judge, m), *found, settings.absorbing)
        inner, info = agent.update(state.inner, k_agent, repaid(sample, reward))
        learner, shown = (moves(spec, x, moments, told(inner)) for x in (steps, state.shown))

        def step(held: tuple[Any, Any], key: Key) -> tuple[Any, dict[str, Array]]:
            k_learner, k_expert, k_between = jax.random.split(parallel.own_key(key), 3)
            batches = [drawn(k, side) for k, side in ((k_learner, learner), (k_expert, shown))]
            loss = lambda params: contest(judge, settings, params, k_between, *batches)  # noqa: E731
            gradients, metrics = jax.grad(loss, has_aux=True)(held[0])
            params, opt_state, measured = optimisers.step(optimiser, gradients, held[1], held[0], "discriminator_")
            return (params, opt_state), {**metrics, **measured}

        def drawn(key: Key, side: Any) -> Any:
            rows = jax.random.randint(key, (settings.batch_size,), 0, side[1].shape[0])
            return jax.tree.map(lambda x: x[rows], side)

        metrics = {**info.metrics, "imitation_reward": parallel.masked_mean(reward, found[1])}
        params, opt_state = state.judge, state.optimiser
        if settings.updates:
            keyed = jax.random.split(k_judge, settings.updates)
            (params, opt_state), more = jax.lax.scan(step, (params, opt_state), keyed)
            metrics |= jax.tree.map(jnp.mean, more)
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep.observation)
        moments = merge(moments, arrived, valid(steps))
        return State(inner, params, opt_state, moments, state.shown), info._replace(metrics=metrics)

    return agent._replace(init=init, actor=actor, act=act, update=update)


def rewarded(agent: Agent, handed: Callable[[], tuple[Callable[[Moves], Array], Moments]], spec: Spec) -> Agent:
    """The agent that learns from a reward that others have learned, and not from the task's.

    Args:
      agent: any that learns from single steps.
      handed: `() -> ((moves[N]) -> reward[N], moments)`: such as a judge's `lasting` with its parameters, and what its
        observations are normalised by. It is called where the agent learns, and not where it only acts.
      spec: of the task.
    """

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        reward, moments = handed()
        found = moves(spec, sample.steps, moments)
        each = paid(reward, *found, None)
        state, info = agent.update(state, key, repaid(sample, each))
        return state, info._replace(metrics={**info.metrics, "imitation_reward": parallel.masked_mean(each, found[1])})

    return agent._replace(update=update)
