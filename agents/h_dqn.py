"""h-DQN: a meta-controller chooses which object to go for, a controller is paid for reaching it; both are DQNs.

Kulkarni, Narasimhan, Saeedi and Tenenbaum, "Hierarchical deep reinforcement learning: integrating temporal abstraction
and intrinsic motivation", NeurIPS 2016. A goal g is pursued until it is reached, or `patience` steps have passed:

    controller        Q₁(s, a; g) ← 1[g reached] + γ max_a' Q₁(s', a'; g),      no bootstrap where the attempt is over
    meta-controller   Q₂(s, g) ← Σ_{i<k} r_{t+i} + γ max_g' Q₂(s_{t+k}, g')     after the k steps of an attempt

What the goals are, and when one is reached or missed, is the task's (`envs.base.Subgoals.outcome`); of its teacher
nothing is used. The controller explores goal by goal, with probability 1 - the share of late attempts that succeeded,
which each lane counts by itself, and with no more than its own ε. The paper's loss is Huber's and its targets are
plain; here both DQNs are what they are given as. Either is handed windows of two rows that it could have made itself.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import FIRST, Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, select, valid
from agents.hierarchy import Actor, State
from envs.base import Discrete, Spec, Subgoals, blank


class Carry(NamedTuple):
    """Memory of the lanes, `[B, ...]`."""

    goal: Array  # int32, of the last row
    phase: Array  # int32, rows since it was chosen
    seen: Tree  # the observation of the last row
    success: Array  # [B, G], of late attempts at each goal


def divided(spec: Spec) -> Subgoals:
    """The task's subgoals.

    Raises:
      ValueError: it has none.
    """
    if spec.subgoals is None:
        raise ValueError(f"{spec.name}: needs a task with subgoals")
    return spec.subgoals


def lower(spec: Spec) -> Spec:
    """The controller's task: what is observed, and the goal."""
    seen = spec.observation if isinstance(spec.observation, dict) else {"observation": spec.observation}
    return spec._replace(observation={**seen, "goal": Discrete(divided(spec).num)})


def higher(spec: Spec) -> Spec:
    """The meta-controller's task, whose actions are goals."""
    return spec._replace(action=Discrete(divided(spec).num))


def told(observation: Tree, goal: Array) -> dict[str, Array]:
    """What the controller sees."""
    return {**(observation if isinstance(observation, dict) else {"observation": observation}), "goal": goal}


def h_dqn(
    high: Agent,
    low: Agent,
    spec: Spec,
    *,
    patience: int = 20,
    least: float | Array = 0.1,
    memory: float | Array = 0.05,
    intrinsic: bool = True,
) -> Agent:
    """The hierarchical agent. It learns from windows of `patience` transitions made by `replay.segments(patience)`.

    Args:
      high: a DQN on `higher(spec)`.
      low: a DQN on `lower(spec)`, whose actor's `epsilon` is the most that it explores by.
      spec: of a task with subgoals.
      patience: steps after which a goal that is not reached is given up.
      least: the smallest probability of a random action of the controller while exploring.
      memory: weight of the newest attempt in the share of successes.
      intrinsic: pay the controller for reaching its goal; else it is paid what the task pays, an ablation.

    Raises:
      ValueError: the task has no subgoals; from `update`, windows have another length.
    """
    subgoals = divided(spec)
    outcome = jax.vmap(subgoals.outcome)

    def init(key: Key, timestep: TimeStep) -> State:
        k_high, k_low = jax.random.split(key)
        goal = jnp.zeros(timestep.step_type.shape, jnp.int32)
        below = timestep._replace(observation=told(timestep.observation, goal))
        return State(high.init(k_high, timestep), low.init(k_low, below))

    def begin(batch: int) -> Carry:
        zeros = jnp.zeros(batch, jnp.int32)
        seen = jax.tree.map(jnp.asarray, blank(spec, batch).observation)
        return Carry(zeros, zeros, seen, jnp.zeros((batch, subgoals.num)))

    def act(actor: Actor, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Tree, Carry, Any]:
        k_high, k_low = jax.random.split(key)
        seen, first, phase = timestep.observation, timestep.first(), carry.phase + 1
        over, reached = outcome(carry.seen, carry.goal, seen)
        ended = over | (phase >= patience)
        counts = (ended & ~first)[:, None] & (jnp.arange(subgoals.num)[None] == carry.goal[:, None])
        newest = (over & reached).astype(jnp.float32)[:, None]
        success = jnp.where(counts, carry.success + memory * (newest - carry.success), carry.success)
        chosen, _, _ = high.act(actor.high, k_high, (), timestep, explore)
        goal, phase = select(first | ended, (chosen, jnp.zeros_like(phase)), (carry.goal, phase))
        share = jnp.take_along_axis(success, goal[:, None], axis=1)[:, 0]
        careful = actor.low._replace(epsilon=jnp.clip(1.0 - share, least, jnp.maximum(actor.low.epsilon, least)))
        action, _, _ = low.act(careful, k_low, (), timestep._replace(observation=told(seen, goal)), explore)
        return action, Carry(goal, phase, seen, success), {"goal": goal, "phase": phase}

    def above(sample: Sample) -> Sample:
        """What the meta-controller learns from: of every window the attempt that it begins with."""
        steps, lane = sample.steps, jnp.arange(sample.steps.timestep.reward.shape[1])
        real = valid(steps)
        own = real & (steps.extras["phase"][:-1] == jnp.arange(patience)[:, None])
        within = jnp.cumprod(own.astype(jnp.int32), axis=0)
        whole, end = within[0] == 1, jnp.sum(within, axis=0)
        pair = jax.tree.map(lambda x: jnp.stack([x[0], x[end, lane]]), steps.timestep)
        paid = jnp.sum(jnp.where(within == 1, steps.timestep.reward[1:], 0.0), axis=0)
        kind = jnp.stack([pair.step_type[0], jnp.where(whole, pair.step_type[1], FIRST)])
        timestep = pair._replace(step_type=kind, reward=jnp.stack([jnp.zeros_like(paid), paid]))
        goal = steps.extras["goal"][0]
        return sample._replace(steps=Step(timestep, jnp.stack([goal, goal])))

    def below(start: Array, sample: Sample) -> Sample:
        """What the controller learns from: of every window the transition that begins at row `start`, `[N]`."""
        lane = jnp.arange(start.shape[0])
        pair: Step = jax.tree.map(lambda x: jnp.stack([x[start, lane], x[start + 1, lane]]), sample.steps)
        seen, goal = pair.timestep.observation, pair.extras["goal"][0]
        before, after = (jax.tree.map(lambda x, i=i: x[i], seen) for i in (0, 1))
        over, reached = outcome(before, goal, after)
        paid = (over & reached).astype(jnp.float32) if intrinsic else pair.timestep.reward[1]
        timestep = pair.timestep._replace(
            reward=jnp.stack([jnp.zeros_like(paid), paid]),
            discount=pair.timestep.discount * jnp.stack([jnp.ones_like(paid), 1.0 - over]),
            observation=told(seen, jnp.stack([goal, goal])),
        )
        return sample._replace(steps=Step(timestep, pair.action))

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        rows, lanes = sample.steps.timestep.reward.shape
        if rows != patience + 1:
            raise ValueError(f"windows have {rows - 1} transitions; h-DQN with a patience of {patience} takes as many")
        k_start, k_low, k_high = jax.random.split(key, 3)
        start = jax.random.randint(k_start, (lanes,), 0, patience)
        inner, info_low = low.update(state.low, k_low, below(start, sample))
        outer, info_high = high.update(state.high, k_high, above(sample))
        metrics = {f"low_{name}": x for name, x in info_low.metrics.items()}
        metrics |= {f"high_{name}": x for name, x in info_high.metrics.items()}
        return State(outer, inner), Info({**metrics, "loss": metrics["low_loss"] + metrics["high_loss"]})

    return Agent(init, lambda s: Actor(high.actor(s.high), low.actor(s.low)), begin, act, update)
