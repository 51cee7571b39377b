"""What `experiments.benchmark` measures of bellmax; `experiments.benchmarks.peers` has the same of other libraries.

Every function prepares a piece of work and returns a `run` that does it once and returns how many units it did.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from experiments.benchmarks import apart, components, from_data
from experiments.benchmarks.worker import Run
from experiments.run import Size

if TYPE_CHECKING:
    from jax import Array

    from agents.base import Key, Tree
    from envs.base import Environment, HostEnvironment
    from experiments.drivers.contract import Make

ROOT = Path(__file__).resolve().parents[2]


def build(
    experiment: str, config: Mapping[str, Any], env: "Environment | HostEnvironment", num_envs: int, steps: int
) -> "Make":
    """What drivers take: hyper-parameters -> parts, for an experiment's own agent."""
    module = import_module(f"experiments.{experiment}")
    return lambda hypers: module.make(module.Config(**components.tupled(config)), env.spec, Size(num_envs, 1, steps))


def in_graph(
    agent: str,
    env: str,
    seeds: int,
    steps: int,
    num_envs: int,
    config: Mapping[str, Any],
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Run:
    """A whole training of `steps` per seed, warm-up included, seeds spread over the devices."""
    import jax
    import numpy as np

    import envs
    from envs import keys
    from experiments.drivers import devices, in_graph

    task: Any = envs.make(env, **options)
    make = build(agent, config, task, num_envs, steps)
    schedule = make({}).schedule
    per_iteration = schedule.unroll * num_envs
    iterations = max(1, steps // per_iteration - schedule.warmup)
    chunks = min(iterations, 4)
    numbers: dict[str, Any] = {"num_envs": num_envs, "iterations": iterations // chunks, "eval_episodes": 1}
    loop = in_graph.driver(task, make, {"run": np.arange(seeds)}, devices.layout(seeds), **numbers).loop
    roots = keys.key(np.arange(seeds))
    loop.step(loop.init(roots))

    def run() -> float:
        state = loop.init(roots)
        for _ in range(chunks):
            state, _ = loop.step(state)
        jax.block_until_ready(state)
        return seeds * per_iteration * (schedule.warmup + chunks * (iterations // chunks))

    return run


def trials(experiment: str, preset: str, seeds: int, steps: int) -> Run:
    """Training by a preset, as `in_graph`; units are trials, each of the row that opens it and its steps."""
    import dataclasses

    import envs
    from experiments.run import flags

    chosen = import_module(f"experiments.{experiment}").experiment
    given = flags.preset(chosen.flags, preset, chosen.presets)
    options = envs.parse_options(given.env_options)
    limit = envs.make(given.env, **options).spec.time_limit
    if limit is None:
        raise ValueError(f"preset is {preset!r}; allowed: one whose trials have a greatest length")
    train = in_graph(experiment, given.env, seeds, steps, given.num_envs, dataclasses.asdict(given.agent), options)
    return lambda: train() / (limit + 1)


def population(
    agent: str, env: str, seeds: int, steps: int, num_envs: int, config: Mapping[str, Any], turns: bool
) -> Run:
    """Training with an evaluation after each quarter, at which the seeds copy one another or do not."""
    import jax
    import numpy as np

    import envs
    from agents.common.populations import Bounds
    from envs import keys
    from experiments.drivers import devices, in_graph, members

    task: Any = envs.make(env)
    make = build(agent, config, task, num_envs, steps)
    bounds, lay = {"learning_rate": Bounds(1e-5, 1e-2)}, devices.layout(seeds)
    make = members.carried(make, {"learning_rate": config["learning_rate"]}) if turns else make
    per_iteration = make({}).schedule.unroll * num_envs
    iterations = max(1, steps // per_iteration // 4)
    loop = in_graph.driver(
        task, make, {"run": np.arange(seeds)}, lay, num_envs=num_envs, iterations=iterations, eval_episodes=16
    ).loop
    turn, roots = members.turner(lay, seeds, bounds), keys.key(np.arange(seeds))

    def once() -> None:
        state = loop.init(roots)
        for _ in range(4):
            state, _ = loop.step(state)
            scores = loop.evaluate(loop.actor(state), roots)["eval_return"]
            if turns:
                state = state._replace(agent=turn(state.agent, scores, keys.key(0))[0])
        jax.block_until_ready(state)

    def run() -> float:
        once()
        return seeds * per_iteration * 4 * iterations

    once()
    return run


def environment(
    env: str, seeds: int, steps: int, num_envs: int, options: Mapping[str, Any] = MappingProxyType({})
) -> Run:
    """Environment steps alone, actions alternating, seeds spread over the devices."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import envs
    from envs import keys
    from experiments.drivers import devices

    task: Any = envs.make(env, **options)
    lay = devices.layout(seeds)

    def many(key: "Key") -> "Array":
        state, _ = jax.vmap(task.reset)(jax.random.split(key, num_envs))

        def body(carry: "tuple[Tree, Array]", t: "Array") -> "tuple[tuple[Tree, Array], None]":
            state, total = carry
            state, timestep = jax.vmap(task.step, (0, None))(state, t % 2)
            return (state, total + jnp.sum(timestep.reward)), None

        return jax.lax.scan(body, (state, jnp.float32(0)), jnp.arange(steps))[0][1]

    stepped = devices.mapped(lay, many)
    roots = devices.place(lay, keys.key(np.arange(seeds)))
    jax.block_until_ready(stepped(roots))

    def run() -> float:
        jax.block_until_ready(stepped(roots))
        return seeds * num_envs * steps

    return run


def on_host(agent: str, env: str, seeds: int, steps: int, num_envs: int, config: Mapping[str, Any]) -> Run:
    """Training around a simulator, all seeds in one pool; warm, and learning from the first row."""
    import jax
    import numpy as np

    import envs
    from envs import keys
    from experiments.drivers import devices
    from experiments.drivers.host import driver

    task: Any = envs.make(env)
    make = build(agent, config, task, num_envs, steps)
    per_iteration = make({}).schedule.unroll * num_envs
    iterations = max(1, steps // per_iteration)
    numbers = {"num_envs": num_envs, "iterations": iterations, "eval_episodes": 1}
    hypers = {"run": np.arange(seeds)}
    loop = driver(task, make, hypers, devices.layout(seeds), seeds=range(seeds), **numbers).loop
    held = [loop.step(loop.init(keys.key(np.arange(seeds))))[0]]

    def run() -> float:
        held[0], _ = loop.step(held[0])
        jax.block_until_ready(held[0])
        return seeds * per_iteration * iterations

    return run


def compilation(agent: str, env: str, num_envs: int, config: Mapping[str, Any]) -> Run:
    """Traces, lowers and compiles a chunk of one seed."""
    import jax

    import envs
    from envs import keys
    from experiments.drivers import in_graph

    task: Any = envs.make(env)
    make = build(agent, config, task, num_envs, 200_000)
    loop = in_graph.loop(task, *make({}), num_envs=num_envs, iterations=100)
    state = jax.eval_shape(loop.init, keys.key(0))

    def run() -> float:
        jax.clear_caches()
        jax.jit(loop.step, donate_argnums=0).lower(state).compile()
        return 1.0

    return run


def command(arguments: Sequence[str]) -> Run:
    """A Python process from start to end."""

    def run() -> float:
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
        return 1.0

    return run


def first_chunk(experiment: str, env: str) -> Run:
    """An experiment from the command line until its first log point is on disk."""

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "run" / "metrics.csv"
            arguments = ["--env", env, "--out", str(table.parent), "--quiet"]
            called = [sys.executable, "-m", f"experiments.{experiment}", *arguments]
            process = subprocess.Popen(called, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                while not (table.exists() and table.read_text().count("\n") > 1):
                    if process.poll() is not None:
                        raise RuntimeError(f"experiments.{experiment} ended with code {process.returncode}")
                    time.sleep(0.01)
            finally:
                process.kill()
                process.wait()
        return 1.0

    return run


PIECES: tuple[Any, ...] = (
    in_graph, trials, population, environment, on_host, compilation, command, first_chunk,
    components.replay_of, components.learning, components.critics, components.returns, from_data.offline_updates,
    from_data.loading, apart.steps_apart, apart.samples_apart, apart.memory_apart,
)  # fmt: skip
WORK: dict[str, Callable[..., Run]] = {piece.__name__: piece for piece in PIECES}
