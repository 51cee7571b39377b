"""DDPG: `python -m experiments.ddpg --help`. `experiments.td3` is this module with other defaults."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array


@dataclass(frozen=True)
class Config(parts.off_policy.Learning):
    """Flags of the agent."""

    policy_learning_rate: run.Positive = 1e-3
    """Adam's step size for the policy."""
    critics: run.Count = 1
    """Number of critics, of which targets take the least value."""
    smoothing: run.NonNegative = 0.0
    """Standard deviation of the noise on the target policy's actions, in halves of the actions' range."""
    smoothing_limit: run.Limit = 0.5
    """Bound that the smoothing noise is clipped to."""
    delay: run.Count = 1
    """Critic steps per update; the policy and the targets move once."""
    noise: Literal["gaussian", "ornstein-uhlenbeck", "parameters"] = "gaussian"
    """What exploration adds: noise to actions, independent or correlated over time, or noise to parameters."""
    sigma: run.NonNegative = 0.1
    """Standard deviation of the exploration noise, in halves of the actions' range."""
    theta: run.NonNegative = 0.15
    """Rate at which an Ornstein-Uhlenbeck process returns to 0."""
    epsilon: run.Unit = 0.0
    """Probability of a uniformly random action."""
    parameter_noise_period: run.Count = 50
    """Updates for which perturbed parameters are held."""
    target_period: run.Count = 1
    """Updates between moves of the targets."""
    target_low: run.Real | None = None
    """Least value that a critic may be taught; with none there is no bound, or with hindsight the one that
    the rewards of the task can sum to."""
    target_high: run.Real | None = None
    """Largest value that a critic may be taught; with none there is no bound, or with hindsight the one that
    the rewards of the task can sum to."""
    action_cost: run.NonNegative = 0.0
    """Weight of the mean squared action in the policy's loss."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train DDPG (Lillicrap et al., 2016)."""

    env: str = "bellmax/pendulum"
    """Task with bounded continuous actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 4
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def target_range(config: Config) -> tuple[float, float]:
    """What critics are taught lies between."""
    low, high = config.target_low, config.target_high
    return -math.inf if low is None else low, math.inf if high is None else high


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are not bounded.

    Raises:
      ValueError: naming the flag.
    """
    low, high = target_range(config)
    if low >= high:
        raise ValueError(f"--agent.target-low {low}: must be below --agent.target-high {high}")
    parts.unit_box(spec, "ddpg")
    parts.off_policy.check(config, size)


def agent_of(config: Config, spec: "run.Spec", decay: "float | Array" = 0.0, **more: Any) -> "run.Agent":
    """The agent that the flags describe, acting in [-1, 1].

    Args:
      config: the flags.
      spec: the task.
      decay: weight of the L2 penalty on all parameters.
      **more: arguments of `agents.ddpg`, such as `demonstrations`, that no flag of this command sets.
    """
    import networks
    from agents.common import action_noise, exploration
    from agents.ddpg import Params, ddpg

    (actions,) = spec.action.shape
    torso = parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
    policy = networks.q_network(torso, networks.DeterministicPolicy(actions))
    processes = {
        "gaussian": lambda: action_noise.gaussian(config.sigma),
        "ornstein-uhlenbeck": lambda: action_noise.ornstein_uhlenbeck(actions, config.sigma, config.theta),
        "parameters": lambda: action_noise.gaussian(0.0),
    }
    chains = (parts.demonstrations.adam(rate, decay) for rate in (config.policy_learning_rate, config.learning_rate))
    agent = ddpg(
        policy,
        parts.off_policy.critics(config, spec, config.critics),
        Params(*chains),
        discount=config.discount,
        noise=processes[config.noise](),
        epsilon=config.epsilon,
        target_rate=config.target_rate,
        target_period=config.target_period,
        smoothing=config.smoothing,
        smoothing_limit=config.smoothing_limit,
        delay=config.delay,
        target_range=target_range(config),
        action_cost=config.action_cost,
        **more,
    )
    if config.noise == "parameters":
        distance = exploration.action_distance(policy)
        agent = exploration.parameter_noise(agent, distance, config.sigma, period=config.parameter_noise_period)
    return agent


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    return parts.off_policy.parts(agent_of(config, spec), spec, config, size, config.delay)


PRESETS: run.Presets = {
    "mujoco": parts.presets.DETERMINISTIC,
    "dm-control": parts.merge(parts.presets.DETERMINISTIC, parts.presets.SUITE),
    "mountain-car": parts.merge(parts.presets.MOUNTAIN, **parts.presets.CORRELATED),
}
"""`mujoco` is the setting of TD3's authors for DDPG too (Fujimoto et al., 2018), in place of that of DDPG's of 2016;
`dm-control` is the same on the DeepMind Control Suite; see `experiments.parts.presets`."""

experiment = run.Experiment("ddpg", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
