"""Meta-learning shared hierarchies: policies that all tasks share, and a master of each task that chooses among them.

Frans, Ho, Chen, Abbeel and Schulman, "Meta learning shared hierarchies", ICLR 2018. Every N steps the master θ_i of
task i chooses one of K sub-policies φ, which acts until the next choice. A task begins with a fresh θ_i, and then

    for W windows (warm-up):   θ_i learns by PPO from the choices, each paid the sum of the N rewards that follow
    for U windows (joint):     the same, and φ learns by PPO from all steps, for which the choice is a part of the state

so that φ learns from what a master that has learned its task asks for. Lanes are tasks, each at its own place of its
trial: φ always finds some task in its joint windows, and learns from `joint_lanes` of them. The task tells where it
begins (`envs.families.announced`); its episodes are of one length.

High and low level are any agents that learn from `replay.on_policy`, such as PPO, with networks as those of
`agents.common.masters`. The high one sees a window of its own choices, the low one a dict of `observation` and
`choice`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import FIRST, Agent, Array, Info, Key, Sample, Step, TimeStep, select, valid
from agents.common.masters import choices


class State(NamedTuple):
    """What is learned, and where the lanes are in their trials."""

    high: Any  # states of the masters, [N, ...]
    low: Any
    start: Any  # the state that evaluation begins with, of a master that has learned nothing
    phase: Array  # int32 [N], windows since the task began
    returns: Array  # [W + U], running means over tasks of an episode's return, by the phase
    visited: Array  # bool [W + U]
    told: dict[str, Array]


class Actor(NamedTuple):
    """What acting needs."""

    high: Any  # [N, ...]
    low: Any
    start: Any


class Carry(NamedTuple):
    """Memory of the lanes, `[B]`."""

    choice: Array
    steps: Array  # that it has been followed for


def mlsh(
    high: Agent,
    low: Agent,
    *,
    horizon: int,
    episodes: int,
    period: int = 10,
    warmup: int = 60,
    joint: int = 2,
    joint_lanes: int = 1,
    rate: float | Array = 0.1,
    bootstrap: bool = False,
) -> Agent:
    """The agent; learns from `replay.on_policy(episodes * (horizon + 1))`, of lanes that each play a task of their own.

    Where it does not explore, a master that has learned nothing chooses, and everyone acts by their mode.

    Args:
      high: chooses among K; without memory, see `masters.unsure`.
      low: acts, on dicts of `observation` and `choice`; without memory, see `masters.gated`.
      horizon: steps of an episode.
      episodes: of a window.
      period: N.
      warmup: W.
      joint: U.
      joint_lanes: lanes in their joint windows that φ learns from in an update, if there are as many.
      rate: of the running means of returns.
      bootstrap: expect rewards beyond an episode's end, which is a time limit; the authors' code expects none.
    """
    macro_rows = episodes * (-(-horizon // period) + 1)
    cycle = warmup + joint
    names = ("loss", "policy_loss", "value_loss", "entropy", "approx_kl", "gradient_norm", "learning_rate")

    def seen_above(timestep: TimeStep) -> TimeStep:
        return timestep._replace(observation=timestep.observation["observation"])

    def seen_below(timestep: TimeStep, choice: Array) -> TimeStep:
        return timestep._replace(observation={"observation": timestep.observation["observation"], "choice": choice})

    def masters(key: Key, timestep: TimeStep) -> Any:
        """Fresh ones, `[N, ...]`."""
        one = jax.tree.map(lambda x: x[:1], seen_above(timestep))
        return jax.vmap(lambda key: high.init(key, one))(jax.random.split(key, timestep.reward.shape[0]))

    def init(key: Key, timestep: TimeStep) -> State:
        k_high, k_low, k_start = jax.random.split(key, 3)
        lanes = timestep.reward.shape[0]
        choice = jnp.zeros(lanes, jnp.int32)
        told = {f"{level}_{name}": jnp.float32(0) for level in ("high", "low") for name in names}
        return State(
            masters(k_high, timestep),
            low.init(k_low, seen_below(timestep, choice)),
            jax.tree.map(lambda x: x[0], masters(k_start, timestep)),
            jnp.zeros(lanes, jnp.int32),
            jnp.zeros(cycle),
            jnp.zeros(cycle, bool),
            told,
        )

    def actor(state: State) -> Actor:
        return Actor(high.actor(state.high), low.actor(state.low), high.actor(state.start))

    def begin(batch: int) -> Carry:
        nothing = jnp.zeros(batch, jnp.int32)
        return Carry(nothing, nothing)

    def act(actor: Actor, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Array, Carry, Any]:
        k_high, k_low = jax.random.split(key)
        above, lanes = seen_above(timestep), timestep.reward.shape[0]

        def one(actor: Any, key: Key, timestep: TimeStep) -> tuple[Array, Any]:
            lifted = jax.tree.map(lambda x: x[None], timestep)
            choice, _, extras = high.act(actor, key, (), lifted, explore)
            return jax.tree.map(lambda x: x[0], (choice, extras))

        if explore:
            chosen, extras = jax.vmap(one)(actor.high, jax.random.split(k_high, lanes), above)
        else:
            chosen, _, extras = high.act(actor.start, k_high, (), above, False)
        new = timestep.first() | (carry.steps >= period)
        choice = jnp.where(new, chosen, carry.choice).astype(jnp.int32)
        steps = jnp.where(new, 0, carry.steps) + 1
        action, _, below = low.act(actor.low, k_low, (), seen_below(timestep, choice), explore)
        return action, Carry(choice, steps), {"choice": choice, "new": new, "high": extras, "low": below}

    def learned_below(state: State, key: Key, steps: Step, joins: Array) -> tuple[Any, dict[str, Array]]:
        """The shared policies after learning from some lanes that are in their joint windows, if any is."""
        lanes = jnp.argsort(~joins, stable=True)[:joint_lanes]
        some = jax.tree.map(lambda x: x[:, lanes], steps)
        left_out = ~joins[lanes]
        kinds = jnp.where(left_out[None], FIRST, some.timestep.step_type).astype(some.timestep.step_type.dtype)
        timestep = seen_below(some.timestep._replace(step_type=kinds), some.extras["choice"])
        window = Sample(Step(timestep, some.action, some.extras["low"]))

        def learn(_: Any, learned: tuple[Any, dict[str, Array]]) -> tuple[Any, dict[str, Array]]:
            after, info = low.update(learned[0], key, window)
            return after, {f"low_{name}": jnp.asarray(info.metrics[name], jnp.float32) for name in names}

        before = {f"low_{name}": state.told[f"low_{name}"] for name in names}
        # A loop of no trips, rather than a condition, is left out in runs side by side as well.
        return jax.lax.fori_loop(0, jnp.any(joins).astype(jnp.int32), learn, (state.low, before))

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_fresh, k_high, k_low = jax.random.split(key, 3)
        steps = sample.steps._replace(carry=())
        if not bootstrap:
            onward = jnp.where(steps.timestep.last(), 0.0, steps.timestep.discount)
            steps = steps._replace(timestep=steps.timestep._replace(discount=onward))
        lanes = steps.timestep.reward.shape[1]
        phase = state.phase
        window = choices(steps._replace(timestep=seen_above(steps.timestep)), macro_rows)
        alone = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0)[:, :, None], window)
        learn = jax.vmap(lambda state, key, steps: high.update(state, key, Sample(steps)))
        after, info = learn(state.high, jax.random.split(k_high, lanes), alone)
        joins = (phase >= warmup) & (phase < cycle)
        below, told = learned_below(state, k_low, steps, joins)
        told |= {f"high_{name}": jnp.mean(info.metrics[name]) for name in names}
        # The row that the next window opens with tells whether it is of a new task.
        new = steps.timestep.observation["new_task"][-1, :, 0] > 0
        opening = jax.tree.map(lambda x: x[-1], steps.timestep)
        begun = lambda _, before: select(new, masters(k_fresh, opening), before)  # noqa: E731
        after = jax.lax.fori_loop(0, jnp.any(new).astype(jnp.int32), begun, after)
        gain = jnp.sum(steps.timestep.reward[1:] * valid(steps), axis=0) / episodes
        place = jax.nn.one_hot(jnp.where(phase < cycle, phase, cycle), cycle)
        count = jnp.sum(place, axis=0)
        mean = (gain @ place) / jnp.maximum(count, 1)
        moved = jnp.where(state.visited, state.returns + rate * (mean - state.returns), mean)
        returns = jnp.where(count > 0, moved, state.returns)
        phase = jnp.where(new, 0, phase + 1).astype(jnp.int32)
        first, last = returns[0], returns[max(warmup - 1, 0)]
        told |= {"return_first": first, "return_last": last, "gain": last - first, "joint": jnp.mean(joins)}
        told |= {"loss": told["high_loss"] + told["low_loss"]}
        kept = {name: told[name] for name in state.told}
        return State(after, below, state.start, phase, returns, state.visited | (count > 0), kept), Info(told)

    return Agent(init, actor, begin, act, update)
