"""NAF: `python -m experiments.naf --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import build, control, flags, presets_control, ranges, runs

if TYPE_CHECKING:
    from experiments.drivers import Parts


@dataclass(frozen=True)
class Config(control.Learning):
    """Flags of the agent."""

    precision: Literal["full", "diagonal", "identity"] = "full"
    """The curvature P of the advantage: any, along the dimensions, or the same for all actions everywhere."""
    noise: Literal["gaussian", "ornstein-uhlenbeck"] = "gaussian"
    """What exploration adds to actions: independent or correlated over time."""
    sigma: ranges.NonNegative = 0.2
    """Its standard deviation, in halves of the actions' range."""
    theta: ranges.NonNegative = 0.15
    """Rate at which an Ornstein-Uhlenbeck process returns to 0."""


@dataclass(frozen=True)
class Flags(flags.Common):
    """Train NAF (Gu et al., 2016)."""

    env: str = "bellmax/pendulum"
    """Task with bounded continuous actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: ranges.Count = 4
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: runs.Scale) -> "Parts":
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together, or actions that are not bounded.
    """
    import networks
    from agents import noise, optimisers
    from agents.naf import naf

    control.check(config)
    box = build.unit_box(spec, "naf")
    (size,) = box.shape
    torso = build.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
    correlated = config.noise == "ornstein-uhlenbeck"
    agent = naf(
        networks.q_network(torso, networks.QuadraticQ(size, config.precision)),
        optimisers.adam(config.learning_rate),
        discount=config.discount,
        noise=noise.ornstein_uhlenbeck(size, config.sigma, config.theta)
        if correlated
        else noise.gaussian(config.sigma),
        target_rate=config.target_rate,
    )
    return control.parts(agent, box, config, scale)


main = runs.main("naf", Flags, make, presets_control.NAF)

if __name__ == "__main__":
    main()
