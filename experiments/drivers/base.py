"""What drivers share: the state of a run, acting on a row, learning from the replay.

A *chunk* is `iterations` times (an unroll of T environment steps in every lane, then U learning steps); all of it on a
static schedule, with the warm-up in `init`, because a condition on a counter in the state would run both branches once
the state is batched over seeds.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Key, Step, TimeStep, Tree
from envs import parallel
from envs.base import Box, Spec
from envs.keys import split
from envs.registry import limiting_option
from replay.base import Replay
from replay.recorded import lend

ENDLESS = 100_000
"""Steps after which an evaluation cuts an episode of a task without a time limit."""


class Finished(NamedTuple):
    """Sums over the episodes that ended since the chunk began, by lane `[B]`."""

    episodes: Array
    returns: Array
    lengths: Array


class Live(NamedTuple):
    """What acting carries from row to row."""

    carry: Any
    returns: Array  # [B], of the episode under way
    lengths: Array  # [B]
    finished: Finished


class RunState(NamedTuple):
    """Everything a run is; saved and restored whole."""

    agent: Any
    env: Any  # () on the host driver
    timestep: Any  # () on the host driver
    live: Live
    replay: Any
    key: Key
    chunks: Array  # int32, chunks done


class Loop(NamedTuple):
    """One run as pure functions; drivers map them over runs and devices."""

    init: Callable[..., RunState]
    step: Callable[[RunState], tuple[RunState, dict[str, Any]]]
    """`(run) -> (run, metrics)`: scalars of the chunk, the agent's and the episodes' number, mean return and length."""
    evaluate: Callable[[Any, Key], dict[str, Any]]
    """`(actor, key) -> {"eval_return", "eval_length"}`, each `[episodes]`; "eval_success" too if the task has goals,
    and "eval_cut", 1 for an episode that was cut at `ENDLESS` steps, if it has no time limit."""
    actor: Callable[[RunState], Any]
    """What `evaluate` needs of a run."""


def warn_of_endless(spec: Spec) -> None:
    """Says on stderr that evaluations may be cut, for a task without a time limit, and what limits it."""
    if spec.time_limit:
        return
    option = limiting_option(spec.name)
    remedy = f"; --env-options {option}=N limits them" if option else ""
    print(
        f"warning: {spec.name} has no time limit: evaluations cut its episodes at {ENDLESS:,} steps, "
        f"for which Ctrl-C waits, and eval_cut tells the share that was cut{remedy}",
        file=sys.stderr,
    )


def env_action(spec: Spec, action: Tree) -> Tree:
    """What the environment is given: Box actions are clipped to their bounds, the agent keeps what it sampled."""
    if isinstance(spec.action, Box):
        low, high = (jnp.broadcast_to(bound, action.shape) for bound in (spec.action.low, spec.action.high))
        return jnp.clip(action, low, high)
    return action


def nothing_finished(lanes: int) -> Finished:
    """`Finished` before any episode ended."""
    return Finished(jnp.zeros(lanes, jnp.int32), jnp.zeros(lanes), jnp.zeros(lanes, jnp.int32))


def begin(agent: Agent, lanes: int) -> Live:
    """`Live` of fresh lanes."""
    nothing = nothing_finished(lanes)
    return Live(agent.begin(lanes), nothing.returns, nothing.lengths, nothing)


def act_row(agent: Agent, actor: Tree, live: Live, key: Key, timestep: TimeStep) -> tuple[Step, Live]:
    """Acts on `timestep[B]` and accounts for it: the row to store, and what acting carries on."""
    action, carry, extras = agent.act(actor, key, live.carry, timestep, True)
    returns = jnp.where(timestep.first(), 0.0, live.returns + timestep.reward)
    lengths = jnp.where(timestep.first(), 0, live.lengths + 1)
    last, done = timestep.last(), live.finished
    finished = Finished(
        episodes=done.episodes + last,
        returns=done.returns + jnp.where(last, returns, 0.0),
        lengths=done.lengths + jnp.where(last, lengths, 0),
    )
    return Step(timestep, action, extras, agent.stored(live.carry)), Live(carry, returns, lengths, finished)


def summary(live: Live) -> tuple[Live, dict[str, Array]]:
    """Scalars of the episodes of a chunk over all devices (NaN where none ended), and `live` with a clean slate."""
    episodes, returns, lengths = (parallel.total(jnp.sum(x)) for x in live.finished)
    metrics = {"episodes": episodes, "episode_return": returns / episodes, "episode_length": lengths / episodes}
    return live._replace(finished=nothing_finished(live.returns.shape[0])), metrics


def row_keys(key: Key, rows: int) -> Key:
    """The acting keys of an unroll, `[rows]`; row t's is `fold_in(key, t)`, so that a host loop can draw it alone."""
    return jax.vmap(jax.random.fold_in, (None, 0))(parallel.own_key(key), jnp.arange(rows))


def begin_run(agent: Agent, replay: Replay, key: Key, timestep: TimeStep, groups: int = 1) -> RunState:
    """A run whose lanes were just reset to `timestep[B]`, without what only the driver knows.

    `groups` are those of the lanes in the replay, of which each adds rows by itself.
    """
    k_agent, k_example, k_run = split(key, 3)
    agent_state = agent.init(k_agent, timestep)
    live = begin(agent, timestep.reward.shape[0])
    example, _ = act_row(agent, agent.actor(agent_state), live, k_example, timestep)
    storage = replay.init(example) if groups == 1 else replay.init(example, groups)
    return RunState(agent_state, (), (), live, storage, k_run, jnp.int32(0))


def warmup_keys(key: Key, warmup: int) -> tuple[Key, Key]:
    """Of a run that begins: the key that it goes on with, and those of its warm-up's unrolls, `[warmup]`."""
    k_warmup, k_run = split(key)
    return k_run, split(k_warmup, warmup)


def chunk_keys(key: Key, iterations: int) -> tuple[Key, Key, Key]:
    """Of a run before a chunk: the key after it, and those of its unrolls and of its updates, `[iterations]` each."""
    k_chunk, k_run = split(key)
    keys = jax.vmap(jax.random.split)(jax.random.split(k_chunk, iterations))
    return k_run, keys[:, 0], keys[:, 1]


def lane_keys(key: Key, lanes: int) -> Key:
    """Reset keys of this device's lanes, out of one split over the lanes of all devices."""
    everyone = split(key, lanes * parallel.size())
    return jax.lax.dynamic_slice_in_dim(everyone, parallel.index() * lanes, lanes)


def learn(
    agent: Agent, replay: Replay, updates: int, agent_state: Tree, replay_state: Tree, key: Key, data: Tree = ()
) -> tuple:
    """U learning steps: `(agent state, replay state, metrics)`, metrics averaged over the steps.

    `data` are the arrays of the dataset that the replay serves, if it serves one.
    """

    def once(state: tuple, key: Key) -> tuple[tuple, dict[str, Array]]:
        agent_state, replay_state = state
        k_sample, k_update = split(key)
        sample = replay.sample(lend(replay, replay_state, data), parallel.own_key(k_sample))
        agent_state, info = agent.update(agent_state, k_update, sample)
        return (agent_state, replay.feedback(replay_state, sample.index, info)), parallel.mean(dict(info.metrics))

    if updates == 1:
        (agent_state, replay_state), metrics = once((agent_state, replay_state), key)
        return agent_state, replay_state, metrics
    (agent_state, replay_state), metrics = jax.lax.scan(once, (agent_state, replay_state), split(key, updates))
    return agent_state, replay_state, jax.tree.map(lambda x: jnp.mean(x, axis=0), metrics)


def opening_carry(agent: Agent, replay: Replay, live: Live) -> Tree:
    """The carry `[1, B, ...]` that a window has of its first row alone; `()` if every row keeps its own."""
    return jax.tree.map(lambda x: x[None], agent.stored(live.carry)) if replay.first_carry_only else ()


def kept(replay: Replay, row: Step) -> Step:
    """What an unroll keeps of a row."""
    return row._replace(carry=()) if replay.first_carry_only else row


def with_next_row(
    agent: Agent, replay: Replay, rows: Step, actor: Tree, key: Key, live: Live, timestep: TimeStep
) -> Step:
    """The rows to store: with the peek at the next row, for replays that want it."""
    if not replay.wants_next_row:
        return rows
    peek = kept(replay, act_row(agent, actor, live, key, timestep)[0])
    joined = jax.tree.map(lambda x, y: jnp.concatenate([x, y[None]]), kept(replay, rows), peek)
    return joined._replace(carry=rows.carry) if replay.first_carry_only else joined


def repeat(body: Callable, carry: Tree, xs: Tree, length: int) -> tuple[Tree, Tree]:
    """`lax.scan`, without the loop where there is one iteration."""
    if length != 1:
        return jax.lax.scan(body, carry, xs)
    carry, y = body(carry, jax.tree.map(lambda x: x[0], xs))
    return carry, jax.tree.map(lambda x: x[None], y)


class Driver(NamedTuple):
    """A `Loop` over R runs, with what saving and stopping need."""

    loop: Loop
    shape: Callable[[], Any]
    """The state's shapes, dtypes and shardings, without computing it."""
    close: Callable[[], None]
