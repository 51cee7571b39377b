"""Hierarchical imitation on tables: hierarchical cloning, hierarchically guided DAgger, and DAgger above Q-learning.

Le, Jiang, Agarwal, Dudík, Yue and Daumé III, "Hierarchical imitation and reinforcement learning", ICML 2018. A task
falls into subgoals. A table μ(s) chooses one, and a table π_g(s) acts towards it until it is reached or missed.

    h-BC          the teacher plays; μ and all π_g are taught throughout
    hg-DAgger     the learner plays; where an episode fails, μ is corrected along it, and π_g on those of its segments
                  that had the right subgoal and did not reach it
    hg-DAgger/Q   μ is taught so, and π_g learns by itself: Q-learning from +1 at the subgoal and -1 where another exit
                  was taken, on segments with the right subgoal alone

With Q-learning above too it is hierarchical Q-learning; on the task as a single subgoal (`Subgoals.whole`) it is
flat cloning, flat DAgger or flat Q-learning. What the teacher is asked is in `agents.common.teaching`. Taught tables
take the answer that was given most often in a situation, or else in those that its next coarser number does not tell
apart, or else the first; they act without chance, so that what fails in a test fails in training too.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.base import FIRST, LAST, Agent, Array, Info, Key, Sample, TimeStep, valid
from agents.common import teaching
from agents.common.teaching import Record, Rule
from envs import parallel
from envs.base import Box, Discrete, Keys, Spec, Subgoals

Learner = Literal["labels", "q"]


class Costs(NamedTuple):
    """What has been asked and played so far; float32."""

    high: Array  # answers about subgoals
    low: Array  # answers about actions
    inspections: Array  # episodes and segments of which the teacher told success alone
    samples: Array  # steps that options learned from by themselves
    useful: Array  # of them those towards the teacher's subgoal


class Segment(NamedTuple):
    """Of the subgoal that a lane pursues, for learning by Q above; scalars."""

    key: Array  # where it was chosen
    goal: Array
    paid: Array  # discounted reward since
    factor: Array  # discount of what follows


class State(NamedTuple):
    """Everything that is learned and counted."""

    high: tuple[Array, ...]  # votes `[K, G]` for each of the numbers, or values alone
    low: tuple[Array, ...]  # votes `[K, A]`, or values
    record: Record  # [B]
    segment: Segment  # [B]
    costs: Costs
    episodes: Array  # int32, ended
    clock: Array  # int32, transitions


class Actor(NamedTuple):
    """What acting needs."""

    high: tuple[Array, ...]
    low: tuple[Array, ...]
    taught: Array  # bool: episodes that begin are played by the teacher
    epsilon: Array


class Carry(NamedTuple):
    """Of a lane: the subgoal, for how many steps, what was seen last, and who plays."""

    goal: Array
    age: Array
    seen: Any
    taught: Array


def table(kind: Learner, keys: Keys, width: int) -> tuple[Array, ...]:
    """Of zeros: votes for every number of a situation, or values for the finest."""
    sizes = keys.sizes if kind == "labels" else keys.sizes[:1]
    return tuple(jnp.zeros((size, width)) for size in sizes)


def scores(tables: tuple[Array, ...], keys: tuple[Array, ...]) -> Array:
    """The row `[N]` of the finest table that knows something of the situation; zeros if none does."""
    row = tables[-1][keys[len(tables) - 1]]
    for each, key in reversed(list(zip(tables[:-1], keys, strict=False))):
        row = jnp.where(jnp.any(each[key] != 0), each[key], row)
    return row


def h_dagger(
    spec: Spec,
    *,
    flat: bool = False,
    high: Learner = "labels",
    low: Learner = "labels",
    rule: Rule = "guided",
    corrected: bool = False,
    teacher_plays: bool = False,
    warmup: int = 20,
    patience: int = 12,
    stop: bool = True,
    learning_rate: float | Array = 0.2,
    discount: float | Array = 0.95,
    epsilon: float | Array | optax.Schedule = 0.1,
) -> Agent:
    """The agent; learns from `replay.on_policy`, on one device.

    Args:
      spec: of a task with subgoals and a time limit, whose observation is one array.
      flat: whether to take the task as one single subgoal.
      high: how subgoals are learned.
      low: how actions are.
      rule: by which the teacher is asked about an episode.
      corrected: whether its actions are those towards its own subgoal, whichever was chosen.
      teacher_plays: whether it plays all episodes, as in cloning.
      warmup: episodes that it plays at first, if it teaches at all; where actions are learned by Q, it chooses subgoals
        in them and no actions.
      patience: steps after which a subgoal that is neither reached nor missed is chosen anew.
      stop: whether, where actions are learned by Q, an episode is given up at a wrong subgoal, if the task allows it.
      learning_rate: of Q.
      discount: of Q.
      epsilon: probability of a random subgoal, and of a random action, of what is learned by Q; or a schedule of it
        over transitions.

    Raises:
      ValueError: the task has no subgoals, no time limit, or another kind of observation or action.
    """
    divided, space, rows = spec.subgoals, spec.observation, spec.time_limit
    if divided is None or rows is None or not isinstance(space, Box) or not isinstance(spec.action, Discrete):
        raise ValueError(f"{spec.name}: needs subgoals, a time limit, discrete actions and one array as observation")
    subgoals: Subgoals = divided.whole if flat else divided
    actions = spec.action.num - (subgoals.give_up is not None)
    watches = stop and high == "labels" and low == "q" and subgoals.give_up is not None and subgoals.num > 1
    teaches = "labels" in (high, low)

    def init(key: Key, timestep: TimeStep) -> State:
        del key
        lanes, zero = timestep.reward.shape[0], jnp.float32(0)
        each = lambda tree: jax.tree.map(lambda x: jnp.broadcast_to(x, (lanes, *x.shape)), tree)  # noqa: E731
        segment = Segment(jnp.int32(0), jnp.int32(0), zero, zero)
        return State(
            table(high, subgoals.high, subgoals.num),
            table(low, subgoals.low, actions),
            each(teaching.blank(subgoals, rows)),
            each(segment),
            Costs(*(jnp.float32(0) for _ in Costs._fields)),
            jnp.int32(0),
            jnp.int32(0),
        )

    def actor(state: State) -> Actor:
        rate = epsilon(state.clock) if callable(epsilon) else epsilon
        taught = jnp.bool_(teacher_plays) | (teaches & (state.episodes < warmup))
        return Actor(state.high, state.low, taught, jnp.asarray(rate, jnp.float32))

    def begin(batch: int) -> Carry:
        zeros = jnp.zeros(batch, jnp.int32)
        return Carry(zeros, zeros, jnp.zeros((batch, *space.shape), space.dtype), jnp.zeros(batch, bool))

    def pick(key: Key, kind: Learner, row: Array, epsilon: Array, explore: bool) -> Array:
        """The best of `row[N]`; of values, ties are broken at random when exploring."""
        if not explore or kind == "labels":
            return jnp.argmax(row).astype(jnp.int32)
        u = jax.random.uniform(key, (row.size + 1,))
        best = jnp.argmax(jnp.where(row >= jnp.max(row), u[1:], -1.0))
        return jnp.where(u[0] < epsilon, jnp.argmax(u[1:]), best).astype(jnp.int32)

    def act_lane(actor: Actor, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Array, Carry, Any]:
        k_goal, k_action = jax.random.split(key)
        seen, first = timestep.observation, timestep.step_type == FIRST
        over, _ = subgoals.outcome(carry.seen, carry.goal, seen)
        taught = jnp.where(first, actor.taught, carry.taught) & explore
        decided = first | over | (carry.age >= patience)
        chosen = pick(k_goal, high, scores(actor.high, subgoals.high.of(seen)), actor.epsilon, explore)
        right = subgoals.right(seen)
        goal = jnp.where(decided, jnp.where(taught, right, chosen), carry.goal)
        action = pick(k_action, low, scores(actor.low, subgoals.low.of(seen, goal)), actor.epsilon, explore)
        if low == "labels":
            action = jnp.where(taught, subgoals.action(seen, goal), action)
        if watches and explore and subgoals.give_up is not None:
            action = jnp.where(~taught & (goal != right), subgoals.give_up, action)
        carry = Carry(goal, jnp.where(decided, 1, carry.age + 1), seen, taught)
        return action, carry, {"subgoal": goal, "decided": decided, "taught": taught}

    def act(actor: Actor, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Array, Carry, Any]:
        keys = jax.random.split(key, timestep.reward.shape[0])
        lane = lambda k, c, t: act_lane(actor, k, c, t, explore)  # noqa: E731
        return jax.vmap(lane)(keys, carry, timestep)

    def voted(tables: tuple[Array, ...], keys: tuple[Array, ...], label: Array, mask: Array) -> tuple[Array, ...]:
        """Votes with those for `label` `[B, L]` where `mask` holds."""
        return tuple(each.at[key, label].add(mask) for each, key in zip(tables, keys, strict=True))

    def one(state: State, row: tuple) -> tuple[State, Array]:
        """Learns from one transition of every lane."""
        before, action, extras, after, real = row
        note = lambda record, *rows: teaching.noted(record, subgoals, corrected, *rows)  # noqa: E731
        record = jax.vmap(note)(state.record, before, extras, after)
        ask = lambda record, after: teaching.asked(record, subgoals, rule, low == "labels", after)  # noqa: E731
        asked = jax.vmap(ask)(record, after)
        seen, goal = before.observation, extras["subgoal"]
        over, reached = jax.vmap(subgoals.outcome)(seen, goal, after.observation)
        useful = goal == jax.vmap(subgoals.right)(seen)
        gave_up = jnp.zeros_like(real) if subgoals.give_up is None else action == subgoals.give_up
        own = real & ~gave_up & (low == "q")
        learns = own & (useful if high == "labels" else True)
        highs, lows, segment = state.high, state.low, state.segment
        if low == "q":
            next_key = jax.vmap(subgoals.low.of)(after.observation, goal)[0]
            going_on = jnp.where(over, 0.0, discount * after.discount)
            pays = jnp.where(over, jnp.where(reached, 1.0, -1.0), 0.0)
            at = (jax.vmap(subgoals.low.of)(seen, goal)[0], jnp.minimum(action, actions - 1))
            error = pays + going_on * jnp.max(lows[0][next_key], -1) - lows[0][at]
            lows = (lows[0].at[at].add(jnp.where(learns, learning_rate * error, 0.0)),)
        else:
            lows = voted(lows, record.low, record.label, asked.low)
        if high == "q":
            chosen = lambda new, old: jnp.where(extras["decided"], new, old)  # noqa: E731
            here = jax.vmap(subgoals.high.of)(seen)[0]
            fresh = Segment(here, goal, jnp.zeros_like(after.reward), jnp.ones_like(after.reward))
            started = jax.tree.map(chosen, fresh, segment)
            paid = started.paid + started.factor * after.reward
            segment = started._replace(paid=paid, factor=started.factor * discount * after.discount)
            # A segment is closed where it is over and where the next row chooses anew, which is known by its age alone.
            aged = jax.vmap(_age)(record) >= patience
            closes = real & (over | aged | (after.step_type == LAST))
            best = jnp.max(highs[0][jax.vmap(subgoals.high.of)(after.observation)[0]], -1)
            error = segment.paid + segment.factor * best - highs[0][segment.key, segment.goal]
            gain = jnp.where(closes, learning_rate * error, 0.0)
            highs = (highs[0].at[segment.key, segment.goal].add(gain),)
        else:
            highs = voted(highs, record.high, record.right, asked.high)
        gains = (asked.cost_high, asked.cost_low, asked.inspections, own, own & useful)
        costs = Costs(*(cost + jnp.sum(gain) for cost, gain in zip(state.costs, gains, strict=True)))
        ended = jnp.sum(real & (after.step_type == LAST)).astype(jnp.int32)
        clock = state.clock + jnp.sum(real).astype(jnp.int32)
        wrong = jnp.where(real, ~useful, False)
        return State(highs, lows, record, segment, costs, state.episodes + ended, clock), wrong

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        steps, real = sample.steps, valid(sample.steps)
        before, after = (jax.tree.map(lambda x, cut=cut: x[cut], steps.timestep) for cut in (slice(-1), slice(1, None)))
        extras = jax.tree.map(lambda x: x[:-1], steps.extras)
        state, wrong = jax.lax.scan(one, state, (before, steps.action[:-1], extras, after, real))
        costs = state.costs
        metrics = {
            "loss": parallel.masked_mean(wrong.astype(jnp.float32), real),
            "labels": costs.high + costs.low,
            "high_labels": costs.high,
            "low_labels": costs.low,
            "inspections": costs.inspections,
            "useful": costs.useful / jnp.maximum(costs.samples, 1),
            "epsilon": actor(state).epsilon,
        }
        return state, Info(metrics)

    return Agent(init, actor, begin, act, update)


def _age(record: Record) -> Array:
    """Steps since the subgoal was chosen, the one just noted counted; of one lane."""
    rows = jnp.arange(record.decided.size)
    return record.length - jnp.max(jnp.where(record.decided & (rows < record.length), rows, -1))
