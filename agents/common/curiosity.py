"""Rewards from within, around any agent: a module pays a bonus for what it does not know yet.

    r'_t = e r_t + c b_t / σ        b_t = bonus(x_{t-1}, a_{t-1}, x_t), with the module as it was when the agent acted

σ is the standard deviation of the discounted sums R ← γ R + b along each lane, which do not end with episodes (Burda et
al., 2019, "Exploration by random network distillation", section 2.4). `curious` makes the agent that computes bonuses
while it acts and trains the module while it learns; `paying` makes the replay that stores what was paid, so that n-step
returns, relabellings and every learner see one reward; `rewarded` joins the two. Actor-critics with two values may take
bonuses apart from the task's reward instead (`agents.common.streams`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, select, valid
from agents.common.moments import Moments, fresh_moments, merge, variance
from envs import parallel
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

    measure: Callable[[Any, Step], Any] = lambda state, steps: state
    """`(State, steps[T+1, N]) -> State`: takes a window into statistics of observations alone."""

    pairs: bool = True
    """Whether the bonus reads x_tm1 and a_tm1; otherwise it is given () for both, and lanes do not keep them."""


class State(NamedTuple):
    """The inner agent's state, the module's, and the moments of the discounted sums of bonuses."""

    inner: Any
    module: Any
    moments: Moments
    rows: Any = ()  # float32, transitions measured before learning, where there are any

    @property
    def params(self) -> Any:
        """What the inner agent learns."""
        return self.inner.params


class Actor(NamedTuple):
    """What acting needs."""

    inner: Any
    module: Any
    scale: Array  # 1 / σ


class Memory(NamedTuple):
    """The memory of lanes: the inner agent's, the module's, the last row, and the discounted sum of bonuses."""

    inner: Any
    module: Any
    observation: Any  # [B, ...]; () if the module reads none
    action: Any  # [B, ...]; likewise
    returns: Array  # [B]


def paid(reward: Array, bonus: Array | float, extrinsic: float | Array = 1.0, clip: float | None = None) -> Array:
    """e r + bonus, with r clipped to ±`clip` before."""
    return extrinsic * (reward if clip is None else jnp.clip(reward, -clip, clip)) + bonus


def curious(
    agent: Agent,
    module: Module,
    spec: Spec,
    *,
    coefficient: float | Array = 1.0,
    discount: float = 0.99,
    normalise: bool = True,
    extrinsic: float | Array = 1.0,
    clip: float | None = None,
    apart: bool = False,
    settle: int = 0,
) -> Agent:
    """The agent that says with every row what bonus it earned, as `extras["bonus"]`; its replay must be `paying`.

    Args:
      agent: any; wrappers that rewrite rewards go inside. While it explores it acts on the rewards that it will learn
        from, since its memory or its statistics may read them; when it is evaluated, on the task's part of them.
      module: of the bonus.
      spec: of the task.
      coefficient: c.
      discount: γ of the sums that σ is of.
      normalise: divide by σ.
      extrinsic: e; with what `paying` has.
      clip: bound of r, before it is scaled; as `paying` has it.
      apart: leave rewards to the task, and hand bonuses to an agent that learns from them as a second stream. Then the
        replay is not `paying`.
      settle: transitions at first, of those that updates are shown, from which nobody learns: the module's statistics
        are then of random play.
    """

    def kept(observation: Tree, action: Tree) -> tuple[Any, Any]:
        return (observation, action) if module.pairs else ((), ())

    def begin(batch: int) -> Memory:
        last = kept(blank(spec, batch).observation, jnp.zeros((batch, *spec.action.shape), spec.action.dtype))
        return Memory(agent.begin(batch), module.begin(batch), *last, jnp.zeros(batch))

    def init(key: Key, timestep: TimeStep) -> State:
        k_agent, k_module = jax.random.split(key)
        rows: Any = jnp.float32(0) if settle else ()
        inner, learner = agent.init(k_agent, timestep), module.init(k_module, timestep)
        return State(inner, learner, fresh_moments(jnp.float32(0)), rows)

    def actor(state: State) -> Actor:
        scale = jax.lax.rsqrt(variance(state.moments) + 1e-8) if normalise else jnp.float32(1)
        return Actor(agent.actor(state.inner), module.actor(state.module), scale)

    def seen(timestep: TimeStep, bonus: Array | float) -> TimeStep:
        return timestep if apart else timestep._replace(reward=paid(timestep.reward, bonus, extrinsic, clip))

    def act(actor: Actor, key: Key, carry: Memory, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        if not explore:
            action, inner, extras = agent.act(actor.inner, key, carry.inner, seen(timestep, 0.0), explore)
            return action, carry._replace(inner=inner), extras
        raw, memory = module.bonus(actor.module, carry.module, carry.observation, carry.action, timestep)
        raw = jnp.where(timestep.first(), 0.0, jax.lax.stop_gradient(raw))
        returns = discount * carry.returns + raw
        told = {"bonus": coefficient * raw * actor.scale, "bonus_sum": returns}
        action, inner, extras = agent.act(actor.inner, key, carry.inner, seen(timestep, told["bonus"]), explore)
        after = Memory(inner, memory, *kept(timestep.observation, action), returns)
        return action, after, {**dict(extras or {}), **told}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_agent, k_module = jax.random.split(key)
        extras = dict(sample.steps.extras)
        returns, bonus = extras.pop("bonus_sum"), extras["bonus"] if apart else extras.pop("bonus")
        steps = sample.steps._replace(extras=extras)
        inner, info = agent.update(state.inner, k_agent, sample._replace(steps=steps))
        trained, metrics = module.update(state.module, k_module, steps)
        metrics = {**info.metrics, **metrics, "bonus": jnp.mean(bonus[1:])}
        after = State(inner, trained, merge(state.moments, returns[1:], valid(sample.steps)))
        if settle:
            rows = state.rows + parallel.total(jnp.sum(valid(steps), dtype=jnp.float32))
            still = state._replace(module=module.measure(state.module, steps))
            after = select(state.rows >= settle, after._replace(rows=rows), still._replace(rows=rows))
        return after, info._replace(metrics=metrics)

    return Agent(init, actor, begin, act, update, lambda carry: agent.stored(carry.inner))


def paying(replay: Replay, extrinsic: float | Array = 1.0, clip: float | None = None) -> Replay:
    """The replay that stores e r + bonus in place of each row's reward.

    Args:
      replay: any; one that clips rewards itself would clip bonuses too.
      extrinsic: e; 0 learns from bonuses alone.
      clip: bound of r, before it is scaled.
    """

    def add(state: Any, steps: Step, group: Any = 0, priority: Any = None) -> Any:
        reward = paid(steps.timestep.reward, steps.extras["bonus"], extrinsic, clip)
        steps = steps._replace(timestep=steps.timestep._replace(reward=reward))
        return replay.add(state, steps, group, priority)

    return replay._replace(add=add, every=None)


def rewarded(
    agent: Agent,
    replay: Replay,
    module: Module,
    spec: Spec,
    *,
    extrinsic: float | Array = 1.0,
    clip: float | None = None,
    apart: bool = False,
    **options: Any,
) -> tuple[Agent, Replay]:
    """`curious` agent and `paying` replay, of one mind about what is paid.

    Args:
      agent: any.
      replay: what it learns from.
      module: of the bonus.
      spec: of the task.
      extrinsic: e.
      clip: bound of r.
      apart: whether the agent learns from bonuses as a second stream, with two values; then e and the clipping are its
        own affair.
      **options: of `curious`.

    Raises:
      ValueError: the coefficient or e is below 0.
    """
    for name, value in (("coefficient", options.get("coefficient", 0.0)), ("extrinsic", extrinsic)):
        if isinstance(value, int | float) and value < 0:
            raise ValueError(f"{name}: {value} must be at least 0")
    if apart:
        return curious(agent, module, spec, apart=True, **options), replay
    shared: dict[str, Any] = {"extrinsic": extrinsic, "clip": clip}
    return curious(agent, module, spec, **shared, **options), paying(replay, **shared)
