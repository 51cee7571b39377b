"""Under what name a number is shown where numbers are grouped: TensorBoard and Weights & Biases.

    episode/      return, length and count of the episodes that ended in training
    evaluation/   what evaluations found: return, length, success, cut
    losses/       everything whose name ends in `loss`
    actors/       of runs with actors apart: how many answer and were lost, how old their parameters are
    speed/        steps_per_second or updates_per_second, and for W&B wall_seconds
    train/        all else that an agent tells: entropy, learning_rate, q_mean and so on

`metrics.csv` has the names themselves.
"""

from experiments.reports.sinks.logger import Kind

TAGS = {
    "episode_return": "episode/return",
    "episode_length": "episode/length",
    "episodes": "episode/count",
    "steps_per_second": "speed/steps_per_second",
    "updates_per_second": "speed/updates_per_second",
    "wall_seconds": "speed/wall_seconds",
    "actors_alive": "actors/alive",
    "actors_lost": "actors/lost",
    "version_age": "actors/version_age",
    "waiting": "actors/waiting",
    "samples_per_insert": "actors/samples_per_insert",
    "dropped": "actors/dropped",
}


def tag(kind: Kind, name: str) -> str:
    """`group/name` of a metric of a log point."""
    if kind == "eval":
        return f"evaluation/{name.removeprefix('eval_')}"
    return TAGS.get(name) or (f"losses/{name}" if name.endswith("loss") else f"train/{name}")
