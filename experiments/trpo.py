"""TRPO: `python -m experiments.trpo --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Body):
    """Flags of the agent."""

    gae_lambda: run.Unit = 0.98
    """The λ of the generalised advantage."""
    radius: run.Positive = 0.01
    """Divergence δ that is allowed per step."""
    damping: run.NonNegative = 0.1
    """Damping η that is added to the Fisher matrix."""
    iterations: run.Count = 10
    """Steps of conjugate gradients."""
    slack: run.Positive = 1.0
    """Divergence that the line search accepts, in multiples of `radius`."""
    backtracks: run.Count = 10
    """Steps that the line search tries."""
    line_search: bool = True
    """Search along the step for one that is allowed; if not, take it as it is."""
    critic_learning_rate: run.Positive = 1e-3
    """Adam's step size for the critic."""
    max_grad_norm: run.Limit = 0.5
    """Global norm that the critic's gradients are clipped to."""
    epochs: run.Count = 10
    """Passes of the critic over each rollout."""
    minibatches: run.Count = 8
    """Gradient steps of the critic per pass."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train TRPO (Schulman et al., 2015) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags of a trust region and of a critic that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_passes(config, size)
    if config.shared:
        raise ValueError("--agent.shared: the critic's steps would move the policy out of its trust region")
    parts.actor_critics.check(config, spec)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.common import optimisers
    from agents.trpo import Region, trpo

    agent = trpo(
        parts.actor_critics.network(config, spec),
        optimisers.adam(config.critic_learning_rate, config.max_grad_norm),
        discount=config.discount,
        lambda_=config.gae_lambda,
        region=Region(*(getattr(config, name) for name in Region._fields)),
        epochs=config.epochs,
        minibatches=config.minibatches,
    )
    return parts.actor_critics.parts(agent, config, spec)


MUJOCO: dict[str, Any] = {
    "env": "envpool/HalfCheetah-v4",
    "steps": 1_000_000,
    "num_envs": 8,
    "agent.unroll": 256,
    "agent.iterations": 25,
    "agent.gae_lambda": 0.95,
    "agent.epochs": 20,
    "agent.minibatches": 16,
    "agent.normalise_observations": True,
    "agent.normalise_rewards": True,
}
PRESETS: run.Presets = {
    "cartpole": {
        "env": "gymnax/CartPole-v1",
        "steps": 100_000,
        "num_envs": 2,
        "agent.unroll": 512,
        "agent.damping": 1e-3,
        "agent.epochs": 20,
    },
    "pendulum": {
        "env": "bellmax/pendulum",
        "steps": 100_000,
        "num_envs": 2,
        "agent.unroll": 1024,
        "agent.damping": 0.1,
        "agent.discount": 0.9,
        "agent.gae_lambda": 0.95,
        "agent.epochs": 15,
        "agent.minibatches": 16,
        "agent.normalise_observations": True,
        "agent.normalise_rewards": True,
    },
    "mujoco": MUJOCO,
    "dm-control": MUJOCO | {"env": "envpool/CheetahRun-v1"},
}
"""All start from the tuned settings of Stable-Baselines3's zoo; what differs, on some tasks, is the size of
minibatches, normalised observations or rewards, and the annealing. `mujoco` is the zoo's, which has a radius of 0.04 on
HalfCheetah. `dm-control` is `mujoco` on the DeepMind Control Suite.
"""

experiment = run.Experiment("trpo", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
