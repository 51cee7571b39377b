"""EDAC, and without its diversity SAC-N: `python -m experiments.edac --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Tree
    from envs.base import TimeStep


@dataclass(frozen=True)
class Config(parts.offline.Learning):
    """Flags of the agent."""

    hidden: tuple[run.Count, ...] = (256, 256, 256)
    critics: run.Count = 10
    diversity: run.NonNegative = 1.0
    """Weight η of how alike the slopes of the critics are at the data's actions; 0 for SAC-N."""
    temperature: run.Positive = 1.0
    """Temperature α of the policy's entropy bonus at first; it is learned."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train EDAC from recorded episodes (An, Moon, Kim and Song, 2021), or SAC-N."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are not bounded.

    Raises:
      ValueError: naming the flag.
    """
    if config.diversity and config.critics < 2:
        raise ValueError(f"--agent.critics {config.critics}: must be 2 or more, or --agent.diversity 0")
    parts.unit_box(spec, "edac")
    parts.offline.check(config, spec, size)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax.numpy as jnp

    import networks
    from agents.common import optimisers, penalties
    from agents.common.critics import apply
    from agents.sac import Params, sac

    (actions,) = spec.action.shape
    policy = parts.offline.policy(config, spec, networks.TanhGaussianPolicy(actions))
    member = parts.critic(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
    critic = networks.ensemble(member, config.critics)
    rates = (config.policy_learning_rate, config.learning_rate, config.policy_learning_rate)
    none = isinstance(config.diversity, float) and not config.diversity
    agent = sac(
        policy,
        critic,
        Params(*map(optimisers.adam, rates)),
        discount=config.discount,
        temperature=config.temperature,
        target_entropy=-float(actions),
        target_rate=config.target_rate,
        penalty=None if none else penalties.alike(member),
        penalty_weight=config.diversity,
    )

    def worth(state: "Tree", timestep: "TimeStep") -> "Array":
        action = apply(policy, state.policy.params, timestep).mode()
        return jnp.min(apply(critic, state.critic.params, timestep, action), axis=0)

    return parts.offline.parts(agent, spec, config, size, worth)


LOCOMOTION = parts.merge({"updates": 1_000_000, "eval_episodes": 10}, normalise_observations=False)
PRESETS: run.Presets = {
    "locomotion": LOCOMOTION,
    "sac-n": parts.merge(LOCOMOTION, critics=50, diversity=0.0),
    "pendulum": parts.merge(parts.offline.PENDULUM, temperature=0.1),
    "continuous-cross": parts.merge(
        {"dataset": "made/continuous-cross", "updates": 10_000},
        hidden=(64, 64),
        learning_rate=1e-3,
        policy_learning_rate=1e-3,
        batch_size=128,
        normalise_observations=False,
    ),
}
"""`locomotion` and `sac-n` are the authors' settings on D4RL's locomotion tasks, where the number of critics and η
differ by dataset; `continuous-cross` is that of docs/results/edac.md, `pendulum` that of docs/results/offline.md."""

experiment = run.Experiment("edac", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
