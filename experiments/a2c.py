"""A2C: `python -m experiments.a2c --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Body):
    """Flags of the agent."""

    gae_lambda: run.Unit = 0.95
    """The λ of the generalised advantage; 1 for the paper's n-step returns."""
    unroll: run.Count = 16
    """Steps in each environment per update."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train A2C (Mnih et al., 2016, in its synchronous form) on discrete or continuous actions."""

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


def make(config: Config, spec: "run.Spec", size: run.Size, learner: Any = None, second: Any = None) -> run.Parts:
    """The parts of one run, of flags that `check` accepts.

    A `learner` takes the place of the flags' optimiser, and there may be a `second` stream of rewards to learn from.
    """
    from agents.a2c import a2c

    agent = a2c(
        parts.actor_critics.network(config, spec, 1 if second is None else 2),
        learner or parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, size)),
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
        second=second,
    )
    return parts.actor_critics.parts(agent, config, spec)


PRESETS: run.Presets = {
    "cartpole": {
        "env": "gymnax/CartPole-v1",
        "steps": 500_000,
        "num_envs": 8,
        "agent.unroll": 5,
        "agent.learning_rate": 7e-4,
        "agent.anneal": True,
        "agent.gae_lambda": 1.0,
        "agent.entropy_cost": 0.0,
    },
    "atari": parts.presets_policy.ATARI
    | {
        "num_envs": 16,
        "agent.unroll": 5,
        "agent.optimiser": "rmsprop",
        "agent.learning_rate": 7e-4,
        "agent.gae_lambda": 1.0,
    },
}
"""`cartpole` starts from the tuned settings of Stable-Baselines3's zoo, with Adam. `atari` is Stable-Baselines3's, with
the step size falling to 0 as in Mnih et al. (2016); losses there are means, as here.
"""

experiment = run.Experiment("a2c", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
