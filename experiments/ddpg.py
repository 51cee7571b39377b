"""DDPG: `python -m experiments.ddpg --help`. `experiments.td3` is this module with other defaults."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import build, control, flags, presets_control, ranges, runs

if TYPE_CHECKING:
    from experiments.drivers import Parts


@dataclass(frozen=True)
class Config(control.Learning):
    """Flags of the agent."""

    policy_learning_rate: ranges.Positive = 1e-3
    """Adam's step size for the policy."""
    critics: ranges.Count = 1
    """Critics, of which targets take the least value."""
    smoothing: ranges.NonNegative = 0.0
    """Standard deviation of the noise on the target policy's actions, in halves of the actions' range."""
    smoothing_limit: ranges.Limit = 0.5
    """What that noise is clipped to."""
    delay: ranges.Count = 1
    """Critic steps per update; the policy and the targets move once."""
    noise: Literal["gaussian", "ornstein-uhlenbeck", "parameters"] = "gaussian"
    """What exploration adds: noise to actions, independent or correlated over time, or noise to parameters."""
    sigma: ranges.NonNegative = 0.1
    """Its standard deviation, in halves of the actions' range."""
    theta: ranges.NonNegative = 0.15
    """Rate at which an Ornstein-Uhlenbeck process returns to 0."""
    epsilon: ranges.Unit = 0.0
    """Probability of a uniformly random action."""
    parameter_noise_period: ranges.Count = 50
    """Updates for which perturbed parameters are held."""
    target_period: ranges.Count = 1
    """Updates between moves of the targets."""
    target_low: ranges.Real = -1e9
    """Least value that a critic may be taught, such as -1 / (1 - γ)."""
    target_high: ranges.Real = 1e9
    """Largest value that a critic may be taught."""
    action_cost: ranges.NonNegative = 0.0
    """Weight of the mean squared action in the policy's loss."""


@dataclass(frozen=True)
class Flags(flags.Common):
    """Train DDPG (Lillicrap et al., 2016)."""

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
    from agents import exploration, noise, optimisers
    from agents.ddpg import Params, ddpg

    control.check(config, ("critics", "delay", "target_period", "parameter_noise_period"))
    box = build.unit_box(spec, "ddpg")
    (size,) = box.shape
    torso = build.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
    policy = networks.q_network(torso, networks.DeterministicPolicy(size))
    processes = {
        "gaussian": lambda: noise.gaussian(config.sigma),
        "ornstein-uhlenbeck": lambda: noise.ornstein_uhlenbeck(size, config.sigma, config.theta),
        "parameters": lambda: noise.gaussian(0.0),
    }
    agent = ddpg(
        policy,
        control.critics(config, spec, config.critics),
        Params(optimisers.adam(config.policy_learning_rate), optimisers.adam(config.learning_rate)),
        discount=config.discount,
        noise=processes[config.noise](),
        epsilon=config.epsilon,
        target_rate=config.target_rate,
        target_period=config.target_period,
        smoothing=config.smoothing,
        smoothing_limit=config.smoothing_limit,
        delay=config.delay,
        target_range=(config.target_low, config.target_high),
        action_cost=config.action_cost,
    )
    if config.noise == "parameters":
        distance = exploration.action_distance(policy)
        agent = exploration.parameter_noise(agent, distance, config.sigma, period=config.parameter_noise_period)
    return control.parts(agent, box, config, scale, config.delay)


main = runs.main("ddpg", Flags, make, presets_control.DDPG)

if __name__ == "__main__":
    main()
