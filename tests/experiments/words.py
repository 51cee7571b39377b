"""Flags with which every command makes a small run on a task in graph, most of whose time is compilation."""

from importlib import import_module

from experiments import run
from experiments.list import systems
from tests.sets import path_of

CATCH = ["--env", "bellmax/catch"]
THIN = ["--agent.hidden", "8"]
SMALL = [*THIN, "--agent.warmup", "200", "--agent.batch-size", "8", "--agent.buffer-size", "2000"]
SHORT = [*THIN, "--agent.unroll", "8"]
HALVES = ["--agent.epochs", "2", "--agent.minibatches", "2"]
MEMORY = [*SMALL, "--agent.memory-size", "8", "--agent.length", "4", "--agent.unroll", "4"]
ROWS = [*THIN, "--agent.lstm", "8", "--agent.rows", "4", "--agent.keys", "2", "--agent.unroll", "4"]
BATCH = ["--agent.hidden", "8", "--agent.batch-size", "8"]
RECORDED = {
    "bc": "bellmax/catch",
    "cql": "bellmax/pendulum",
    "td3_bc": "bellmax/pendulum",
    "edac": "bellmax/pendulum",
    "bcq": "bellmax/pendulum",
    "bear": "bellmax/pendulum",
    "mopo": "bellmax/pendulum",
    "hiql": "bellmax/pointmaze-medium",
    "qrl": "bellmax/pointmaze-medium",
    "crl": "bellmax/pointmaze-medium",
}
"""The task in graph that a command which learns from recorded episodes alone is tested on, where it is not catch."""
WORDS = {
    "bc": BATCH,
    "iql": BATCH,
    "awac": BATCH,
    "mopo": [
        *["--agent.hidden", "8", "--agent.batch-size", "8", "--agent.members", "2", "--agent.starts", "2"],
        *["--agent.depth", "2", "--agent.real", "2", "--agent.model-hidden", "8", "--agent.model-warmup", "1"],
        *["--agent.conservatism", "0.5", "--agent.samples", "2"],
    ],
    "bear": [*BATCH, "--agent.generator-hidden", "8", "--agent.candidates", "2", "--agent.samples", "2"],
    "bcq": [*BATCH, "--agent.generator-hidden", "8", "--agent.candidates", "2", "--agent.choices", "4"],
    "edac": [*BATCH, "--agent.critics", "3"],
    "cql": [*BATCH, "--agent.samples", "2", "--agent.gap", "5", "--agent.cloned", "4", "--agent.calibrated"],
    "td3_bc": BATCH,
    "hiql": [*BATCH, "--agent.code", "3"],
    "qrl": [*BATCH, "--agent.latent", "8", "--agent.component", "4"],
    "crl": [*BATCH, "--agent.latent", "8"],
    "dt": [
        *["--agent.width", "8", "--agent.layers", "1", "--agent.context", "4", "--agent.batch-size", "8"],
        *["--agent.dropout", "0"],
    ],
    **{name: [*CATCH, *SMALL] for name in ("dqn", "rainbow", "ape_x", "gorila")},
    "curiosity": [*CATCH, *SMALL, "--agent.bonus", "icm", "--agent.bonus-hidden", "8", "--agent.bonus-features", "4"],
    "rnd": [*CATCH, "--agent.inner", "hidden=8", "unroll=8", "epochs=2", "minibatches=2", "--agent.bonus-hidden", "8"],
    "icm": [*CATCH, "--agent.inner", "hidden=8", "unroll=8", "--agent.bonus-hidden", "8"],
    "counts": [*CATCH, "--agent.inner", "hidden=8", "warmup=200", "batch-size=8", "buffer-size=2000"],
    "surprise": [*CATCH, "--agent.inner", "hidden=8", "unroll=8", "minibatches=2", "--agent.bonus-hidden", "8"],
    "self_aware": ["--agent.hidden", "8", "--agent.settle", "1", "--agent.buffer-size", "2000"],
    "deep_successor": [*CATCH, *SMALL, "--agent.features", "4"],
    "c51": [*CATCH, *SMALL, "--agent.atoms", "5"],
    "qr_dqn": [*CATCH, *SMALL, "--agent.atoms", "5"],
    "iqn": [*CATCH, *SMALL, "--agent.quantiles", "4"],
    "drqn": MEMORY,
    "r2d2": [*MEMORY, "--agent.head", "8", "--agent.burn-in", "2", "--agent.stride", "2", "--agent.n-step", "2"],
    "mqn": [*MEMORY, "--agent.rows", "4", "--env", "bellmax/memory-chain"],
    "pqn": [*CATCH, *SHORT, *HALVES],
    "reactor": [*CATCH, *SMALL, "--agent.head", "8", "--agent.atoms", "5", "--agent.length", "4"],
    **{name: [*CATCH, *SHORT] for name in ("a2c", "a3c", "impala", "acktr")},
    **{name: [*CATCH, *SHORT, *HALVES] for name in ("ppo", "vpg", "trpo")},
    "gail": [*CATCH, *SHORT, *HALVES, "--agent.discriminator-hidden", "8", "--agent.discriminator-batch", "16"],
    "airl": [
        *[*SHORT, *HALVES, "--agent.expert", "soft", "--agent.discriminator-hidden", "8"],
        *["--agent.discriminator-batch", "16"],
    ],
    "rl2": ["--env-options", "pulls=7", *SHORT, *HALVES],
    **{
        name: ["--env-options", "horizon=6", "episodes=12", *THIN, "--agent.rollouts", "6", "--agent.epochs", "2"]
        for name in ("maml", "promp")
    },
    "maesn": [
        *["--env-options", "goals=half-circle", "horizon=6", "episodes=0", *THIN, "--agent.rollouts", "6"],
        *["--agent.epochs", "2"],
    ],
    "mlsh": [
        *["--env-options", "horizon=6", "blocks=4", "block=2", *THIN, "--agent.rollouts", "2", "--agent.warmup", "2"],
        *["--agent.period", "4", "--agent.epochs", "2", "--agent.minibatches", "2", "--agent.master-minibatches", "2"],
    ],
    "pearl": [
        *["--env-options", "goals=half-circle", "horizon=4", "episodes=2", "told=true", *SMALL],
        *["--agent.latent", "2"],
    ],
    "spatial": [
        *["--env-options", "size=5", "copies=2", "--agent.text-size", "4", "--agent.embedding", "2"],
        *["--agent.channels", "3", "--agent.length", "3", *SMALL[2:]],
    ],
    "text_vin": [
        *["--env-options", "size=4", "friends=1", "enemies=1", "walls=2", "--agent.text-size", "4"],
        *["--agent.numbers", "2", "--agent.iterations", "2", "--agent.channels", "3", "--agent.reactive", "8"],
        *SMALL[2:],
    ],
    "vin": [
        *["--env-options", "size=4", "--agent.iterations", "4", "--agent.channels", "4", "--agent.reward-hidden", "4"],
        *["--agent.batch-size", "8", "--agent.buffer-size", "2000"],
    ],
    "kickstart": [*CATCH, "--agent.inner", "hidden=8", "unroll=8"],
    "fun": [
        *[*CATCH, *SHORT, "--agent.memory-size", "4", "--agent.goal-size", "4", "--agent.embedding", "2"],
        *["--agent.horizon", "3", "--agent.dilation", "2"],
    ],
    "acer": [*CATCH, *SHORT, "--agent.buffer-size", "2000"],
    "q_prop": [*SHORT, *HALVES, "--agent.q-epochs", "2", "--agent.q-minibatches", "2", "--agent.buffer-size", "2000"],
    "dqfd": [*CATCH, *SMALL],
    "dagger": [*THIN, "--agent.unroll", "8", "--agent.updates", "2", "--agent.batch-size", "8"],
    **dict.fromkeys(("ddpg", "ddpgfd", "td3", "sac", "naf", "ape_x_dpg"), SMALL),
    "muzero": [
        *[*CATCH, *SMALL, "--agent.width", "8", "--agent.depth", "2", "--agent.n-step", "2"],
        *["--agent.simulations", "2", "--agent.support", "2"],
    ],
    "td_mpc2": [
        *[*SMALL, "--agent.width", "8", "--agent.population", "8", "--agent.proposals", "2", "--agent.elites", "4"],
        *["--agent.iterations", "2", "--agent.atoms", "11"],
    ],
    "iris": [
        *[*CATCH, *SMALL, "--agent.width", "8", "--agent.layers", "1", "--agent.heads", "1", "--agent.length", "2"],
        *["--agent.horizon", "2", "--agent.starts", "4", "--agent.tokens", "codes", "--agent.kinds", "4"],
    ],
    "alphazero": [*SMALL, "--agent.simulations", "2"],
    "cem": ["--agent.population", "8", "--agent.best", "4"],
    "cma_es": ["--agent.population", "8", "--agent.episodes", "1"],
    "cdpr": [
        *["--agent.inner", "hidden=8", "warmup=200", "batch-size=8", "buffer-size=2000", "--agent.tower-updates", "2"],
        *["--agent.tower-hidden", "8", "--agent.examples", "32", "--agent.tower-batch", "8"],
    ],
    "her": ["--env", "bellmax/bit-flip", "--env-options", "bits=4", *SMALL[:2], *SMALL[4:], "--agent.unroll", "5"],
    "maxent_irl": [
        *["--agent.demonstrations", "4", "--agent.horizon", "4", "--agent.sweeps", "4", "--agent.unroll", "10"],
    ],
    "tdm": [*SMALL, "--agent.horizon", "2", "--agent.plan", "2"],
    "sac_x": [*SMALL, "--agent.unroll", "4", "--agent.updates", "2", "--agent.slots", "2", "--agent.slot", "4"],
    "spinal": [*SHORT, *HALVES, "--agent.practice", "3200", "--agent.low-hidden", "4", "--agent.period", "3"],
    "h_dqn": [*SMALL, "--agent.patience", "4"],
    "hac": [*THIN, "--agent.horizon", "4", "--agent.batch-size", "8", "--agent.buffer-size", "2000"],
    "hiro": ["--env", "bellmax/point-maze", "--agent.goal-range", "2", "2", "--agent.period", "4", *SMALL],
    "merlin": [*ROWS, "--agent.latent", "4", "--agent.width", "8"],
    "rl_mem": [*ROWS, "--agent.row-size", "4", "--agent.head", "8"],
    "meta_mpc": [
        *["--agent.hidden", "8", "--agent.members", "2", "--agent.batch-size", "8", "--agent.buffer-size", "2000"],
        *["--agent.warmup", "200", "--agent.updates", "2", "--agent.population", "4", "--agent.elites", "2"],
        *["--agent.horizon", "2", "--agent.iterations", "1", "--agent.window", "4"],
    ],
    "unreal": SHORT,
    "zero_shot": [
        *["--env-options", "pairs=seen", "size=4", *SHORT, "--agent.teacher-updates", "2", "--agent.teacher-envs", "2"],
        *["--agent.distil-updates", "2"],
    ],
    "option_critic": [*SHORT, "--agent.options", "2"],
    "world_models": [
        *["--stages", "--agent.latent", "2", "--agent.units", "8", "--agent.layers", "1", "--agent.memory-size", "4"],
        *["--agent.components", "2", "--agent.population", "4", "--agent.episodes", "1"],
    ],
    "dreamer": [
        *["--agent.deter", "8", "--agent.hidden", "8", "--agent.units", "8", "--agent.layers", "1"],
        *["--agent.latent-size", "2", "--agent.classes", "3", "--agent.blocks", "2", "--agent.horizon", "3"],
        *["--agent.batch-size", "4", "--agent.length", "4", "--agent.replay-ratio", "4", "--agent.warmup", "200"],
        *["--agent.buffer-size", "2000"],
    ],
    "daml": ["--agent.hidden", "8", "--agent.filters", "4", "--env-options", "points=6"],
    "dyna": [*SMALL, "--agent.model-hidden", "8"],
    "planning": [
        *[*THIN, "--agent.horizon", "4", "--agent.population", "8", "--agent.elites", "2", "--agent.members", "2"],
        *["--agent.particles", "2", "--agent.batch-size", "8", "--agent.buffer-size", "2000"],
        *["--agent.updates", "2", "--agent.unroll", "10"],
    ],
    "i2a": [
        *["--stages", "--agent.world", "copy", *SHORT[2:], "--agent.depth", "2", "--agent.hidden", "8"],
        *["--agent.channels", "4", "--agent.encoder-channels", "4", "--agent.code", "8"],
        *["--agent.rollout-channels", "4", "--agent.rollout-hidden", "8"],
    ],
}  # fmt: skip


def small(name: str, lanes: int) -> list[str]:
    """The words of a small run of a command; of one that has none here, those that its task takes to be in graph.

    Args:
      name: of the command.
      lanes: B.
    """
    if name in offline_systems():
        return ["--dataset", path_of(RECORDED.get(name, "bellmax/catch")), "--updates", "1000", *WORDS.get(name, BATCH)]
    inside = import_module(f"experiments.{name}").experiment.flags().env.startswith("bellmax/")
    return ["--num-envs", str(lanes), "--steps", "2000", *WORDS.get(name, [] if inside else CATCH)]


def offline_systems() -> list[str]:
    """The commands that learn from recorded episodes alone."""
    return sorted(name for name in systems() if issubclass(flags_of(name), run.Offline))


def flags_of(name: str) -> type:
    """The dataclass of the flags of a command."""
    return import_module(f"experiments.{name}").experiment.flags
