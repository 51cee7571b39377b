"""Loops: what drives an agent through an environment, one chunk at a time.

A *chunk* is `iterations` times (an unroll of T environment steps in every lane, then U learning steps); all of it on a
static schedule, with the warm-up in `init`, because a condition on a counter in the state would run both branches once
the state is batched over seeds. `in_graph` puts the whole chunk under one `scan`; `host` steps a pool outside the graph
with the same keys in the same order, so that either gives the same result on the same task.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import memory, parallel
from agents.base import Agent, Array, Key, Step, TimeStep, Tree
from agents.keys import split
from envs import goals
from envs.base import Box, Environment, Spec
from replay.base import Replay


class Schedule(NamedTuple):
    """How acting and learning alternate. All static."""

    unroll: int = 1
    """T, environment steps in each lane per iteration."""
    updates: int = 1
    """U, learning steps per iteration."""
    warmup: int = 0
    """Iterations that only act and store, before the first update."""


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

    init: Callable[[Key], RunState]
    step: Callable[[RunState], tuple[RunState, dict[str, Any]]]
    """`(run) -> (run, metrics)`: scalars of the chunk, the agent's and the episodes' number, mean return and length."""
    evaluate: Callable[[Any, Key], dict[str, Any]]
    """`(actor, key) -> {"eval_return", "eval_length"}`, each `[episodes]`; "eval_success" too if the task has goals."""
    actor: Callable[[RunState], Any]
    """What `evaluate` needs of a run."""


def env_action(spec: Spec, action: Tree) -> Tree:
    """What the environment is given: Box actions are clipped to their bounds, the agent keeps what it sampled."""
    if isinstance(spec.action, Box):
        return jnp.clip(action, spec.action.low, spec.action.high)
    return action


def nothing_finished(lanes: int) -> Finished:
    """`Finished` before any episode ended."""
    return Finished(jnp.zeros(lanes, jnp.int32), jnp.zeros(lanes), jnp.zeros(lanes, jnp.int32))


def begin(agent: Agent, lanes: int) -> Live:
    """`Live` of fresh lanes."""
    nothing = nothing_finished(lanes)
    return Live(agent.begin(lanes), nothing.returns, nothing.lengths, nothing)


def act_row(agent: Agent, actor: Any, live: Live, key: Key, timestep: TimeStep) -> tuple[Step, Live]:
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
    return Step(timestep, action, extras), Live(carry, returns, lengths, finished)


def summary(live: Live) -> tuple[Live, dict[str, Array]]:
    """Scalars of the episodes of a chunk over all devices (NaN where none ended), and `live` with a clean slate."""
    episodes, returns, lengths = (parallel.total(jnp.sum(x)) for x in live.finished)
    metrics = {"episodes": episodes, "episode_return": returns / episodes, "episode_length": lengths / episodes}
    return live._replace(finished=nothing_finished(live.returns.shape[0])), metrics


def row_keys(key: Key, rows: int) -> Key:
    """The acting keys of an unroll, `[rows]`; row t's is `fold_in(key, t)`, so that a host loop can draw it alone."""
    return jax.vmap(jax.random.fold_in, (None, 0))(parallel.own_key(key), jnp.arange(rows))


def begin_run(agent: Agent, replay: Replay, key: Key, timestep: TimeStep) -> RunState:
    """A run whose lanes were just reset to `timestep[B]`, without what only the driver knows."""
    k_agent, k_example, k_run = split(key, 3)
    agent_state = agent.init(k_agent, timestep)
    live = begin(agent, timestep.reward.shape[0])
    example, _ = act_row(agent, agent.actor(agent_state), live, k_example, timestep)
    return RunState(agent_state, (), (), live, replay.init(example), k_run, jnp.int32(0))


def lane_keys(key: Key, lanes: int) -> Key:
    """Reset keys of this device's lanes, out of one split over the lanes of all devices."""
    everyone = split(key, lanes * parallel.size())
    return jax.lax.dynamic_slice_in_dim(everyone, parallel.index() * lanes, lanes)


def learn(agent: Agent, replay: Replay, updates: int, agent_state: Any, replay_state: Any, key: Key) -> tuple:
    """U learning steps: `(agent state, replay state, metrics)`, metrics averaged over the steps."""

    def once(state: tuple, key: Key) -> tuple[tuple, dict[str, Array]]:
        agent_state, replay_state = state
        k_sample, k_update = split(key)
        sample = replay.sample(replay_state, parallel.own_key(k_sample))
        agent_state, info = agent.update(agent_state, k_update, sample)
        return (agent_state, replay.feedback(replay_state, sample.index, info)), parallel.mean(dict(info.metrics))

    if updates == 1:
        (agent_state, replay_state), metrics = once((agent_state, replay_state), key)
        return agent_state, replay_state, metrics
    (agent_state, replay_state), metrics = jax.lax.scan(once, (agent_state, replay_state), split(key, updates))
    return agent_state, replay_state, jax.tree.map(lambda x: jnp.mean(x, axis=0), metrics)


def opening_carry(agent: Agent, replay: Replay, actor: Any, live: Live, key: Key, timestep: TimeStep) -> dict[str, Any]:
    """The extras `[1, B, ...]` that a window has of its first row alone, before the unroll; {} if every row keeps them.

    What else acting on that row computes, XLA leaves out: it is done in the unroll.
    """
    if not replay.whole:
        return {}
    row, _ = act_row(agent, actor, live, key, timestep)
    return jax.tree.map(lambda x: x[None], memory.without(row)[1])


def kept(replay: Replay, row: Step) -> Step:
    """What an unroll keeps of a row."""
    return memory.without(row)[0] if replay.whole else row


def peeked(agent: Agent, replay: Replay, rows: Step, actor: Any, key: Key, live: Live, timestep: TimeStep) -> Step:
    """The rows to store: with the peek at the next row, for replays that want it."""
    if not replay.peek:
        return rows
    rest, carry = memory.without(rows) if replay.whole else (rows, {})
    peek = kept(replay, act_row(agent, actor, live, key, timestep)[0])
    return memory.joined(jax.tree.map(lambda x, y: jnp.concatenate([x, y[None]]), rest, peek), carry)


def repeat(body: Callable, carry: Any, xs: Any, length: int) -> tuple[Any, Any]:
    """`lax.scan`, without the loop where there is one iteration."""
    if length != 1:
        return jax.lax.scan(body, carry, xs)
    carry, y = body(carry, jax.tree.map(lambda x: x[0], xs))
    return carry, jax.tree.map(lambda x: x[None], y)


def in_graph(
    env: Environment,
    agent: Agent,
    replay: Replay,
    schedule: Schedule,
    *,
    num_envs: int,
    iterations: int,
    eval_episodes: int = 16,
    judged: Environment | None = None,
) -> Loop:
    """A loop whose chunk is one jittable function.

    Args:
      env: a task in JAX, one lane.
      agent: its five functions.
      replay: where the rows go.
      schedule: how acting and learning alternate.
      num_envs: B, lanes on each device.
      iterations: iterations per chunk.
      eval_episodes: lanes, each of one episode, of an evaluation.
      judged: the task of evaluations, where it is not `env`.
    """

    def act_and_step(actor: Any, state: tuple, key: Key) -> tuple[tuple, Step]:
        env_state, timestep, live = state
        row, live = act_row(agent, actor, live, key, timestep)
        env_state, timestep = jax.vmap(env.step)(env_state, env_action(env.spec, row.action))
        return (env_state, timestep, live), kept(replay, row)

    def unroll(run: RunState, key: Key) -> RunState:
        actor = agent.actor(run.agent)
        keys = row_keys(key, schedule.unroll + 1)
        first = opening_carry(agent, replay, actor, run.live, keys[0], run.timestep)
        state = (run.env, run.timestep, run.live)
        state, rows = repeat(lambda s, k: act_and_step(actor, s, k), state, keys[:-1], schedule.unroll)
        env_state, timestep, live = state
        rows = peeked(agent, replay, memory.joined(rows, first), actor, keys[-1], live, timestep)
        return run._replace(env=env_state, timestep=timestep, live=live, replay=replay.add(run.replay, rows))

    def init(key: Key) -> RunState:
        k_env, k_rest = split(key)
        env_state, timestep = jax.vmap(env.reset)(lane_keys(k_env, num_envs))
        run = begin_run(agent, replay, k_rest, timestep)._replace(env=env_state, timestep=timestep)
        if schedule.warmup:
            k_warmup, k_run = split(run.key)
            keys = split(k_warmup, schedule.warmup)
            run, _ = jax.lax.scan(lambda run, k: (unroll(run, k), None), run._replace(key=k_run), keys)
        return run

    def iteration(run: RunState, key: Key) -> tuple[RunState, dict[str, Array]]:
        k_unroll, k_learn = split(key)
        run = unroll(run, k_unroll)
        agent_state, storage, metrics = learn(agent, replay, schedule.updates, run.agent, run.replay, k_learn)
        return run._replace(agent=agent_state, replay=storage), metrics

    def step(run: RunState) -> tuple[RunState, dict[str, Array]]:
        k_chunk, k_run = split(run.key)
        run, metrics = jax.lax.scan(iteration, run._replace(key=k_run), split(k_chunk, iterations))
        live, episodes = summary(run.live)
        metrics = {**episodes, **jax.tree.map(lambda x: jnp.mean(x, axis=0), metrics)}
        return run._replace(live=live, chunks=run.chunks + 1), metrics

    return Loop(init, step, evaluation(judged or env, agent, eval_episodes), lambda run: agent.actor(run.agent))


def evaluation(env: Environment, agent: Agent, episodes: int, max_steps: int = 100_000) -> Callable[..., Any]:
    """Greedy evaluation in graph: `(actor, key) -> {"eval_return", "eval_length"}`, each `[episodes]`.

    Every lane plays one episode, so long and short episodes count alike. Episodes longer than `max_steps` are cut. For
    tasks with goals there is also "eval_success": whether the goal is reached in the last row.
    """
    limit = env.spec.time_limit or max_steps

    def evaluate(actor: Any, key: Key) -> dict[str, Array]:
        k_env, k_act = split(key)
        env_state, timestep = jax.vmap(env.reset)(split(k_env, episodes))

        def body(state: tuple) -> tuple:
            t, env_state, timestep, carry, over, returns, lengths, success = state
            action, carry, _ = agent.act(actor, jax.random.fold_in(k_act, t), carry, timestep, False)
            env_state, timestep = jax.vmap(env.step)(env_state, env_action(env.spec, action))
            returns = returns + jnp.where(over, 0.0, timestep.reward)
            lengths = lengths + jnp.where(over, 0, 1)
            success = jnp.where(over, success, goals.succeeded(env.spec, timestep))
            return t + 1, env_state, timestep, carry, over | timestep.last(), returns, lengths, success

        def unfinished(state: tuple) -> Array:
            return (state[0] < limit) & ~jnp.all(state[4])

        over = jnp.zeros(episodes, bool)
        nothing = (jnp.zeros(episodes), jnp.zeros(episodes, jnp.int32), over)
        state = (jnp.int32(0), env_state, timestep, agent.begin(episodes), over, *nothing)
        *_, returns, lengths, success = jax.lax.while_loop(unfinished, body, state)
        reached = {"eval_success": success.astype(jnp.float32)} if env.spec.goals else {}
        return {"eval_return": returns, "eval_length": lengths, **reached}

    return evaluate
