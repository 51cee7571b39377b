"""What `experiments.benchmark` compares."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from experiments.benchmarks import settings

Part = Literal[
    "env",
    "dqn",
    "ppo",
    "sac",
    "host",
    "scale",
    "minds",
    "population",
    "trials",
    "replay",
    "learning",
    "data",
    "loading",
    "returns",
    "compile",
]
PARTS: tuple[Part, ...] = get_args(Part)
Peer = Literal["rejax", "gymnax", "jumanji", "flashbax", "sb3", "sbx", "orlax", "rllib", "rllib_appo"]
PEERS: tuple[Peer, ...] = get_args(Peer)


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
    against: str = ""
    """Which of ours the others of ours are compared with, as with a peer."""


def cases(only: Sequence[Part], scale: float) -> Iterator[Case]:
    """Everything of the parts asked for; `scale` is the length of the runs."""

    def scaled(number: float, least: int) -> int:
        return max(least, int(number * scale))

    listed: dict[str, Callable[[Callable[[float, int], int]], Iterator[Case]]] = {
        "env": env_cases,
        "dqn": lambda scaled: train_cases("dqn", {1: 200_000, 16: 12_500}, scaled),
        "ppo": lambda scaled: train_cases("ppo", {1: 200_000, 16: 25_000}, scaled),
        "sac": lambda scaled: train_cases("sac", {1: 50_000, 16: 6_250}, scaled),
        "host": host_cases,
        "scale": scale_cases,
        "minds": mind_cases,
        "population": population_cases,
        "trials": trial_cases,
        "replay": replay_cases,
        "learning": learning_cases,
        "data": data_cases,
        "loading": loading_cases,
        "returns": returns_cases,
        "compile": compile_cases,
    }
    for part in PARTS:
        if part in only:
            yield from listed[part](scaled)


def env_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Environment steps alone."""
    for seeds, steps in ((1, 200_000), (16, 40_000)):
        shared = {"seeds": seeds, "steps": scaled(steps, 10), "num_envs": 10}
        ours = {task: Work("environment", {"env": task, **shared}) for task in settings.TASKS}
        gymnax = {"gymnax": Work("gymnax_environment", shared)}
        yield Case("env", "environment alone, 10 envs", seeds, "env steps/s", ours, gymnax)
    shared = {"seeds": 1, "steps": scaled(10_000, 10), "num_envs": 64}
    own = {
        "bellmax/sokoban": Work("environment", {"env": "bellmax/sokoban", "options": {"num_levels": 500}, **shared}),
        "bellmax/minipacman": Work("environment", {"env": "bellmax/minipacman", **shared}),
    }
    peer = {"jumanji": Work("jumanji_environment", shared)}
    name, goals = "environment alone, 64 envs, against Jumanji's Sokoban of one level", {"jumanji": 2.0}
    yield Case("env", name, 1, "env steps/s", own, peer, goals=goals)


def train_cases(agent: Part, lengths: Mapping[int, int], scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Training in graph by each recipe; by the first on gymnax's CartPole too, which is the one that rejax has."""
    recipes = settings.RECIPES[agent]
    for number, (label, num_envs, config, theirs, goals) in enumerate(recipes):
        for seeds, length in lengths.items():
            steps = scaled(length, 2_000)
            work = {"agent": agent, "seeds": seeds, "steps": steps}
            tasks = settings.TASKS if number == 0 else settings.TASKS[:1]
            ours = {
                task: Work("in_graph", {"env": task, **work, "num_envs": num_envs, "config": config}) for task in tasks
            }
            rejax = {"rejax": Work("rejax_train", {**work, "config": theirs})}
            name = f"{agent.upper()} in graph, {label}, {steps:,} steps a seed"
            yield Case(agent, name, seeds, "env steps/s", ours, rejax, goals={"rejax": goals[seeds]})


def host_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Training around a simulator; a peer's seeds run one after another, so one of them is measured."""
    goals = {"sb3": 10.0, "sbx": 5.0}
    sides: tuple[tuple[str, str, Mapping, Mapping, int, Mapping], ...] = (
        ("dqn", "CartPole-v1", settings.HOST_DQN, settings.SB_DQN, 8_000, goals),
        ("ppo", "CartPole-v1", settings.HOST_PPO, settings.SB_PPO, 10_240, goals),
        ("sac", "Pendulum-v1", settings.HOST_SAC, settings.SB_SAC, 4_000, {}),
    )
    for agent, task, config, theirs, length, asked in sides:
        steps = scaled(length, 1_024)
        work = {"agent": agent, "steps": steps, "num_envs": settings.HOST_ENVS}
        ours = {"env": f"envpool/{task}", "seeds": settings.HOST_SEEDS, "config": config}
        models = {
            library: Work("stable_baselines", {"library": library, "env": task, **work, "config": theirs})
            for library in ("sb3", "sbx")
        }
        name = f"{agent.upper()} on the host, {steps:,} steps a seed"
        own = {f"envpool/{task}": Work("on_host", {**work, **ours})}
        yield Case("host", name, settings.HOST_SEEDS, "env steps/s", own, models, goals=asked)


def scale_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """IMPALA without actors, in threads and on Ray, beside RLlib's with as many; what Ape-X learns from and keeps."""
    engines = {"one process": [], "2 threads": ["--actors", "2", "--engine", "threads"]}
    engines |= {f"Ray x{n}": ["--actors", str(n), "--engine", "ray"] for n in (1, 2, 4)}
    for name, (env, theirs, lanes, length) in settings.SCALE_TASKS.items():
        chunk = scaled(length, settings.UNROLL * lanes)
        shared = [*("--env", env, "--num-envs", str(lanes), "--log-every", str(chunk)), *settings.SCALE_IMPALA]
        shared += ["--steps", str(1_000 * chunk)]  # it is stopped long before
        ours = {
            label: Work("steps_apart", {"experiment": "impala", "flags": [*shared, *flags]})
            for label, flags in engines.items()
        }
        slow = {"one process": settings.SCALE_GOAL} if name == settings.SLOW else {}
        alone = {label: ours[label] for label in ("one process", "2 threads", "Ray x1", "Ray x4")}
        yield Case("scale", f"IMPALA, {name}", 1, "env steps/s", alone, against="one process")
        pair = {label: ours[label] for label in ("one process", "Ray x2")}
        yield Case("scale", f"IMPALA, {name}", 1, "env steps/s", pair, against="one process", goals=slow)
        if not theirs:
            continue
        numbers = {"env": theirs, "runners": 2, "num_envs": lanes // 2, "unroll": settings.UNROLL, "steps": chunk}
        peers = {
            label: Work("rllib_train", {"algorithm": algorithm, "config": settings.RLLIB, **numbers})
            for label, algorithm in (("rllib", "IMPALA"), ("rllib_appo", "APPO"))
        }
        goals = dict.fromkeys(peers, 2.0)
        own = {"Ray x2": ours["Ray x2"]}
        yield Case("scale", f"IMPALA, {name}, two actors", 1, "env steps/s", own, peers, goals=goals)
    chunk = scaled(8_000, 320)
    exact = [*settings.SCALE_APE_X, "--log-every", str(chunk), "--steps", str(1_000 * chunk)]
    ratios = {
        label: Work("samples_apart", {"experiment": "ape_x", "flags": [*exact, "--ratio", label]})
        for label in ("exact", "free")
    }
    yield Case("scale", "Ape-X, samples per insert", 1, "samples", ratios, rate=False)
    rows = scaled(400_000, 4_000)
    flags = [*settings.SCALE_FRAMES, "--agent.buffer-size", str(rows)]
    peak = {"Ape-X on frames": Work("memory_apart", {"experiment": "ape_x", "flags": flags, "rows": rows})}
    name = f"the learner's peak of memory over its replay of {rows:,} frames"
    yield Case("scale", name, 1, "x", peak, rate=False, limit=1.3)


def mind_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Training in graph of agents that imagine or remember, each against the first of its task."""
    for name, (env, options, num_envs, length, agents) in settings.MINDS.items():
        shared = {"env": env, "options": options, "seeds": 1, "steps": scaled(length, 1), "num_envs": num_envs}
        own = {
            label: Work("in_graph", {"agent": experiment, "config": config, **shared})
            for label, (experiment, config) in agents.items()
        }
        first = next(iter(own))
        goals = {first: settings.MIND_GOALS[first]}
        yield Case("minds", name, 1, "env steps/s", own, against=first, goals=goals)


def population_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Training of 16 seeds that copy one another after every evaluation, against 16 that know nothing of each other."""
    plain, turned = "16 seeds", "a population of 16"
    shared = {"env": settings.TASKS[0], "seeds": 16, "steps": scaled(25_000, 2_000), "config": settings.PPO}
    own = {
        name: Work("population", {"agent": "ppo", "num_envs": settings.NUM_ENVS["ppo"], "turns": turns, **shared})
        for name, turns in ((plain, False), (turned, True))
    }
    goals = {plain: 1 / 1.1}
    yield Case("population", "PPO in graph, evaluated 4 times", 16, "env steps/s", own, against=plain, goals=goals)


def trial_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Training on tasks that are drawn for every trial, by a preset of its command."""
    work = {"experiment": "rl2", "preset": settings.TRIALS, "seeds": 1, "steps": scaled(600_000, 1)}
    own = {f"preset {settings.TRIALS}": Work("trials", work)}
    yield Case("trials", "RL2 in graph", 1, "trials/s", own)


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


def learning_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Learning steps of DQN with one part of Rainbow or another, against DQN's; and what drawing takes of a step."""

    def step(draws: bool = True, **flags: object) -> Work:
        config = {**settings.PLAIN, **flags}
        return Work("learning", {"config": config, "draws": draws, "num_envs": 16, "calls": scaled(1_000, 5)})

    own = {name: step(**flags) for name, flags in settings.Q_PARTS.items()}
    yield Case("learning", "learning step", 1, "µs", own, rate=False, scale=1e6, against="DQN")
    drawing = {"noise": settings.RAINBOW | {"priorities": "none"}, "quantile levels": settings.Q_PARTS["IQN"]}
    for name, flags in drawing.items():
        own = {f"{name} drawn": step(**flags), "none drawn": step(False, **flags)}
        goals = {"none drawn": 0.7}
        yield Case("learning", "learning step", 1, "µs", own, rate=False, scale=1e6, against="none drawn", goals=goals)
    own = {
        name: Work("critics", {"number": number, "calls": scaled(300, 3)})
        for name, number in (("one critic", 1), ("two critics", 2))
    }
    name, goals = "learning step of SAC, 256-256, batches of 256", {"one critic": 1 / 1.5}
    yield Case("learning", name, 1, "µs", own, rate=False, scale=1e6, against="one critic", goals=goals)


def data_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Updates from recorded transitions, 256-256, batches of 256; of a peer, whose seeds run one after another, one."""
    transitions = scaled(1_000_000, 2_000)
    for agent, config in settings.FROM_DATA.items():
        theirs = {"transitions": transitions, "hidden": config["hidden"], "batch_size": config["batch_size"]}
        for seeds in (1, 8):
            calls = scaled(2_000 if seeds == 1 else 500, 4)
            work = {"agent": agent, "config": config, "seeds": seeds, "transitions": transitions, "calls": calls}
            own = {f"experiments.{agent}": Work("offline_updates", work)}
            peer = {"orlax": Work("orlax_updates", {"agent": agent, "calls": scaled(500, 2), **theirs})}
            goals = {"orlax": 3.0} if seeds > 1 else {}
            name = f"{agent}: learning from {transitions:,} recorded transitions"
            yield Case("data", name, seeds, "updates/s", own, peer, goals=goals)


def loading_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """A dataset of HalfCheetah's shapes, from its file to the device."""
    transitions = scaled(1_000_000, 2_000)
    for name, unit, held, limit in (
        (f"loading {transitions:,} recorded transitions", "s", False, 5.0),
        (f"bytes on the device over those of {transitions:,} recorded transitions", "x", True, 1.2),
    ):
        own = {"from its file to the device": Work("loading", {"transitions": transitions, "held": held})}
        yield Case("loading", name, 1, unit, own, rate=False, limit=limit)


def returns_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """V-trace and GAE of 4,096 lanes of 128 steps in which episodes end, against rlax's, which know of no episodes."""
    for name, label in (("vtrace", "V-trace"), ("gae", "GAE")):
        own = {
            whose: Work("returns", {"name": name, "whose": whose, "calls": scaled(50, 2)})
            for whose in ("agents.losses", "rlax")
        }
        yield Case("returns", f"{label}, [128, 4096]", 1, "µs", own, rate=False, scale=1e6, against="rlax")


def compile_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Compilation and start-up; lengths do not enter."""
    del scaled
    agents: tuple[tuple[str, Mapping, Mapping, float | None], ...] = (
        ("dqn", settings.DQN, settings.REJAX_DQN, 10.0),
        ("ppo", settings.PPO, settings.REJAX_PPO, None),
    )
    for agent, config, theirs, limit in agents:
        work = {"agent": agent, "env": settings.TASKS[0], "num_envs": settings.NUM_ENVS[agent], "config": config}
        peer = {"rejax": Work("rejax_compile", {"agent": agent, "config": theirs})}
        own = {settings.TASKS[0]: Work("compilation", work)}
        yield Case("compile", f"{agent.upper()}: trace, lower and compile", 1, "s", own, peer, rate=False, limit=limit)
    for name, arguments, limit in (
        ("python -m experiments.dqn --help", ["-m", "experiments.dqn", "--help"], 2.0),
        ("import agents", ["-c", "import agents"], None),
        ("import jax (for comparison)", ["-c", "import jax"], None),
    ):
        own = {name: Work("command", {"arguments": arguments})}
        yield Case("compile", "start of a process", 1, "s", own, rate=False, limit=limit)
    own = {
        f"experiments.dqn, {settings.TASKS[0]}": Work("first_chunk", {"experiment": "dqn", "env": settings.TASKS[0]})
    }
    yield Case("compile", "start until the first chunk is logged", 1, "s", own, rate=False)
