"""A hierarchy of two agents: the higher one sets goals for the lower one. With two TD3s this is HIRO.

Nachum, Gu, Lee and Levine, "Data-efficient hierarchical reinforcement learning", NeurIPS 2018. Goals are displacements
of a part of the observation, s. Every c steps, and when an episode begins, the higher level sets a goal
g_t = μ_hi(s_t); in between it stays the same place, seen from where one is:

    g_t = h(s_{t-1}, g_{t-1}, s_t) = s_{t-1} + g_{t-1} - s_t
    lower level:   (s_t, g_t) -> a_t,   r_lo = -‖s_t + g_t - s_{t+1}‖
    higher level:  (s_t, g̃_t, R = β Σ_{i<c} r_{t+i}, s_{t+c}),   g̃_t = losses.relabel_goals(g_t)

The lower level bootstraps from the goal that its next row has, also where that is a new one: its episodes do not end
with a goal. The higher level learns from a goal for which the lower level of today would have acted as it then did.

Either agent is any other's equal: it sees a dict, the lower one of `observation` and `desired_goal`, the higher one of
what the task shows but the achieved goal, and learns from windows of two rows that it could have made itself. One
update is one of the higher level and c of the lower, the ratio of the paper, where the former learns once in c steps of
the environment and the latter in every one.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from agents.base import FIRST, MID, Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, select, valid
from envs.base import Box, Spec
from replay.relabel import n_step


class State(NamedTuple):
    """What the two levels learn."""

    high: Any
    low: Any

    @property
    def params(self) -> tuple[Any, Any]:
        """What is learned by gradient."""
        return self.high.params, self.low.params


class Actor(NamedTuple):
    """What acting needs."""

    high: Any
    low: Any


class Carry(NamedTuple):
    """Memory of the lanes, `[B, ...]`."""

    goal: Array  # of the last row
    state: Array  # of the last row
    phase: Array  # int32, rows since the goal was set
    high: Any
    low: Any


class Subgoals(NamedTuple):
    """What the goals of a hierarchy are about."""

    low: Any  # bounds, numbers [D]; the first D entries of `observation` are the state that goals displace
    high: Any
    hidden: int = 0
    """So many first entries of `observation` the lower level does not see, such as where it is: goals are relative."""
    embed: Callable[[Any, Array], Array] | None = None
    """`(actor of the higher level, observation[..., N]) -> state[..., D]` in place of the first D entries, where goals
    displace something learned, as in FuN (Vezhnevets et al., ICML 2017)."""

    @property
    def size(self) -> int:
        """D."""
        return len(self.low)

    def space(self) -> Box:
        """The actions of the higher level."""
        return Box((self.size,), np.asarray(self.low, np.float32), np.asarray(self.high, np.float32))

    def lower(self, spec: Spec) -> Spec:
        """The task of the lower level."""
        return spec._replace(observation={"observation": spec.observation["observation"], "desired_goal": self.space()})

    def higher(self, spec: Spec) -> Spec:
        """The task of the higher level."""
        seen = {name: space for name, space in spec.observation.items() if name != "achieved_goal"}
        return spec._replace(observation=seen, action=self.space())


def hierarchy(
    high: Agent,
    low: Agent,
    goals: Subgoals,
    actions: Box,
    *,
    period: int = 10,
    reward_scale: float | Array = 0.1,
    correction: bool = True,
    moving: bool = True,
    reward: Literal["distance", "direction"] = "distance",
    at_goal: float = 1e-4,
) -> Agent:
    """The hierarchical agent. It learns from windows of `period` transitions made by `replay.segments(period)`.

    Args:
      high: acts within `goals.space()`, on `goals.higher(spec)`.
      low: acts within the task's bounds, on `goals.lower(spec)`.
      goals: what they are about.
      actions: the task's.
      period: c, steps for which a goal is followed.
      reward_scale: β.
      correction: learn from goals that explain what was done; else from those that were set.
      moving: goals move with the state, by h; else a goal is the same displacement from wherever one is, as in FuN.
      reward: of the lower level: minus the distance to the goal, or FuN's cosine between the goal and the move.
      at_goal: a lower level that gets this close to its goal does not bootstrap there (released code).
    """
    size, hidden = goals.size, goals.hidden
    half = (np.asarray(actions.high, np.float32) - np.asarray(actions.low, np.float32)) / 2
    intrinsic = {"distance": losses.goal_reward, "direction": losses.direction_reward}[reward]

    def state_of(actor: Any, timestep: TimeStep) -> Array:
        observation = timestep.observation["observation"]
        return goals.embed(actor, observation) if goals.embed else observation[..., :size]

    def seen_above(timestep: TimeStep) -> TimeStep:
        seen = {name: x for name, x in timestep.observation.items() if name != "achieved_goal"}
        return timestep._replace(observation=seen)

    def masked(observation: Array) -> Array:
        shown = (np.arange(observation.shape[-1]) >= hidden).astype(np.float32)
        return observation * shown.reshape((1,) * (observation.ndim - 1) + (-1,))

    def seen_below(timestep: TimeStep, goal: Array) -> TimeStep:
        seen = {"observation": masked(timestep.observation["observation"]), "desired_goal": goal}
        return timestep._replace(observation=seen)

    def init(key: Key, timestep: TimeStep) -> State:
        k_high, k_low = jax.random.split(key)
        goal = jnp.zeros((*timestep.step_type.shape, size))
        return State(high.init(k_high, seen_above(timestep)), low.init(k_low, seen_below(timestep, goal)))

    def begin(batch: int) -> Carry:
        nothing = jnp.zeros((batch, size))
        return Carry(nothing, nothing, jnp.zeros(batch, jnp.int32), high.begin(batch), low.begin(batch))

    def act(actor: Actor, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        k_high, k_low = jax.random.split(key)
        state, phase = state_of(actor.high, timestep), carry.phase + 1
        new = timestep.first() | (phase >= period)
        goal, after, _ = high.act(actor.high, k_high, carry.high, seen_above(timestep), explore)
        followed = losses.goal_transition(carry.state, carry.goal, state) if moving else carry.goal
        goal, phase = select(new, goal, followed), jnp.where(new, 0, phase)
        action, below, _ = low.act(actor.low, k_low, carry.low, seen_below(timestep, goal), explore)
        carry = Carry(goal, state, phase, select(new, after, carry.high), below)
        return action, carry, {"goal": goal, "phase": phase}

    def follow(actor: Any) -> Callable[[Array, Array, Array], Array]:
        """The log-likelihood of actions under the lower policy, `[...]`."""

        def log_prob(observation: Array, goal: Array, a: Array) -> Array:
            rows = a.shape[0]
            seen = {"observation": observation, "desired_goal": goal}
            timestep = TimeStep(jnp.full(rows, MID, jnp.int8), jnp.zeros(rows), jnp.ones(rows), seen)
            mean, _, _ = low.act(actor, jax.random.key(0), low.begin(rows), timestep, False)
            return losses.action_log_prob(mean, a, jnp.asarray(half.reshape((1,) * (a.ndim - half.ndim) + half.shape)))

        return log_prob

    def relabelled(actor: Actor, key: Key, steps: Step, within: Array) -> losses.Relabelled:
        """Goals `[N]` to learn from, of windows `[c + 1, N]`."""
        goal = steps.extras["goal"][0]
        space, observation = goals.space(), steps.timestep.observation["observation"]
        log_prob = follow(actor.low)

        def one(observation: Array, a: Array, goal: Array, key: Key, state: Array, within: Array) -> losses.Relabelled:
            return losses.relabel_goals(
                log_prob, observation, a, goal, key,
                low=jnp.asarray(space.low), high=jnp.asarray(space.high), states=state, within=within,
            )  # fmt: skip

        lanes = (masked(observation), steps.action[:-1], goal, jax.random.split(key, goal.shape[0]))
        return jax.vmap(one, (1, 1, 0, 0, 1, 1))(*lanes, state_of(actor.high, steps.timestep), within)

    def above(key: Key, actor: Actor, sample: Sample) -> tuple[Sample, Array]:
        """What the higher level learns from, and the share of windows that it learns from another goal in."""
        steps = sample.steps
        whole = (steps.extras["phase"][0] == 0) & valid(steps)[0]
        within = jnp.cumprod(valid(steps).astype(jnp.int32), axis=0) == 1
        within = within & (steps.extras["phase"][:-1] == jnp.arange(period)[:, None])
        goal, changed = steps.extras["goal"][0], jnp.float32(0)
        if correction:
            goal, candidate = relabelled(actor, key, steps, within)
            changed = jnp.mean(candidate > 0)
        ends = n_step(period, 1.0)(steps, key)
        timestep = seen_above(ends.timestep)
        kind = timestep.step_type
        timestep = timestep._replace(
            step_type=jnp.stack([kind[0], jnp.where(whole, kind[1], FIRST)]), reward=reward_scale * timestep.reward
        )
        return sample._replace(steps=Step(timestep, jnp.stack([goal, goal]))), changed

    def below(actor: Any, start: Array, sample: Sample) -> Sample:
        """What the lower level learns from: of every window the transition that begins at row `start`, `[N]`."""
        lane = jnp.arange(start.shape[0])
        rows = jnp.stack([start, start + 1])
        pair: Step = jax.tree.map(lambda x: x[rows, lane[None]], sample.steps)
        goal, state = pair.extras["goal"], state_of(actor, pair.timestep)
        paid = intrinsic(state[0], goal[0], state[1])
        away = losses.goal_distance(state[0], goal[0], state[1]) > at_goal
        timestep = seen_below(pair.timestep, goal)
        timestep = timestep._replace(
            reward=jnp.stack([jnp.zeros_like(paid), paid]),
            discount=timestep.discount * jnp.stack([jnp.ones_like(away), away]),
        )
        return sample._replace(steps=Step(timestep, pair.action))

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        if sample.steps.timestep.reward.shape[0] != period + 1:
            length = sample.steps.timestep.reward.shape[0] - 1
            raise ValueError(f"windows have {length} transitions; a hierarchy of period {period} takes as many")
        k_low, k_start, k_relabel, k_high = jax.random.split(key, 4)
        lanes = sample.steps.timestep.reward.shape[1]
        offset = jax.random.randint(k_start, (lanes,), 0, period)
        setter = high.actor(state.high)

        def learn(inner: Any, each: tuple[Key, Array]) -> tuple[Any, Any]:
            inner, info = low.update(inner, each[0], below(setter, (offset + each[1]) % period, sample))
            return inner, dict(info.metrics)

        inner, metrics = jax.lax.scan(learn, state.low, (jax.random.split(k_low, period), jnp.arange(period)))
        windows, changed = above(k_relabel, Actor(setter, low.actor(inner)), sample)
        outer, info = high.update(state.high, k_high, windows)
        told = {f"low_{name}": jnp.mean(x) for name, x in metrics.items()}
        told |= {f"high_{name}": x for name, x in info.metrics.items()}
        told |= {"loss": told["low_loss"] + told["high_loss"], "relabelled": changed}
        return State(outer, inner), Info(told)

    return Agent(init, lambda s: Actor(high.actor(s.high), low.actor(s.low)), begin, act, update)
