"""ACKTR: `python -m experiments.acktr --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Body):
    """Flags of the agent."""

    learning_rate: run.Positive = 0.25
    """Largest step η that an update takes."""
    anneal: bool = True
    """Let η fall linearly to 0 over the run."""
    radius: run.Positive = 0.001
    """Divergence δ that is allowed per step."""
    momentum: run.Unit = 0.9
    """Momentum μ of the steps."""
    decay: run.Unit = 0.99
    """Decay of the running averages of the Fisher matrix's factors."""
    damping: run.NonNegative = 0.01
    """Damping λ that is added to the Fisher matrix by way of its factors."""
    curvature: bool = True
    """Use the Fisher matrix; if not, take plain gradients under the same bound."""
    gae_lambda: run.Unit = 1.0
    """The λ of the generalised advantage; 1 for the paper's n-step returns."""
    value_cost: run.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: run.NonNegative = 0.01
    """Weight of the entropy bonus."""
    unroll: run.Count = 20
    """Steps in each environment per update."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train ACKTR (Wu et al., 2017) on discrete or continuous actions."""

    factorises = True
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
    if config.memory != "none":
        raise ValueError(f"--agent.memory {config.memory}: ACKTR's factors are those of feed-forward layers")
    parts.actor_critics.check(config, spec)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.acktr import acktr

    agent = acktr(
        parts.actor_critics.network(config, spec),
        learning_rate=parts.actor_critics.annealed(
            config.learning_rate, config.anneal, parts.actor_critics.iterations(config, size)
        ),
        radius=config.radius,
        momentum=config.momentum,
        decay=config.decay,
        damping=config.damping,
        curvature=config.curvature,
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    return parts.actor_critics.parts(agent, config, spec)


experiment = run.Experiment("acktr", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
