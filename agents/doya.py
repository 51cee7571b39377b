"""Meta-parameters that adapt by noise and reward, around an agent.

Doya, "Metalearning and neuromodulation", Neural Networks 2002; Schweighofer and Doya, "Meta-learning in reinforcement
learning", Neural Networks 2003. Each meta-parameter is a squashed sum of a base b and a noise σ that is held for many
updates; two running averages of the reward, a medium one and a long one of that, say whether the noise does good:

    γ = 1 - e^-(b + σ)    for what lies between 0 and 1, such as a discount
    α = e^(b + σ)         for what is positive, such as a step size or an inverse temperature
    r̄ ← r̄ + (r - r̄) / τ₁        R ← R + (r̄ - R) / τ₂        b ← b + μ (r̄ - R) σ

The reward is the mean of what an update learns from: of a rollout as it was played, or of a draw from a replay, which
lags behind.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from envs import parallel


class State(NamedTuple):
    """An agent's state, and its meta-parameters `[K]` by name in the alphabet's order."""

    inner: Any
    base: Array
    noise: Array
    mid: Array
    long: Array
    updates: Array  # int32


class Actor(NamedTuple):
    """What acting needs."""

    inner: Any
    values: dict[str, Array]


def adapted(
    make: Callable[[Mapping[str, Any]], Agent],
    start: Mapping[str, float | Array],
    shares: Sequence[str],
    *,
    mu: float | Array = 0.1,
    sigma: float | Array = 0.3,
    hold: int = 200,
    mid: float | Array = 100.0,
    long: float | Array = 1000.0,
    settle: int = 0,
    reach: float | Array = 2.0,
) -> Agent:
    """An agent whose meta-parameters adapt.

    Args:
      make: meta-parameters by name -> the agent, whose state does not depend on them.
      start: what they begin with: between 0 and 1, both left out, or positive.
      shares: which of them lie between 0 and 1.
      mu: μ.
      sigma: standard deviation of the noise.
      hold: updates for which it is held.
      mid: τ₁, in updates.
      long: τ₂, in updates.
      settle: updates before the bases begin to move: what the agent learns at first is no merit of the noise.
      reach: how far a base may go from where it began; one that went farther than the noise reaches would not return.
    """
    names = sorted(start)
    share = jnp.array([name in shares for name in names])
    first = jnp.stack([jnp.asarray(start[name], jnp.float32) for name in names])
    begun = jnp.where(share, -jnp.log1p(-jnp.where(share, first, 0.5)), jnp.log(first))
    example = make(start)

    def squashed(x: Array) -> dict[str, Array]:
        values = jnp.where(share, -jnp.expm1(-jnp.maximum(x, 1e-3)), jnp.exp(x))
        return dict(zip(names, values, strict=True))

    def init(key: Key, timestep: TimeStep) -> State:
        nothing = jnp.float32(0)
        return State(example.init(key, timestep), begun, jnp.zeros(len(names)), nothing, nothing, jnp.int32(0))

    def actor(state: State) -> Actor:
        values = squashed(state.base + state.noise)
        return Actor(make(values).actor(state.inner), values)

    def act(actor: Actor, *rest: Any) -> Any:
        return make(actor.values).act(actor.inner, *rest)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        inner, info = make(squashed(state.base + state.noise)).update(state.inner, key, sample)
        steps: Step = sample.steps if isinstance(sample.steps, Step) else sample.steps[0]
        reward = parallel.masked_mean(steps.timestep.reward[1:], valid(steps))
        new = state.updates == 0
        medium = jnp.where(new, reward, state.mid + (reward - state.mid) / mid)
        slow = jnp.where(new, reward, state.long + (medium - state.long) / long)
        moved = state.base + jnp.where(state.updates < settle, 0.0, mu * (medium - slow)) * state.noise
        base = jnp.clip(moved, begun - reach, begun + reach)
        fresh = sigma * jax.random.normal(jax.random.fold_in(key, 0), state.noise.shape)
        noise = jnp.where(state.updates % hold == 0, fresh, state.noise)
        told = {f"meta_{name}": x for name, x in squashed(base).items()} | {"reward_gain": medium - slow}
        after = State(inner, base, noise, medium, slow, state.updates + 1)
        return after, info._replace(metrics={**info.metrics, **told})

    return Agent(init, actor, example.begin, act, update, example.stored)
