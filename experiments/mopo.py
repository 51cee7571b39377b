"""MOPO, and by its flags COMBO: `python -m experiments.mopo --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Tree
    from envs.base import TimeStep


@dataclass(frozen=True)
class Config(parts.offline.Learning):
    """Flags of the agent."""

    penalty: run.NonNegative = 1.0
    """Factor λ of the models' uncertainty, by which imagined rewards are lowered."""
    conservatism: run.NonNegative = 0.0
    """Weight of values in imagined states over those of the data in the critics' loss: COMBO's, with `penalty` 0."""
    samples: run.Count = 10
    """Actions of each kind from which COMBO's penalty on values is estimated."""
    starts: run.Count = 49
    """Rollouts that begin in each update."""
    depth: run.Count = 5
    """Steps of a rollout."""
    real: run.Count = 13
    """Transitions of the data that the agent learns from in each update, beside `starts` x `depth` imagined ones."""
    members: run.Count = 7
    """Models in the ensemble; it must divide `starts` and `batch_size`, which the models share."""
    batch_size: run.Count = 1792
    """Transitions that the models learn from in each update."""
    model_hidden: tuple[run.Count, ...] = (200, 200, 200, 200)
    """Sizes of the models' dense layers."""
    model_learning_rate: run.Positive = 1e-3
    """Adam's step size for the models."""
    model_warmup: run.Whole = 10_000
    """Updates of the models before the agent learns from what they imagine."""
    ends: bool = True
    """Whether episodes can end by the task's rules, which the models then predict."""
    temperature: run.Positive = 1.0
    """Temperature α of the policy's entropy bonus at first; it is learned."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train MOPO from recorded episodes (Yu et al., 2020), or COMBO (Yu et al., 2021)."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, actions that are not bounded, and observations that are not vectors.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box

    parts.unit_box(spec, "mopo")
    if not isinstance(spec.observation, Box) or len(spec.observation.shape) != 1:
        raise ValueError(f"--env {spec.name}: the models need vectors, but observations are {spec.observation}")
    if config.n_step != 1:
        raise ValueError(f"--agent.n-step {config.n_step}: models learn what one action leads to; must be 1")
    batch = size.per_device(config.batch_size, "agent.batch_size")
    for name, value in (("starts", config.starts), ("batch-size", batch)):
        if value % config.members:
            raise ValueError(f"--agent.{name} {value}: must be a multiple of --agent.members {config.members}")
    for name, value in (("starts", config.starts), ("real", config.real)):
        if value > batch:
            raise ValueError(f"--agent.{name} {value}: must be at most --agent.batch-size per device, {batch}")
    parts.offline.check(config, spec, size)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax.numpy as jnp

    import networks
    from agents.common import optimisers, penalties
    from agents.common.critics import apply
    from agents.mopo import mopo
    from agents.sac import Params, sac
    from agents.world.dynamics import ensemble
    from envs.base import Box

    (actions,) = spec.action.shape
    policy = parts.offline.policy(config, spec, networks.TanhGaussianPolicy(actions))
    critic = parts.off_policy.critics(config, spec, config.critics)
    rates = (config.policy_learning_rate, config.learning_rate, config.policy_learning_rate)
    none = isinstance(config.conservatism, float) and not config.conservatism
    gap = penalties.imagined_over_real(critic, config.starts * config.depth, config.samples)
    agent = sac(
        policy,
        critic,
        Params(*map(optimisers.adam, rates)),
        discount=config.discount,
        temperature=config.temperature,
        target_entropy=-float(actions),
        target_rate=config.target_rate,
        penalty=None if none else gap,
        penalty_weight=config.conservatism,
    )
    learner = ensemble(
        Box((actions,), -1.0, 1.0),
        optimisers.adam(config.model_learning_rate),
        sizes=config.model_hidden,
        members=config.members,
        sampled=True,
        ends=config.ends,
    )
    agent = mopo(
        agent,
        learner,
        starts=config.starts,
        depth=config.depth,
        real=config.real,
        penalty=config.penalty,
        warmup=config.model_warmup,
    )

    def worth(state: "Tree", timestep: "TimeStep") -> "Array":
        action = apply(policy, state.inner.policy.params, timestep).mode()
        return jnp.min(apply(critic, state.inner.critic.params, timestep, action), axis=0)

    return parts.offline.parts(agent, spec, config, size, worth)


LOCOMOTION = {"updates": 1_000_000, "eval_episodes": 10}
PENDULUM = parts.merge(
    {"updates": 8_000, "eval_episodes": 32},
    hidden=(64, 64),
    learning_rate=1e-3,
    policy_learning_rate=1e-3,
    model_hidden=(64, 64),
    members=4,
    starts=48,
    depth=3,
    real=16,
    batch_size=256,
    model_warmup=1_000,
    ends=False,
)
PRESETS: run.Presets = {
    "locomotion": LOCOMOTION,
    "pendulum": PENDULUM,
    "pendulum-combo": parts.merge(PENDULUM, penalty=0.0, conservatism=0.5, real=48),
    "combo": parts.merge(LOCOMOTION, penalty=0.0, conservatism=0.5, real=128, starts=28),
}
"""`locomotion` and `combo` are settings for D4RL's locomotion tasks, where λ, the depth and COMBO's weight differ by
dataset; `pendulum` is that of docs/results/mopo.md, and of docs/results/offline.md with `pendulum-combo`."""

experiment = run.Experiment("mopo", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
