"""Conservative Q-learning, for continuous and discrete actions: `python -m experiments.cql --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Tree
    from envs.base import TimeStep


@dataclass(frozen=True)
class Config(parts.offline.Learning):
    """Flags of the agent. For discrete actions it is double DQN, and no flag of the policy is of use."""

    policy_learning_rate: run.Positive = 1e-4
    penalty: run.NonNegative = 5.0
    """Weight α of the conservative penalty beside ½δ²; 0 for none."""
    samples: run.Count = 10
    """Actions of each kind (uniform, the policy's, the policy's one step on) that the penalty is estimated from."""
    gap: run.Positive | None = None
    """Value that `penalty` times the conservative penalty is kept at, by a learned multiplier; None keeps the
    multiplier at 1."""
    calibrated: bool = False
    """Count values of the policy's actions for no less than what followed in the data, as Cal-QL does; usually to go on
    with `online`."""
    soft_targets: bool = False
    """Count the policy's entropy in the targets of the values."""
    cloned: run.Whole = 0
    """Updates at first in which the policy imitates the data; the authors' code has 40,000 of 1 M."""
    temperature: run.NonNegative = 1.0
    """Temperature α of the policy's entropy bonus at first; it is learned."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train CQL from recorded episodes (Kumar, Zhou, Tucker and Levine, 2020), or Cal-QL (Nakamoto et al., 2023)."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete

    if config.gap is not None and not config.penalty:
        raise ValueError(f"--agent.gap {config.gap}: of use only with --agent.penalty above 0")
    if config.calibrated and not config.penalty:
        raise ValueError("--agent.calibrated: of use only with --agent.penalty above 0")
    if isinstance(spec.action, Discrete):
        if config.gap is not None:
            raise ValueError(f"--agent.gap {config.gap}: is for continuous actions; {spec.name} has discrete ones")
        if config.calibrated:
            raise ValueError(f"--agent.calibrated: is for continuous actions; {spec.name} has discrete ones")
    else:
        if not config.temperature:
            raise ValueError(f"--agent.temperature {config.temperature}: must be above 0, since it is learned")
        parts.unit_box(spec, "cql")
    parts.offline.check(config, spec, size)


def make(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from envs.base import Discrete

    return of_discrete(config, spec, size) if isinstance(spec.action, Discrete) else of_continuous(config, spec, size)


def of_discrete(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """DQN with the exact penalty."""
    import jax.numpy as jnp

    import networks
    from agents.common import optimisers
    from agents.common.critics import apply
    from agents.dqn import dqn

    network = networks.q_network(
        parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype),
        networks.QValues(spec.action.num),
    )
    agent = dqn(
        network,
        optimisers.adam(config.learning_rate),
        discount=config.discount,
        epsilon=0.0,
        target_rate=config.target_rate,
        conservatism=config.penalty,
    )
    worth = lambda state, timestep: jnp.max(apply(network, state.params, timestep), axis=-1)  # noqa: E731
    return parts.offline.parts(agent, spec, config, size, worth)


def of_continuous(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """SAC with the penalty that is estimated from samples."""
    import jax.numpy as jnp

    import networks
    from agents.common import optimisers, penalties
    from agents.common.critics import apply
    from agents.sac import Constraint, Params, sac

    (actions,) = spec.action.shape
    policy = parts.offline.policy(config, spec, networks.TanhGaussianPolicy(actions))
    critic = parts.off_policy.critics(config, spec, config.critics)
    rates = (config.policy_learning_rate, config.learning_rate, config.policy_learning_rate)
    agent = sac(
        policy,
        critic,
        Params(*map(optimisers.adam, rates)),
        discount=config.discount,
        temperature=config.temperature,
        target_entropy=-float(actions),
        target_rate=config.target_rate,
        penalty=penalties.conservative(critic, config.samples, calibrated=config.calibrated),
        penalty_weight=config.penalty,
        constraint=None if config.gap is None else Constraint(config.gap, optimisers.adam(config.learning_rate)),
        soft_targets=config.soft_targets,
        cloned=config.cloned,
    )

    def worth(state: "Tree", timestep: "TimeStep") -> "Array":
        action = apply(policy, state.policy.params, timestep).mode()
        return jnp.min(apply(critic, state.critic.params, timestep, action), axis=0)

    longest = max(size.data.longest, spec.time_limit or 0)
    followed = longest if config.calibrated else 0
    return parts.offline.parts(agent, spec, config, size, worth, followed=followed)


PRESETS: run.Presets = {
    "locomotion": parts.merge(
        {"updates": 1_000_000, "eval_episodes": 10},
        hidden=(256, 256, 256),
        cloned=40_000,
        normalise_observations=False,
    ),
    "pendulum": parts.merge(parts.offline.PENDULUM, temperature=0.1, samples=4),
    "cross": parts.merge(
        {"dataset": "made/cross", "updates": 6_000},
        hidden=(64, 64),
        learning_rate=1e-3,
        discount=0.95,
        batch_size=128,
        target_rate=0.02,
        penalty=0.02,
        normalise_observations=False,
    ),
}
"""`locomotion` is the authors' code's setting on D4RL's locomotion tasks, whose weight of 10 beside δ² is 5 beside ½δ²;
`cross` is that of docs/results/cql.md, `pendulum` that of docs/results/offline.md."""

experiment = run.Experiment("cql", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
