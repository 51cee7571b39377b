"""Speed, side by side with other libraries: `python -m experiments.benchmark --help`.

Every contender runs in a worker process of its own kind, bellmax with one device per core as its experiments do, the
peers with JAX's and torch's defaults. They are prepared and compiled first, then measured in turns, and the median of
the rounds counts. A peer that is not installed is left out.
"""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from experiments import flags, peers
from experiments.peers import Run

Part = Literal["env", "dqn", "ppo", "host", "replay", "compile"]
Peer = Literal["rejax", "gymnax", "flashbax", "sb3", "sbx"]
PARTS: tuple[Part, ...] = ("env", "dqn", "ppo", "host", "replay", "compile")
PEERS: tuple[Peer, ...] = ("rejax", "gymnax", "flashbax", "sb3", "sbx")
ROOT = Path(__file__).resolve().parents[1]
INSTALL = 'pip install -e ".[bench]"'

# The settings of both sides, spelt out so that no default of either can change them. Rejax's are those of its own
# CartPole recipe, but for one update per iteration, a plain network, and a warm-up that does not take up most of a
# short run.
DQN = {
    **{"learning_rate": 1e-3, "adam_eps": 1e-8, "max_grad_norm": 10.0, "discount": 0.99, "hidden": (64, 64)},
    **{"layer_norm": False, "double": True, "n_step": 1, "error_clip": None, "batch_size": 100, "buffer_size": 50_000},
    **{"warmup": 1_000, "unroll": 1, "updates": 1, "target_period": 1, "target_rate": 0.02},
    **{"epsilon_start": 1.0, "epsilon_end": 0.05, "epsilon_fraction": 0.5},
}
REJAX_DQN = {
    **{"agent": "QNetwork", "agent_kwargs": {"activation": "relu"}, "num_envs": 10, "buffer_size": 50_000},
    **{"fill_buffer": 1_000, "batch_size": 100, "max_grad_norm": 10, "learning_rate": 1e-3, "num_epochs": 1},
    **{"polyak": 0.98, "eps_start": 1.0, "eps_end": 0.05, "exploration_fraction": 0.5, "gamma": 0.99, "ddqn": True},
}
PPO = {
    **{"learning_rate": 7.5e-4, "adam_eps": 1e-8, "anneal": False, "max_grad_norm": 0.5, "discount": 0.99},
    **{"gae_lambda": 0.95, "clip": 0.2, "value_clip": 0.2, "value_cost": 0.5, "entropy_cost": 0.01},
    **{"normalise_advantages": True, "unroll": 100, "epochs": 5, "minibatches": 5, "hidden": (64, 64)},
    **{"memory": "none", "shared": False, "normalise_observations": False, "normalise_rewards": False},
}
REJAX_PPO = {
    **{"agent_kwargs": {"activation": "tanh"}, "num_envs": 5, "num_steps": 100, "num_epochs": 5},
    **{"num_minibatches": 5, "learning_rate": 7.5e-4, "max_grad_norm": 0.5, "gamma": 0.99, "gae_lambda": 0.95},
    **{"clip_eps": 0.2, "ent_coef": 0.01, "vf_coef": 0.5},
}
NUM_ENVS = {"dqn": 10, "ppo": 5}
HOST_ENVS, HOST_SEEDS = 8, 8
HOST_DQN = {**DQN, "batch_size": 128, "double": False, "error_clip": 1.0, "target_rate": 1.0, "target_period": 50}
SB_DQN = {
    **{"learning_rate": 1e-3, "buffer_size": 50_000, "learning_starts": 1_000, "batch_size": 128, "train_freq": 1},
    **{"gradient_steps": 1, "target_update_interval": 50 * HOST_ENVS, "policy_kwargs": {"net_arch": [64, 64]}},
}
HOST_PPO = {**PPO, "learning_rate": 2.5e-4, "value_clip": None, "unroll": 128, "epochs": 4, "minibatches": 4}
SB_PPO = {
    **{"learning_rate": 2.5e-4, "n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.01},
    **{"policy_kwargs": {"net_arch": [64, 64]}},
}


@dataclass(frozen=True)
class Config:
    """Measures bellmax's speed against rejax, flashbax, Stable-Baselines3 and SBX, and writes a table and a plot."""

    only: tuple[Part, ...] = PARTS
    """Parts to measure."""
    peers: tuple[Peer, ...] = PEERS
    """Libraries to compare with; none for bellmax alone. They come with the extra `bench`."""
    repeats: int = 5
    """Rounds, of which the median counts."""
    scale: float = 1.0
    """Length of the runs: 1 takes about ten minutes on two cores."""
    out: str = "docs/results"
    """Folder for benchmark.md and benchmark.png."""
    json: str = ""
    """File for all measurements; none by default."""
    peer_python: str = ""
    """Interpreter that has the peers; by default this one."""


class Work(NamedTuple):
    """Something to time: a function of a worker, and what it is called with."""

    function: str
    arguments: dict[str, Any]


class Case(NamedTuple):
    """One comparison. Rates count units per second; times are in seconds per unit, times `scale`."""

    part: Part
    name: str
    seeds: int
    unit: str
    ours: Mapping[str, Work]
    peers: Mapping[str, Work] = {}
    rate: bool = True
    scale: float = 1.0
    goals: Mapping[str, float] = {}
    """Peer -> how many times as fast as it bellmax is to be."""
    limit: float | None = None
    """What the time itself is to stay below."""


class Row(NamedTuple):
    """A line of the table: one of ours against one peer, or against none."""

    part: str
    name: str
    seeds: int
    unit: str
    ours: float
    peer: str
    theirs: float | None
    ratio: float | None  # above 1 where ours is the faster
    goal: str
    met: bool | None
    samples: Mapping[str, Sequence[float]]


# What is measured of bellmax. Like the peers' functions, each returns a `run` that returns the units it did.


def build(experiment: str, config: Mapping[str, Any], env: Any, num_envs: int, steps: int) -> Callable[[Any], Any]:
    """What drivers take: hyper-parameters -> parts, for an experiment's own agent."""
    from importlib import import_module

    from experiments.runs import Scale

    module = import_module(f"experiments.{experiment}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}
    return lambda hypers: module.make(module.Config(**values), env.spec, Scale(num_envs, 1, steps))


def in_graph(agent: str, env: str, seeds: int, steps: int, num_envs: int, config: Mapping[str, Any]) -> Run:
    """A whole training of `steps` per seed, warm-up included, seeds spread over the devices."""
    import jax
    import numpy as np

    import envs
    from agents import keys
    from experiments import devices, drivers

    task: Any = envs.make(env)
    make = build(agent, config, task, num_envs, steps)
    schedule = make({}).schedule
    per_iteration = schedule.unroll * num_envs
    iterations = max(1, steps // per_iteration - schedule.warmup)
    chunks = min(iterations, 4)
    numbers = {"num_envs": num_envs, "iterations": iterations // chunks, "eval_episodes": 1}
    loop = drivers.in_graph(task, make, {"run": np.arange(seeds)}, devices.layout(seeds), **numbers).loop
    roots = keys.key(np.arange(seeds))
    loop.step(loop.init(roots))

    def run() -> float:
        state = loop.init(roots)
        for _ in range(chunks):
            state, _ = loop.step(state)
        jax.block_until_ready(state)
        return seeds * per_iteration * (schedule.warmup + chunks * (iterations // chunks))

    return run


def environment(env: str, seeds: int, steps: int, num_envs: int) -> Run:
    """Environment steps alone, actions alternating, seeds spread over the devices."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import envs
    from agents import keys
    from experiments import devices

    task: Any = envs.make(env)
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
    from agents import keys
    from experiments import devices
    from experiments.host import host

    task: Any = envs.make(env)
    make = build(agent, config, task, num_envs, steps)
    per_iteration = make({}).schedule.unroll * num_envs
    iterations = max(1, steps // per_iteration)
    numbers = {"num_envs": num_envs, "iterations": iterations, "eval_episodes": 1}
    hypers = {"run": np.arange(seeds)}
    loop = host(task, make, hypers, devices.layout(seeds), seeds=range(seeds), **numbers).loop
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
    from agents import keys
    from agents.base import Info, Step, TimeStep

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


def compilation(agent: str, env: str, num_envs: int, config: Mapping[str, Any]) -> Run:
    """Traces, lowers and compiles a chunk of one seed."""
    import jax

    import envs
    from agents import keys
    from experiments import loops

    task: Any = envs.make(env)
    make = build(agent, config, task, num_envs, 200_000)
    loop = loops.in_graph(task, *make({}), num_envs=num_envs, iterations=100)
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


WORK: dict[str, Callable[..., Run]] = {
    "in_graph": in_graph,
    "environment": environment,
    "on_host": on_host,
    "replay_of": replay_of,
    "compilation": compilation,
    "command": command,
    "first_chunk": first_chunk,
}


def serve() -> None:
    """The worker of bellmax's side."""
    from experiments import runs

    runs.use_cores()
    peers.serve(WORK)


# What is compared.

TASKS = ("bellmax/cartpole", "gymnax/CartPole-v1")


def cases(config: Config) -> Iterator[Case]:
    """Everything that `config` asks for."""

    def scaled(number: float, least: int) -> int:
        return max(least, int(number * config.scale))

    listed: dict[str, Callable[[Callable[[float, int], int]], Iterator[Case]]] = {
        "env": env_cases,
        "dqn": lambda scaled: train_cases("dqn", DQN, REJAX_DQN, 2.0, {1: 200_000, 16: 12_500}, scaled),
        "ppo": lambda scaled: train_cases("ppo", PPO, REJAX_PPO, 1.5, {1: 200_000, 16: 25_000}, scaled),
        "host": host_cases,
        "replay": replay_cases,
        "compile": compile_cases,
    }
    for part in PARTS:
        if part in config.only:
            yield from listed[part](scaled)


def env_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Environment steps alone."""
    for seeds, steps in ((1, 200_000), (16, 40_000)):
        shared = {"seeds": seeds, "steps": scaled(steps, 10), "num_envs": 10}
        ours = {task: Work("environment", {"env": task, **shared}) for task in TASKS}
        gymnax = {"gymnax": Work("gymnax_environment", shared)}
        yield Case("env", "environment alone, 10 envs", seeds, "env steps/s", ours, gymnax)


def train_cases(
    agent: Part,
    config: dict[str, Any],
    theirs: dict[str, Any],
    goal: float,
    lengths: Mapping[int, int],
    scaled: Callable[[float, int], int],
) -> Iterator[Case]:
    """Training in graph."""
    for seeds, length in lengths.items():
        steps = scaled(length, 2_000)
        work = {"agent": agent, "seeds": seeds, "steps": steps}
        envs = {"num_envs": NUM_ENVS[agent], "config": config}
        ours = {task: Work("in_graph", {"env": task, **work, **envs}) for task in TASKS}
        rejax = {"rejax": Work("rejax_train", {**work, "config": theirs})}
        name = f"{agent.upper()} in graph, {steps:,} steps a seed"
        yield Case(agent, name, seeds, "env steps/s", ours, rejax, goals={"rejax": goal})


def host_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Training around a simulator; a peer's seeds run one after another, so one of them is measured."""
    sides = (("dqn", HOST_DQN, SB_DQN, 8_000), ("ppo", HOST_PPO, SB_PPO, 10_240))
    for agent, config, theirs, length in sides:
        steps = scaled(length, 1_024)
        work = {"agent": agent, "steps": steps, "num_envs": HOST_ENVS}
        ours = {"env": "envpool/CartPole-v1", "seeds": HOST_SEEDS, "config": config}
        models = {
            library: Work("stable_baselines", {"library": library, **work, "config": theirs})
            for library in ("sb3", "sbx")
        }
        name = f"{agent.upper()} on the host, {steps:,} steps a seed"
        own = {"envpool/CartPole-v1": Work("on_host", {**work, **ours})}
        yield Case("host", name, HOST_SEEDS, "env steps/s", own, models, goals={"sb3": 10.0, "sbx": 5.0})


def replay_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Replay of transitions: 16 lanes a row, batches of 256."""
    calls_of_uniform = {
        "add, one jitted call": ("add", False),
        "sample, one jitted call": ("sample", False),
        "add and sample in a scan": ("add+sample", True),
    }
    calls_of_prioritised = {f"{name} in a scan": (name, True) for name in ("add", "sample", "update")}
    calls_of_prioritised["all three in a scan"] = ("add+sample+update", True)
    sides: tuple[tuple[str, str, dict, tuple[int, ...], dict], ...] = (
        ("uniform", "flashbax", calls_of_uniform, (1, 16), {}),
        ("prioritised", "flashbax_prioritised", calls_of_prioritised, (1, 32), {"flashbax": 2.0}),
    )
    for kind, theirs, names, counts, goals in sides:
        for capacity in (scaled(10_000, 1_000), scaled(1_000_000, 2_000)):
            for seeds in counts:
                for name, (operations, scan) in names.items():
                    calls = scaled(1_000 if seeds == 1 else 200, 5)
                    work = {"operations": operations, "scan": scan, "capacity": capacity, "lanes": 16, "batch": 256}
                    work |= {"seeds": seeds, "calls": calls}
                    ours = {f"replay.{kind}": Work("replay_of", {"kind": kind, **work})}
                    peer = {"flashbax": Work(theirs, work)}
                    label = f"{name}, {capacity:,} rows" if kind == "uniform" else f"{kind}: {name}, {capacity:,} rows"
                    yield Case("replay", label, seeds, "µs", ours, peer, rate=False, scale=1e6, goals=goals)


def compile_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Compilation and start-up; lengths do not enter."""
    del scaled
    agents: tuple[tuple[str, Mapping, Mapping, float | None], ...] = (
        ("dqn", DQN, REJAX_DQN, 10.0),
        ("ppo", PPO, REJAX_PPO, None),
    )
    for agent, config, theirs, limit in agents:
        work = {"agent": agent, "env": TASKS[0], "num_envs": NUM_ENVS[agent], "config": config}
        peer = {"rejax": Work("rejax_compile", {"agent": agent, "config": theirs})}
        own = {TASKS[0]: Work("compilation", work)}
        yield Case("compile", f"{agent.upper()}: trace, lower and compile", 1, "s", own, peer, rate=False, limit=limit)
    for name, arguments, limit in (
        ("python -m experiments.dqn --help", ["-m", "experiments.dqn", "--help"], 2.0),
        ("import agents", ["-c", "import agents"], None),
        ("import jax (for comparison)", ["-c", "import jax"], None),
    ):
        own = {name: Work("command", {"arguments": arguments})}
        yield Case("compile", "start of a process", 1, "s", own, rate=False, limit=limit)
    own = {f"experiments.dqn, {TASKS[0]}": Work("first_chunk", {"experiment": "dqn", "env": TASKS[0]})}
    yield Case("compile", "start until the first chunk is logged", 1, "s", own, rate=False)


# How it is measured.


class Worker:
    """A process that prepares work and times it; another takes its place where it dies."""

    def __init__(self, python: str, code: str):
        """Starts `python -c code`, with nothing set of what this process was told about devices and threads."""
        given = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}
        self.environment = {**given, "PYTHONPATH": str(ROOT), "JAX_ENABLE_COMPILATION_CACHE": "false"}
        self.arguments = [python, "-W", "ignore", "-c", code]
        self.process = self.start()

    def start(self) -> subprocess.Popen:
        """A new process."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.arguments, stdin=pipe, stdout=pipe, text=True, env=self.environment)

    def ask(self, **request: Any) -> dict[str, Any]:
        """One request; `{"error": ...}` also if the process died."""
        assert self.process.stdin and self.process.stdout
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        self.close()
        code, self.process = self.process.returncode, self.start()
        return {"error": f"the worker died with code {code}"}

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()


def workers(config: Config) -> dict[str, Worker]:
    """Both sides' processes."""
    started = {"ours": Worker(sys.executable, "from experiments import benchmark; benchmark.serve()")}
    if config.peers:
        code = "from experiments import peers; peers.serve(peers.WORK)"
        started["peers"] = Worker(config.peer_python or sys.executable, code)
    return started


def measure(case: Case, sides: Mapping[str, Worker], config: Config) -> list[Row]:
    """Prepares the contenders of a case, then times them in turns."""
    contenders = [(label, sides["ours"], work) for label, work in case.ours.items()]
    contenders += [(peer, sides["peers"], work) for peer, work in case.peers.items() if peer in config.peers]
    seeds = f"{case.seeds} seed{'s' if case.seeds > 1 else ''}"
    print(f"{case.name}, {seeds}", flush=True)
    absent: dict[str, str] = {}
    samples: dict[str, list[float]] = {}
    for turn in range(config.repeats + 1):  # the first only prepares
        for label, worker, work in contenders:
            if label in absent:
                continue
            began = time.monotonic()
            answer = worker.ask(work=work.function, arguments=work.arguments, prepare=turn == 0)
            if turn == 0 and "value" in answer:
                print(f"  {label} prepared in {time.monotonic() - began:.1f} s", flush=True)
            if "value" not in answer:
                absent[label] = absence(label, answer)
                print(f"  {label}: {absent[label]}", flush=True)
            elif turn:
                taken, units = answer["value"]
                samples.setdefault(label, []).append(units / taken if case.rate else case.scale * taken / units)
        if turn and samples:
            now = ", ".join(f"{label} {short(values[-1])}" for label, values in samples.items())
            print(f"  [{turn}/{config.repeats}] {now} {case.unit}", flush=True)
    for worker in sides.values():
        worker.ask(forget=True)
    return [row for label in case.ours if label in samples for row in rows_of(case, label, samples, absent)]


def absence(label: str, answer: Mapping[str, str]) -> str:
    """Why there is no measurement."""
    if "missing" in answer:
        return f"not installed ({answer['missing']}): {INSTALL}"
    return f"failed: {answer['error']}"


def rows_of(case: Case, label: str, samples: Mapping[str, list[float]], absent: Mapping[str, str]) -> Iterator[Row]:
    """The table's lines for one of ours."""
    ours = statistics.median(samples[label])
    name = case.name if len(case.ours) == 1 and case.peers else f"{case.name}: {label}"
    limit = "" if case.limit is None else f"below {case.limit:g} {case.unit}"
    within = None if case.limit is None else ours < case.limit
    fixed = (case.part, name, case.seeds, case.unit, ours)
    others = [peer for peer in case.peers if peer in samples or peer in absent]
    for peer in others:
        if peer in absent:
            yield Row(*fixed, f"{peer} {absent[peer]}", None, None, limit, within, {label: samples[label]})
            continue
        theirs = statistics.median(samples[peer])
        ratio = ours / theirs if case.rate else theirs / ours
        goal, met = limit, within
        if peer in case.goals:
            goal, met = f"at least {case.goals[peer]:g} x", ratio >= case.goals[peer]
        yield Row(*fixed, peer, theirs, ratio, goal, met, {label: samples[label], peer: samples[peer]})
    if not others:
        yield Row(*fixed, "", None, None, limit, within, {label: samples[label]})


# How it is told.


def short(value: float) -> str:
    """Three figures: 1.23M, 45.6k, 789, 0.0123."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def machine(before: float, installed: Mapping[str, str]) -> str:
    """One line on where and when this was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = ", ".join(f"{name} {version}" for name, version in installed.items())
    load = f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    day = datetime.date.today().isoformat()
    return f"{day}, {cores} cores ({platform.machine()}), {load}, Python {platform.python_version()}, {found}."


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown."""
    lines = ["| what | seeds | bellmax | peer | | ratio | goal | |", "|---|---:|---:|---:|---|---:|---|---|"]
    for row in rows:
        theirs = "" if row.theirs is None else f"{short(row.theirs)} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        verdict = {None: "", True: "met", False: "missed"}[row.met]
        cells = (row.name, row.seeds, f"{short(row.ours)} {row.unit}", theirs, row.peer, ratio, row.goal, verdict)
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    return lines


NOTES = "## Notes"


def write(rows: Sequence[Row], config: Config, where: str) -> Path:
    """benchmark.md, whose notes stay as they are, and benchmark.png."""
    page = Path(config.out) / "benchmark.md"
    notes = page.read_text().partition(NOTES)[2] if page.exists() else ""
    compared = any(row.ratio is not None for row in rows)
    lines = ["# Speed", "", f"`python -m experiments.benchmark`, median of {config.repeats}, contenders in turns."]
    lines += ["Rates are of all seeds together; a ratio above 1 says that bellmax is faster. " + where, ""]
    lines += ["![ratios](benchmark.png)", ""] if compared else []
    lines += [*table(rows), "", f"{NOTES}{notes}" if notes else ""]
    page.write_text("\n".join(lines).rstrip() + "\n")
    if compared:
        draw([row for row in rows if row.ratio is not None], page.with_suffix(".png"))
    return page


def draw(rows: Sequence[Row], out: Path) -> None:
    """Bars of the ratios, logarithmic, with a mark at each goal."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from experiments.plots import COLOURS, GRID, INK

    figure, axes = plt.subplots(figsize=(9, 0.8 + 0.28 * len(rows)), layout="constrained")
    names = list(dict.fromkeys(row.peer for row in rows))
    goals = 0
    for i, row in enumerate(rows):
        assert row.ratio is not None
        axes.barh(i, row.ratio - 1, left=1, color=COLOURS[names.index(row.peer)], height=0.7)
        axes.text(max(row.ratio, 1) * 1.04, i, f"{row.ratio:.2f}", va="center", fontsize=8, color=INK)
        if row.goal.startswith("at least"):
            goal = float(row.goal.split()[2])
            label = None if goals else "goal"
            axes.plot([goal, goal], [i - 0.42, i + 0.42], color=INK, linewidth=2, label=label)
            goals += 1
    for i, name in enumerate(names):
        axes.barh(0, 0, color=COLOURS[i], label=f"against {name}")
    axes.set_xscale("log")
    axes.axvline(1, color=INK, linewidth=1)
    axes.set_yticks(
        range(len(rows)), [f"{row.name}, {row.seeds} seed{'s'[: row.seeds > 1]}" for row in rows], fontsize=8
    )
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as the peer")
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def benchmark(config: Config) -> list[Row]:
    """Measures and writes.

    Raises:
      ValueError: a flag is out of range, or nothing could be measured.
    """
    if config.repeats < 1:
        raise ValueError(f"--repeats {config.repeats}: must be at least 1")
    if not config.scale > 0:
        raise ValueError(f"--scale {config.scale}: must be positive")
    Path(config.out).mkdir(parents=True, exist_ok=True)
    before, began = os.getloadavg()[0], time.monotonic()
    rows: list[Row] = []
    sides = workers(config)
    try:
        installed: dict[str, str] = {}
        for worker in sides.values():
            installed |= worker.ask(versions=True).get("value", {})
        for case in cases(config):
            rows += measure(case, sides, config)
    finally:
        for worker in sides.values():
            worker.close()
    if not rows:
        raise ValueError(f"--only {' '.join(config.only)}: nothing could be measured")
    where = machine(before, installed)
    page = write(rows, config, where)
    if config.json:
        content = {"machine": where, "repeats": config.repeats, "scale": config.scale}
        Path(config.json).write_text(json.dumps({**content, "rows": [row._asdict() for row in rows]}, indent=1))
    print("\n".join(["", *table(rows), "", f"{len(rows)} rows in {time.monotonic() - began:.0f} s: {page}"]))
    return rows


def main(argv: list[str] | None = None) -> None:
    """The command. A bad flag ends it with one line on stderr and exit code 2."""
    import tyro

    arguments = sys.argv[1:] if argv is None else argv
    config = tyro.cli(Config, args=arguments, prog="python -m experiments.benchmark")
    try:
        benchmark(config)
    except ValueError as error:
        flags.fail(error)


if __name__ == "__main__":
    main()
