"""NAF: `python -m experiments.naf --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.off_policy.Learning):
    """Flags of the agent."""

    max_grad_norm: run.Limit = 1.0
    """Global norm that gradients are clipped to."""
    precision: Literal["full", "diagonal", "identity"] = "full"
    """Curvature P of the advantage: any, along the dimensions, or the same for all actions everywhere."""
    noise: Literal["gaussian", "ornstein-uhlenbeck"] = "gaussian"
    """What exploration adds to actions: independent or correlated over time."""
    sigma: run.NonNegative = 0.2
    """Standard deviation of the exploration noise, in halves of the actions' range."""
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


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are not bounded.

    Raises:
      ValueError: naming the flag.
    """
    parts.unit_box(spec, "naf")
    parts.off_policy.check(config, size)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    from agents.common import action_noise, optimisers
    from agents.naf import naf

    (actions,) = spec.action.shape
    torso = parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
    correlated = config.noise == "ornstein-uhlenbeck"
    agent = naf(
        networks.q_network(torso, networks.QuadraticQ(actions, config.precision)),
        optimisers.adam(config.learning_rate, config.max_grad_norm),
        discount=config.discount,
        noise=action_noise.ornstein_uhlenbeck(actions, config.sigma, config.theta)
        if correlated
        else action_noise.gaussian(config.sigma),
        target_rate=config.target_rate,
    )
    return parts.off_policy.parts(agent, spec, config, size)


MUJOCO = parts.merge(parts.presets.OFF_POLICY, sigma=0.1)
PRESETS: run.Presets = {"mujoco": MUJOCO, "dm-control": parts.merge(MUJOCO, parts.presets.SUITE)}
"""`mujoco` has the networks, batches and steps of the authors of TD3 and SAC, in place of those of NAF's of 2016, and
`dm-control` is the same on the DeepMind Control Suite; see `experiments.parts.presets`."""

experiment = run.Experiment("naf", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
