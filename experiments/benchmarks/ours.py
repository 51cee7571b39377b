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
from typing import Any

from experiments.benchmarks import peers
from experiments.benchmarks.peers import Run

ROOT = Path(__file__).resolve().parents[1]


def build(experiment: str, config: Mapping[str, Any], env: Any, num_envs: int, steps: int) -> Callable[[Any], Any]:
    """What drivers take: hyper-parameters -> parts, for an experiment's own agent."""
    from experiments.run import Size

    module = import_module(f"experiments.{experiment}")
    return lambda hypers: module.make(module.Config(**tupled(config)), env.spec, Size(num_envs, 1, steps))


def tupled(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flags as they were before they went through JSON."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}


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
    numbers = {"num_envs": num_envs, "iterations": iterations // chunks, "eval_episodes": 1}
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

    def many(key: Any) -> Any:
        state, _ = jax.vmap(task.reset)(jax.random.split(key, num_envs))

        def body(carry: Any, t: Any) -> Any:
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


def replay_of(
    kind: str, operations: str, scan: bool, capacity: int, lanes: int, batch: int, seeds: int, calls: int
) -> Run:
    """Calls of a full `replay.uniform` or `replay.prioritised` of transitions; see `peers.replay_calls`."""
    import jax
    import jax.numpy as jnp

    import replay
    from agents.base import Info, Step, TimeStep
    from envs import keys

    storage = {"uniform": replay.uniform, "prioritised": replay.prioritised}[kind](capacity, batch)
    nothing = jnp.zeros(lanes)
    row = Step(TimeStep(nothing.astype(jnp.int8), nothing, nothing, jnp.zeros((lanes, 4))), nothing.astype(jnp.int32))

    def init() -> Any:
        full = jax.tree.map(lambda x: jnp.zeros((capacity // lanes, *x.shape), x.dtype), row)
        return storage.add(storage.init(row), full)

    def add(state: Any) -> Any:
        return storage.add(state, jax.tree.map(lambda x: x[None], row))

    def update(state: Any, drawn: Any) -> Any:
        return storage.feedback(state, drawn.index, Info({}, peers.priorities(batch)))

    calls_of = peers.Calls(init, add, storage.sample, update)
    return peers.replay_calls(calls_of, keys.key(0), operations, scan, seeds, calls)


def learning(config: Mapping[str, Any], draws: bool, num_envs: int, calls: int) -> Run:
    """Learning steps of a Q-learner with flags of `experiments.dqn`, out of a full replay of CartPole's shapes.

    Without `draws` nothing random enters the network: layers have no noise, quantile levels are fixed.
    """
    import jax
    import jax.numpy as jnp

    import envs
    from agents.common import optimisers
    from agents.dqn import Munchausen, dqn
    from envs import keys
    from experiments import dqn as experiment
    from experiments.drivers import base
    from experiments.run import Size

    task: Any = envs.make("bellmax/cartpole")
    settings = experiment.Config(**tupled(config))
    drawn = experiment.network(settings, task.spec)
    silent = drawn._replace(apply=lambda params, key, *rest: drawn.apply(params, None, *rest))
    agent = dqn(
        drawn if draws else silent,
        optimisers.adam(settings.learning_rate, settings.max_grad_norm, settings.adam_eps),
        objective=experiment.objective(settings),
        target_rate=settings.target_rate,
        double=settings.double,
        munchausen=Munchausen() if settings.munchausen else None,
        noisy=settings.noisy != "none",
    )
    storage = experiment.storage(settings, Size(num_envs, 1, 1_000_000), 1e6)

    def init() -> Any:
        _, timestep = jax.vmap(task.reset)(jax.random.split(keys.key(0), num_envs))
        state = agent.init(keys.key(1), timestep)
        row, _ = base.act_row(agent, agent.actor(state), base.begin(agent, num_envs), keys.key(2), timestep)
        row = row._replace(timestep=row.timestep._replace(step_type=row.timestep.step_type + 1))  # within an episode
        rows = jax.tree.map(lambda x: jnp.repeat(x[None], settings.buffer_size // num_envs, axis=0), row)
        return state, storage.add(storage.init(row), rows)

    jitted = jax.jit(lambda *state: base.learn(agent, storage, calls, *state)[:2], donate_argnums=(0, 1))
    held = [jax.block_until_ready(jax.jit(init)())]

    def run() -> float:
        held[0] = jax.block_until_ready(jitted(*held[0], keys.key(3)))
        return calls

    run()
    return run


def critics(number: int, calls: int) -> Run:
    """Updates of SAC with so many critics, on random transitions of HalfCheetah's shapes."""
    import jax
    import jax.numpy as jnp

    from agents.base import Sample, Step, TimeStep
    from envs import keys
    from envs.base import Box, Spec
    from experiments import sac
    from experiments.run import Size

    spec, rows = Spec("shapes", Box((17,)), Box((6,), -1.0, 1.0)), (2, 256)
    config = sac.Config(critics=number, hidden=(256, 256), batch_size=rows[1])
    agent = sac.make(config, spec, Size(1, 1, 1_000_000)).agent
    seen = jax.random.normal(keys.key(0), (*rows, 17))
    kind = jnp.broadcast_to(jnp.array([[0], [1]], jnp.int8), rows)
    timestep = TimeStep(kind, jnp.ones(rows), jnp.ones(rows), seen)
    sample = Sample(Step(timestep, jax.random.uniform(keys.key(1), (*rows, 6), minval=-1.0), {}))

    def updates(state: Any, key: Any) -> Any:
        return jax.lax.scan(lambda s, k: (agent.update(s, k, sample)[0], None), state, jax.random.split(key, calls))[0]

    jitted = jax.jit(updates, donate_argnums=0)
    held = [jitted(agent.init(keys.key(2), jax.tree.map(lambda x: x[0], timestep)), keys.key(3))]

    def run() -> float:
        held[0] = jax.block_until_ready(jitted(held[0], keys.key(3)))
        return calls

    run()
    return run


def returns(name: str, whose: str, calls: int, steps: int = 128, lanes: int = 4096) -> Run:
    """Calls of V-trace ("vtrace") or generalised advantages ("gae") by "agents.losses" or "rlax", vmapped."""
    import jax
    import jax.numpy as jnp
    import rlax

    from agents import losses
    from envs import keys

    k_reward, k_rho, k_value, k_kind = jax.random.split(keys.key(0), 4)
    r_t, v = jax.random.normal(k_reward, (steps, lanes)), jax.random.normal(k_value, (steps + 1, lanes))
    discount_t, rho_tm1 = jnp.full((steps, lanes), 0.99), jnp.exp(0.3 * jax.random.normal(k_rho, (steps, lanes)))
    last = jax.random.bernoulli(k_kind, 0.01, (steps + 1, lanes))
    kind = jnp.where(last, 2, jnp.where(jnp.roll(last, 1, 0), 0, 1)).astype(jnp.int8)
    lane = {
        ("vtrace", "agents.losses"): lambda r, d, rho, v, kind: losses.vtrace(r, d, rho, v, kind, 0.95),
        ("vtrace", "rlax"): lambda r, d, rho, v, kind: rlax.vtrace_td_error_and_advantage(
            v[:-1], v[1:], r, d, rho, jnp.full(steps, 0.95)
        )[:2],
        ("gae", "agents.losses"): lambda r, d, rho, v, kind: losses.gae(r, d, 0.95, v, kind),
        ("gae", "rlax"): lambda r, d, rho, v, kind: rlax.truncated_generalized_advantage_estimation(r, d, 0.95, v),
    }[name, whose]
    jitted = jax.jit(jax.vmap(lane, 1, 1))
    inputs = (r_t, discount_t, rho_tm1, v, kind)
    jax.block_until_ready(jitted(*inputs))

    def run() -> float:
        for _ in range(calls):
            jax.block_until_ready(jitted(*inputs))
        return calls

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
    in_graph, environment, on_host, replay_of, learning, critics, returns, compilation, command, first_chunk,
)  # fmt: skip
WORK: dict[str, Callable[..., Run]] = {piece.__name__: piece for piece in PIECES}
