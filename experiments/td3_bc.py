"""TD3+BC, and by its flags ReBRAC: `python -m experiments.td3_bc --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Tree
    from envs.base import TimeStep


@dataclass(frozen=True)
class Config(parts.offline.Learning):
    """Flags of the agent."""

    clone: bool = True
    """Keep to the actions of the data; without, TD3 learns from the data as it is."""
    alpha: run.Positive = 2.5
    """Factor of the value, over its mean size, beside the distance from the data's action in the policy's loss."""
    weight: run.NonNegative | None = None
    """Factor of the squared distance between the policy's and the data's action in the policy's loss, summed over
    dimensions; by default 1 over their number. ReBRAC's β₁."""
    critic_weight: run.NonNegative = 0.0
    """Factor of the squared distance of the next action from that of the data, by which targets fall. ReBRAC's β₂."""
    least: bool = False
    """Let the policy ascend the least of the critics, as ReBRAC's, and not the first one."""
    smoothing: run.NonNegative = 0.2
    """Standard deviation of the noise on the target policy's actions, in halves of the actions' range."""
    smoothing_limit: run.Limit = 0.5
    """Bound that the smoothing noise is clipped to."""
    delay: run.Count = 2
    """Critic steps per update, each on a batch of its own; the policy and the targets move once."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train TD3+BC from recorded episodes (Fujimoto and Gu, 2021), or ReBRAC (Tarasov et al., 2023)."""

    updates: run.Steps = 50_000
    """Updates that each seed trains for."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are not bounded.

    Raises:
      ValueError: naming the flag.
    """
    if not config.clone and (config.weight is not None or config.critic_weight):
        name, value = ("critic-weight", config.critic_weight) if config.critic_weight else ("weight", config.weight)
        raise ValueError(f"--agent.{name} {value}: of use only with --agent.clone")
    parts.unit_box(spec, "td3_bc")
    parts.offline.check(config, spec, size)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    from agents.common import optimisers
    from agents.common.critics import apply
    from agents.ddpg import Cloning, Params, ddpg

    (actions,) = spec.action.shape
    policy = parts.offline.policy(config, spec, networks.DeterministicPolicy(actions))
    critic = parts.off_policy.critics(config, spec, config.critics)
    weight = 1 / actions if config.weight is None else config.weight
    agent = ddpg(
        policy,
        critic,
        Params(optimisers.adam(config.policy_learning_rate), optimisers.adam(config.learning_rate)),
        discount=config.discount,
        target_rate=config.target_rate,
        smoothing=config.smoothing,
        smoothing_limit=config.smoothing_limit,
        delay=config.delay,
        cloning=Cloning(weight, config.alpha, config.critic_weight, config.least) if config.clone else None,
    )

    def worth(state: "Tree", timestep: "TimeStep") -> "Array":
        return apply(critic, state.critic.params, timestep, apply(policy, state.policy.params, timestep))[0]

    return parts.offline.parts(agent, spec, config, size, worth, config.delay)


PRESETS: run.Presets = {
    "locomotion": {"updates": 500_000, "eval_episodes": 10},  # an update takes two critic steps
    "rebrac": parts.merge(
        {"updates": 500_000, "eval_episodes": 10},
        alpha=1.0,
        weight=0.01,
        critic_weight=0.01,
        least=True,
        layer_norm=True,
        hidden=(256, 256, 256),
        batch_size=1024,
        learning_rate=1e-3,
        policy_learning_rate=1e-3,
        normalise_observations=False,
    ),
    "pendulum": parts.offline.PENDULUM | {"updates": 10_000},
    "pendulum-rebrac": parts.merge(
        parts.offline.PENDULUM,
        {"updates": 10_000},
        alpha=1.0,
        weight=0.1,
        critic_weight=0.1,
        least=True,
        layer_norm=True,
    ),
    "continuous-cross": parts.merge(
        {"dataset": "made/continuous-cross", "updates": 10_000},
        hidden=(64, 64),
        learning_rate=1e-3,
        policy_learning_rate=1e-3,
        batch_size=128,
        normalise_observations=False,
    ),
}
"""`locomotion` is TD3+BC's setting on D4RL's locomotion tasks, `rebrac` ReBRAC's, whose weights differ by dataset;
`continuous-cross` is that of docs/results/td3_bc.md, `pendulum` and `pendulum-rebrac` are those of
docs/results/offline.md."""

experiment = run.Experiment("td3_bc", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
