"""BEAR: `python -m experiments.bear --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Tree
    from envs.base import TimeStep

Kernel = Literal["laplacian", "gaussian"]


@dataclass(frozen=True)
class Config(parts.offline.Learning):
    """Flags of the agent."""

    hidden: tuple[run.Count, ...] = (400, 300)
    generator_hidden: tuple[run.Count, ...] = (750, 750)
    """Sizes of the layers of the model of the data's actions."""
    generator_learning_rate: run.Positive = 1e-3
    """Adam's step size for the model of the data's actions."""
    multiplier_learning_rate: run.Positive = 1e-3
    """Adam's step size for the logarithm of the weight of the discrepancy."""
    discrepancy: run.Positive = 0.05
    """The discrepancy ε from the data's actions that the policy is held to."""
    kernel: Kernel = "laplacian"
    """Kernel that the discrepancy between two sets of actions is measured by."""
    width: run.Positive = 10.0
    """Width σ of the kernel; the authors have 10 for laplacian and 20 for gaussian."""
    samples: run.Count = 10
    """Actions of the policy and of the model that the discrepancy is of."""
    share: run.Unit = 0.75
    """Weight of the least critic beside the greatest in targets."""
    candidates: run.Count = 10
    """Number of the policy's actions that are drawn for a target and for acting; the best one counts."""
    imitated: run.Whole = 0
    """Updates at first in which the policy learns the discrepancy alone; the authors' code has 20,000 of 1 M."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train BEAR from recorded episodes (Kumar, Fu, Tucker and Levine, 2019)."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses actions that are not bounded.

    Raises:
      ValueError: naming the flag.
    """
    parts.unit_box(spec, "bear")
    parts.offline.check(config, spec, size)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    from agents.bear import Parts, bear
    from agents.common import optimisers
    from agents.common.critics import apply

    (actions,) = spec.action.shape
    policy = parts.offline.policy(config, spec, networks.TanhGaussianPolicy(actions))
    critic = parts.off_policy.critics(config, spec, config.critics)
    rates = (
        config.generator_learning_rate,
        config.learning_rate,
        config.policy_learning_rate,
        config.multiplier_learning_rate,
    )
    agent = bear(
        parts.action_model(spec, config.generator_hidden, config.cnn, config.dtype),
        critic,
        policy,
        Parts(*map(optimisers.adam, rates)),
        actions=actions,
        discount=config.discount,
        discrepancy=config.discrepancy,
        kernel=config.kernel,
        width=config.width,
        samples=config.samples,
        share=config.share,
        candidates=config.candidates,
        imitated=config.imitated,
        target_rate=config.target_rate,
    )

    def worth(state: "Tree", timestep: "TimeStep") -> "Array":
        return apply(critic, state.critic.params, timestep, apply(policy, state.policy.params, timestep).mode())[0]

    return parts.offline.parts(agent, spec, config, size, worth)


PRESETS: run.Presets = {
    "locomotion": parts.merge(
        {"updates": 1_000_000, "eval_episodes": 10},
        batch_size=100,
        policy_learning_rate=1e-4,
        imitated=20_000,
        normalise_observations=False,
    ),
    "pendulum": parts.merge(parts.offline.PENDULUM, generator_hidden=(64, 64), imitated=500),
    "continuous-cross": parts.merge(
        {"dataset": "made/continuous-cross", "updates": 5_000},
        hidden=(64, 64),
        generator_hidden=(64, 64),
        learning_rate=1e-3,
        policy_learning_rate=1e-3,
        batch_size=128,
        imitated=500,
        normalise_observations=False,
    ),
}
"""`locomotion` is the authors' setting on MuJoCo; `continuous-cross` is that of docs/results/bear.md, `pendulum` that
of docs/results/offline.md."""

experiment = run.Experiment("bear", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
