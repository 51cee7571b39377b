"""IMPALA: `python -m experiments.impala --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from agents.common.lessons import Lesson


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Body):
    """Flags of the agent."""

    lag: run.Whole = 0
    """Updates that the acting parameters are behind."""
    correct: bool = True
    """Correct for the lag by V-trace; if not, actions count as if the policy had taken them, as in A3C."""
    vtrace_lambda: run.Unit = 1.0
    """The λ of V-trace's returns."""
    clip_rho: run.Limit = 1.0
    """Bound on the importance ratios of the value targets."""
    clip_pg_rho: run.Limit = 1.0
    """Bound on the importance ratios of the policy gradient."""
    unroll: run.Count = 20
    """Steps in each environment per update."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train IMPALA (Espeholt et al., 2018) with a fixed lag of its actors, on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    parts.actor_critics.check(config, spec)


def make(config: Config, spec: "run.Spec", size: run.Size, lesson: "Lesson | None" = None) -> run.Parts:
    """The parts of one run, of flags that `check` accepts; with a `lesson` to learn from beside the reward."""
    from agents.impala import impala

    agent = impala(
        parts.actor_critics.network(config, spec),
        parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, size)),
        lag=config.lag,
        discount=config.discount,
        lambda_=config.vtrace_lambda,
        clip_rho=config.clip_rho,
        clip_pg_rho=config.clip_pg_rho,
        correct=config.correct,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
        lesson=lesson,
    )
    return parts.actor_critics.parts(agent, config, spec)


PRESETS: run.Presets = {
    "cartpole": {"env": "gymnax/CartPole-v1", "steps": 500_000, "agent.lag": 16},
    "atari": parts.presets_policy.ATARI
    | {
        "steps": 50_000_000,
        "num_envs": 32,
        "agent.cnn": "impala",
        "agent.hidden": (256,),
        "agent.unroll": 20,
        "agent.optimiser": "rmsprop",
        "agent.optimiser_eps": 0.01 / 640**2,
        "agent.learning_rate": 6e-4,
        "agent.max_grad_norm": 40 / 640,
    },
}
"""`atari` is Espeholt et al.'s (2018) deep network without memory, whose loss is the sum over 640 steps of ours: ε of
RMSProp is divided by 640², the bound on the gradient by 640, while the mean square from 1 has no such twin and makes
for a slower start.
"""

experiment = run.Experiment("impala", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
