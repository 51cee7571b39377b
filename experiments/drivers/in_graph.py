"""Tasks in graph: a run as a loop whose chunk is one `scan`, and many runs of it at once, over devices."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Key, Step, Tree
from envs import goals, keys
from envs.base import Environment
from envs.keys import split
from experiments.drivers import base, devices
from experiments.drivers.base import (
    Driver,
    Loop,
    RunState,
    act_row,
    begin_run,
    env_action,
    kept,
    lane_keys,
    learn,
    opening_carry,
    repeat,
    row_keys,
    summary,
    warn_of_endless,
    with_next_row,
)
from experiments.drivers.contract import Schedule
from experiments.drivers.devices import Layout, laid_out
from replay.base import Replay

if TYPE_CHECKING:
    from experiments.drivers.contract import Hypers, Make


def loop(
    env: Environment,
    agent: Agent,
    replay: Replay,
    schedule: Schedule,
    *,
    num_envs: int,
    iterations: int,
    eval_episodes: int = 16,
    evaluation_env: Environment | None = None,
    data: Tree = (),
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
      evaluation_env: the task of evaluations, where it is not `env`.
      data: the arrays of the dataset that the replay serves, if it serves one.
    """

    play = player(env, agent, replay, schedule.unroll)

    def unroll(run: RunState, key: Key) -> RunState:
        state = (run.env, run.timestep, run.live)
        (env_state, timestep, live), rows = play(agent.actor(run.agent), state, key)
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
        agent_state, storage, metrics = learn(agent, replay, schedule.updates, run.agent, run.replay, k_learn, data)
        return run._replace(agent=agent_state, replay=storage), metrics

    def step(run: RunState) -> tuple[RunState, dict[str, Array]]:
        k_chunk, k_run = split(run.key)
        run, metrics = jax.lax.scan(iteration, run._replace(key=k_run), split(k_chunk, iterations))
        live, episodes = summary(run.live)
        metrics = {**episodes, **jax.tree.map(lambda x: jnp.mean(x, axis=0), metrics)}
        return run._replace(live=live, chunks=run.chunks + 1), metrics

    return Loop(init, step, evaluation(evaluation_env or env, agent, eval_episodes), lambda run: agent.actor(run.agent))


def player(env: Environment, agent: Agent, replay: Replay, unroll: int) -> Callable[..., tuple[tuple, Step]]:
    """`(actor, (env state, TimeStep, Live), key) -> (the same after an unroll, rows as the replay takes them)`."""

    def act_and_step(actor: Tree, state: tuple, key: Key) -> tuple[tuple, Step]:
        env_state, timestep, live = state
        row, live = act_row(agent, actor, live, key, timestep)
        env_state, timestep = jax.vmap(env.step)(env_state, env_action(env.spec, row.action))
        return (env_state, timestep, live), kept(replay, row)

    def play(actor: Tree, state: tuple, key: Key) -> tuple[tuple, Step]:
        keys = row_keys(key, unroll + 1)
        first = opening_carry(agent, replay, state[2])
        state, rows = repeat(lambda s, k: act_and_step(actor, s, k), state, keys[:-1], unroll)
        _, timestep, live = state
        rows = rows._replace(carry=first) if replay.first_carry_only else rows
        return state, with_next_row(agent, replay, rows, actor, keys[-1], live, timestep)

    return play


def evaluation(
    env: Environment, agent: Agent, episodes: int, max_steps: int | None = None
) -> Callable[[Tree, Key], dict[str, Array]]:
    """Greedy evaluation in graph: `(actor, key) -> {"eval_return", "eval_length"}`, each `[episodes]`.

    Every lane plays one episode, so long and short episodes count alike. Of a task without a time limit, episodes
    longer than `max_steps`, by default `base.ENDLESS`, are cut, and "eval_cut" says which are. For tasks with goals
    there is also "eval_success": whether the goal is reached in the last row.
    """
    limit = env.spec.time_limit or max_steps or base.ENDLESS

    def evaluate(actor: Tree, key: Key) -> dict[str, Array]:
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
        *_, over, returns, lengths, success = jax.lax.while_loop(unfinished, body, state)
        reached = {"eval_success": success.astype(jnp.float32)} if env.spec.goals else {}
        cut = {} if env.spec.time_limit else {"eval_cut": (~over).astype(jnp.float32)}
        return {"eval_return": returns, "eval_length": lengths, **reached, **cut}

    return evaluate


def driver(
    env: Environment,
    make: "Make",
    hypers: "Hypers",
    lay: Layout,
    *,
    num_envs: int,
    iterations: int,
    eval_episodes: int,
    evaluation_env: Environment | None = None,
    data: Tree = (),
    backend: str = "pmap",
) -> Driver:
    """Runs of `loop`, stacked.

    Args:
      env: a task in JAX.
      make: hyper-parameters of one run -> its parts.
      hypers: a dict of arrays `[R]`. `Loop.init` takes others in place of some, which an agent that carries them keeps.
      lay: over which devices.
      num_envs: lanes of a run on each device.
      iterations: per chunk.
      eval_episodes: of one evaluation.
      evaluation_env: the task of evaluations, where it is not `env`.
      data: the arrays of a dataset that the replay serves, `devices.common` to all runs.
      backend: see `devices.mapped`.
    """
    warn_of_endless((evaluation_env or env).spec)
    hypers = devices.place(lay, hypers)

    def one(hypers: "Hypers", data: Tree = ()) -> Loop:
        agent, replay, schedule = make(hypers)
        return loop(
            env, agent, replay, schedule,
            num_envs=num_envs, iterations=iterations, eval_episodes=eval_episodes, evaluation_env=evaluation_env,
            data=data,
        )  # fmt: skip

    init = devices.mapped(lay, lambda h, key: one(h).init(key), backend=backend)
    step = devices.mapped(
        lay, lambda h, data, run: one(h, data).step(run), in_axes=(0, None, 0), donate=(2,), backend=backend
    )
    evaluate = devices.mapped(lay, lambda h, actor, key: one(h).evaluate(actor, key), backend=backend)
    actor = devices.mapped(lay, lambda h, run: one(h).actor(run), backend=backend)

    def measured(state: RunState) -> tuple[RunState, dict[str, np.ndarray]]:
        state, metrics = step(hypers, data, state)
        return state, devices.collect(lay, metrics)

    def begun(keys: Key, values: "Hypers | None" = None) -> RunState:
        return init(hypers | devices.place(lay, values) if values else hypers, devices.place(lay, keys))

    stacked = Loop(
        init=begun,
        step=measured,
        evaluate=lambda actors, k: devices.collect(lay, evaluate(hypers, actors, devices.place(lay, k))),
        actor=lambda state: actor(hypers, state),
    )

    def shape() -> RunState:
        example = devices.place(lay, keys.key(np.arange(lay.runs)))
        return laid_out(lay, jax.eval_shape(init, hypers, example))

    return Driver(stacked, shape, lambda: None)
