"""What `experiments.benchmark` compares, and with which settings."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

Part = Literal["env", "dqn", "ppo", "sac", "host", "minds", "replay", "learning", "returns", "compile"]
PARTS: tuple[Part, ...] = ("env", "dqn", "ppo", "sac", "host", "minds", "replay", "learning", "returns", "compile")
TASKS = ("bellmax/cartpole", "gymnax/CartPole-v1")

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
# For CartPole's discrete actions: the entropy to keep is 0.98 of the uniform policy's, which is rejax's default.
SAC = {
    **{"learning_rate": 3e-4, "policy_learning_rate": 3e-4, "temperature_learning_rate": 3e-4, "discount": 0.99},
    **{"hidden": (64, 64), "layer_norm": False, "n_step": 1, "batch_size": 100, "buffer_size": 50_000},
    **{"warmup": 1_000, "unroll": 1, "updates": 1, "target_rate": 0.01, "entropy": 0.98 * math.log(2)},
}
REJAX_SAC = {
    **{"agent_kwargs": {"activation": "relu"}, "num_envs": 10, "buffer_size": 50_000, "fill_buffer": 1_000},
    **{"batch_size": 100, "learning_rate": 3e-4, "num_epochs": 1, "polyak": 0.99, "gamma": 0.99},
    **{"target_entropy_ratio": 0.98},
}
NUM_ENVS = {"dqn": 10, "ppo": 5, "sac": 10}
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
HOST_SAC = {**SAC, "entropy": None, "batch_size": 256}
SB_SAC = {
    **{"learning_rate": 3e-4, "buffer_size": 50_000, "learning_starts": 1_000, "batch_size": 256, "train_freq": 1},
    **{"gradient_steps": 1, "tau": 0.01, "policy_kwargs": {"net_arch": [64, 64]}},
}
# Agents that do more in each step than those they are compared with: (task, its options, environments, steps, agents).
LEVELS = {"size": 7, "boxes": 2, "fewest": 1, "num_levels": 500}
SMALL = {
    **{"optimiser": "adam", "channels": (16, 16), "hidden": 64, "code": 32, "depth": 5, "unroll": 10},
    **{"rollout_channels": (), "rollout_hidden": 32, "encoder_channels": ()},
}
CARDS = {"unroll": 13, "lstm": (64,), "hidden": (64,), "recall": False}
MINDS: dict[str, tuple[str, dict[str, Any], int, int, dict[str, tuple[str, dict[str, Any]]]]] = {
    "Sokoban, 7x7": (
        *("bellmax/sokoban", LEVELS, 32, 25_600),
        {
            "standard agent": ("i2a", {**SMALL, "world": "none"}),
            "I2A, exact model": ("i2a", {**SMALL, "world": "exact"}),
        },
    ),
    "card pairs, 8 cards": (
        *("bellmax/card-pairs", {"cards": 8}, 128, 133_120),
        {
            "RL-LSTM": ("rl_mem", {**CARDS, "memory": "lstm"}),
            "MERLIN": ("merlin", {**CARDS, "rows": 13}),
            "RL-MEM": ("rl_mem", {**CARDS, "memory": "rows", "rows": 13}),
        },
    ),
}
MIND_GOALS = {"standard agent": 0.1, "RL-LSTM": 0.2}
# Of experiments.dqn: DQN without any part of Rainbow, and with one or all of them.
PLAIN = {"hidden": (128, 128), "layer_norm": False, "double": False, "n_step": 1, "batch_size": 128}
RAINBOW = {
    **{"double": True, "dueling": True, "n_step": 3, "priorities": "proportional", "noisy": "factorised"},
    **{"objective": "categorical", "epsilon_start": 0.0, "epsilon_end": 0.0},
}
Q_PARTS: dict[str, dict[str, Any]] = {
    "DQN": {},
    "double": {"double": True},
    "dueling": {"dueling": True},
    "n-step": {"n_step": 3},
    "prioritised": {"priorities": "proportional"},
    "prioritised by rank": {"priorities": "rank"},
    "noisy": {"noisy": "factorised"},
    "categorical (C51)": {"objective": "categorical"},
    "all of these, Rainbow": RAINBOW,
    "quantiles (QR-DQN)": {"objective": "quantile"},
    "IQN": {"objective": "implicit", "quantiles": 32},
    "Munchausen": {"munchausen": True},
}


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
        "dqn": lambda scaled: train_cases("dqn", DQN, REJAX_DQN, 2.0, {1: 200_000, 16: 12_500}, scaled),
        "ppo": lambda scaled: train_cases("ppo", PPO, REJAX_PPO, 1.5, {1: 200_000, 16: 25_000}, scaled),
        "sac": lambda scaled: train_cases("sac", SAC, REJAX_SAC, None, {1: 50_000, 16: 6_250}, scaled),
        "host": host_cases,
        "minds": mind_cases,
        "replay": replay_cases,
        "learning": learning_cases,
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
        ours = {task: Work("environment", {"env": task, **shared}) for task in TASKS}
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


def train_cases(
    agent: Part,
    config: dict[str, Any],
    theirs: dict[str, Any],
    goal: float | None,
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
        goals = {} if goal is None else {"rejax": goal}
        yield Case(agent, name, seeds, "env steps/s", ours, rejax, goals=goals)


def host_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Training around a simulator; a peer's seeds run one after another, so one of them is measured."""
    goals = {"sb3": 10.0, "sbx": 5.0}
    sides: tuple[tuple[str, str, Mapping, Mapping, int, Mapping], ...] = (
        ("dqn", "CartPole-v1", HOST_DQN, SB_DQN, 8_000, goals),
        ("ppo", "CartPole-v1", HOST_PPO, SB_PPO, 10_240, goals),
        ("sac", "Pendulum-v1", HOST_SAC, SB_SAC, 4_000, {}),
    )
    for agent, task, config, theirs, length, asked in sides:
        steps = scaled(length, 1_024)
        work = {"agent": agent, "steps": steps, "num_envs": HOST_ENVS}
        ours = {"env": f"envpool/{task}", "seeds": HOST_SEEDS, "config": config}
        models = {
            library: Work("stable_baselines", {"library": library, "env": task, **work, "config": theirs})
            for library in ("sb3", "sbx")
        }
        name = f"{agent.upper()} on the host, {steps:,} steps a seed"
        own = {f"envpool/{task}": Work("on_host", {**work, **ours})}
        yield Case("host", name, HOST_SEEDS, "env steps/s", own, models, goals=asked)


def mind_cases(scaled: Callable[[float, int], int]) -> Iterator[Case]:
    """Training in graph of agents that imagine or remember, each against the first of its task."""
    for name, (env, options, num_envs, length, agents) in MINDS.items():
        shared = {"env": env, "options": options, "seeds": 1, "steps": scaled(length, 1), "num_envs": num_envs}
        own = {
            label: Work("in_graph", {"agent": experiment, "config": config, **shared})
            for label, (experiment, config) in agents.items()
        }
        first = next(iter(own))
        goals = {first: MIND_GOALS[first]}
        yield Case("minds", name, 1, "env steps/s", own, against=first, goals=goals)


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

    def step(draws: bool = True, **flags: Any) -> Work:
        config = {**PLAIN, **flags}
        return Work("learning", {"config": config, "draws": draws, "num_envs": 16, "calls": scaled(1_000, 5)})

    own = {name: step(**flags) for name, flags in Q_PARTS.items()}
    yield Case("learning", "learning step", 1, "µs", own, rate=False, scale=1e6, against="DQN")
    drawing = {"noise": RAINBOW | {"priorities": "none"}, "quantile levels": Q_PARTS["IQN"]}
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
