"""Flags with which every command makes a small run on a task in graph, most of whose time is compilation."""

from importlib import import_module

CATCH = ["--env", "bellmax/catch"]
THIN = ["--agent.hidden", "8"]
SMALL = [*THIN, "--agent.warmup", "200", "--agent.batch-size", "8", "--agent.buffer-size", "2000"]
SHORT = [*THIN, "--agent.unroll", "8"]
HALVES = ["--agent.epochs", "2", "--agent.minibatches", "2"]
MEMORY = [*SMALL, "--agent.memory-size", "8", "--agent.length", "4", "--agent.unroll", "4"]
ROWS = [*THIN, "--agent.lstm", "8", "--agent.rows", "4", "--agent.keys", "2", "--agent.unroll", "4"]
WORDS = {
    **{name: [*CATCH, *SMALL] for name in ("dqn", "rainbow", "ape_x", "gorila")},
    "curiosity": [*CATCH, *SMALL, "--agent.bonus", "icm", "--agent.bonus-hidden", "8", "--agent.bonus-features", "4"],
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
    "acer": [*CATCH, *SHORT, "--agent.buffer-size", "2000"],
    "q_prop": [*SHORT, *HALVES, "--agent.q-epochs", "2", "--agent.q-minibatches", "2", "--agent.buffer-size", "2000"],
    **dict.fromkeys(("ddpg", "td3", "sac", "naf"), SMALL),
    "cem": ["--agent.population", "8", "--agent.best", "4"],
    "cma_es": ["--agent.population", "8", "--agent.episodes", "1"],
    "her": ["--env", "bellmax/bit-flip", "--env-options", "bits=4", *SMALL[:2], *SMALL[4:], "--agent.unroll", "5"],
    "hac": [*THIN, "--agent.horizon", "4", "--agent.batch-size", "8", "--agent.buffer-size", "2000"],
    "hiro": ["--env", "bellmax/point-maze", "--agent.goal-range", "2", "2", "--agent.period", "4", *SMALL],
    "merlin": [*ROWS, "--agent.latent", "4", "--agent.width", "8"],
    "rl_mem": [*ROWS, "--agent.row-size", "4", "--agent.head", "8"],
    "unreal": SHORT,
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
    inside = import_module(f"experiments.{name}").experiment.flags().env.startswith("bellmax/")
    return ["--num-envs", str(lanes), "--steps", "2000", *WORDS.get(name, [] if inside else CATCH)]
