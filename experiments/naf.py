"""NAF: `python -m experiments.naf --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.off_policy.Learning):
    """Flags of the agent."""

    precision: Literal["full", "diagonal", "identity"] = "full"
    """The curvature P of the advantage: any, along the dimensions, or the same for all actions everywhere."""
    noise: Literal["gaussian", "ornstein-uhlenbeck"] = "gaussian"
    """What exploration adds to actions: independent or correlated over time."""
    sigma: run.NonNegative = 0.2
    """Its standard deviation, in halves of the actions' range."""
    theta: run.NonNegative = 0.15
    """Rate at which an Ornstein-Uhlenbeck process returns to 0."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train NAF (Gu et al., 2016)."""

    env: str = "bellmax/pendulum"
    """Task with bounded continuous actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 4
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: run.Size) -> run.Parts:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together, or actions that are not bounded.
    """
    import networks
    from agents.common import action_noise, optimisers
    from agents.naf import naf

    parts.off_policy.check(config)
    box = parts.unit_box(spec, "naf")
    (size,) = box.shape
    torso = parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
    correlated = config.noise == "ornstein-uhlenbeck"
    agent = naf(
        networks.q_network(torso, networks.QuadraticQ(size, config.precision)),
        optimisers.adam(config.learning_rate),
        discount=config.discount,
        noise=action_noise.ornstein_uhlenbeck(size, config.sigma, config.theta)
        if correlated
        else action_noise.gaussian(config.sigma),
        target_rate=config.target_rate,
    )
    return parts.off_policy.parts(agent, spec, config, scale)


experiment = run.Experiment("naf", Flags, run.accept, make, parts.presets_control.NAF)
main = experiment.main

if __name__ == "__main__":
    main()
