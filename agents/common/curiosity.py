"""Rewards from within, around any agent: a module pays a bonus for what it does not know yet.

    r'_t = e r_t + c b_t / σ        b_t = bonus(x_{t-1}, a_{t-1}, x_t), with the module as it was when the agent acted

σ is the standard deviation of the discounted sums R ← γ R + b along each lane, which do not end with episodes (Burda et
al., 2019, "Exploration by random network distillation", section 2.4). `curious` makes the agent that computes bonuses
while it acts and trains the module while it learns; `paying` makes the replay that stores what was paid, so that n-step
returns, relabellings and every learner see one reward.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, valid
from agents.common.moments import Moments, fresh_moments, merge, variance
from envs.base import Spec, blank
from replay.base import Replay


class Module(NamedTuple):
    """What pays the bonus, as five pure functions."""

    init: Callable[[Key, TimeStep], Any]
    """`(key, timestep[B]) -> State`."""

    actor: Callable[[Any], Any]
    """`(State) -> Actor`: what the bonus needs."""

    begin: Callable[[int], Any]
    """`(B) -> Memory` of B lanes, such as counts; `()` if there is none."""

    bonus: Callable[..., tuple[Array, Any]]
    """`(Actor, Memory, x_tm1[B], a_tm1[B], timestep[B]) -> (bonus[B], Memory)`. Of FIRST rows the bonus is not paid."""

    update: Callable[[Any, Key, Step], tuple[Any, dict[str, Array]]]
    """`(State, key, steps[T+1, N]) -> (State, metrics)`: trains on a window."""


class State(NamedTuple):
    """The inner agent's state, the module's, and the moments of the discounted sums of bonuses."""

    inner: Any
    module: Any
    moments: Moments


class Actor(NamedTuple):
    """What acting needs."""

    inner: Any
    module: Any
    scale: Array  # 1 / σ


class Memory(NamedTuple):
    """The memory of a lane: the inner agent's, the module's, the last row, and the discounted sum of bonuses."""

    inner: Any
    module: Any
    observation: Any  # [B, ...]
    action: Any  # [B, ...]
    returns: Array  # [B]


def curious(
    agent: Agent,
    module: Module,
    spec: Spec,
    *,
    coefficient: float | Array = 1.0,
    discount: float = 0.99,
    normalise: bool = True,
) -> Agent:
    """The agent that says with every row what bonus it earned, as `extras["bonus"]`; its replay must be `paying`.

    Args:
      agent: any; wrappers that rewrite rewards go inside.
      module: of the bonus.
      spec: of the task.
      coefficient: c.
      discount: γ of the sums that σ is of.
      normalise: divide by σ.
    """

    def begin(batch: int) -> Memory:
        action = jnp.zeros((batch, *spec.action.shape), spec.action.dtype)
        observation = blank(spec, batch).observation
        return Memory(agent.begin(batch), module.begin(batch), observation, action, jnp.zeros(batch))

    def init(key: Key, timestep: TimeStep) -> State:
        k_agent, k_module = jax.random.split(key)
        return State(agent.init(k_agent, timestep), module.init(k_module, timestep), fresh_moments(jnp.float32(0)))

    def actor(state: State) -> Actor:
        scale = jax.lax.rsqrt(variance(state.moments) + 1e-8) if normalise else jnp.float32(1)
        return Actor(agent.actor(state.inner), module.actor(state.module), scale)

    def act(actor: Actor, key: Key, carry: Memory, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        action, inner, extras = agent.act(actor.inner, key, carry.inner, timestep, explore)
        if not explore:
            return action, carry._replace(inner=inner), extras
        raw, memory = module.bonus(actor.module, carry.module, carry.observation, carry.action, timestep)
        raw = jnp.where(timestep.first(), 0.0, jax.lax.stop_gradient(raw))
        returns = discount * carry.returns + raw
        paid = {"bonus": coefficient * raw * actor.scale, "bonus_sum": returns}
        return action, Memory(inner, memory, timestep.observation, action, returns), {**dict(extras or {}), **paid}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_agent, k_module = jax.random.split(key)
        extras = dict(sample.steps.extras)
        bonus, returns = extras.pop("bonus"), extras.pop("bonus_sum")
        steps = sample.steps._replace(extras=extras)
        inner, info = agent.update(state.inner, k_agent, sample._replace(steps=steps))
        trained, metrics = module.update(state.module, k_module, steps)
        metrics = {**info.metrics, **metrics, "bonus": jnp.mean(bonus[1:])}
        moments = merge(state.moments, returns[1:], valid(sample.steps))
        return State(inner, trained, moments), info._replace(metrics=metrics)

    return Agent(init, actor, begin, act, update, lambda carry: agent.stored(carry.inner))


def paying(replay: Replay, extrinsic: float | Array = 1.0, clip: float | None = None) -> Replay:
    """The replay that stores e r + bonus in place of each row's reward.

    Args:
      replay: any; one that clips rewards itself would clip bonuses too.
      extrinsic: e; 0 learns from bonuses alone.
      clip: bound of r, before it is scaled.
    """

    def add(state: Any, steps: Step, group: Any = 0, priority: Any = None) -> Any:
        given = steps.timestep.reward if clip is None else jnp.clip(steps.timestep.reward, -clip, clip)
        reward = extrinsic * given + steps.extras["bonus"]
        paid = steps._replace(timestep=steps.timestep._replace(reward=reward))
        return replay.add(state, paid, group, priority)

    return replay._replace(add=add, every=None)
