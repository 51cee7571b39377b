"""Implicit Q-learning, for continuous and discrete actions: `python -m experiments.iql --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Tree
    from envs.base import TimeStep


@dataclass(frozen=True)
class Config(parts.offline.Learning):
    """Flags of the agent."""

    level: run.Share = 0.7
    """The expectile τ of the actions' values that a state is worth: 0.5 for their mean, near 1 for the best."""
    inverse_temperature: run.NonNegative = 3.0
    """The β by which better actions are imitated more; 0 is behavioural cloning."""
    weight_limit: run.Positive = 100.0
    """The largest weight of an action."""
    anneal_policy: bool = True
    """Let the policy's step size fall to 0 over the run, by a cosine."""
    explicit: bool = True
    """Learn the value of states. Without, the policy's own actions are valued instead, as in AWAC."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train IQL from recorded episodes (Kostrikov, Nair and Levine, 2022)."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete

    if config.level == 1:
        raise ValueError(f"--agent.level {config.level}: must be below 1, at which no value is too high")
    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "iql")
    parts.offline.check(config, spec, size)


def make(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax.numpy as jnp

    import networks
    from agents.common import optimisers
    from agents.common.critics import apply
    from agents.iql import Params, iql
    from envs.base import Discrete

    discrete = isinstance(spec.action, Discrete)
    head: Any
    if discrete:
        values = networks.q_network(
            parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype),
            networks.QValues(spec.action.num),
        )
        critic, head = networks.ensemble(values, config.critics), networks.CategoricalPolicy(spec.action.num)
    else:
        critic = parts.off_policy.critics(config, spec, config.critics)
        head = networks.GaussianPolicy(spec.action.shape[0], bounded=True)
    policy = parts.offline.policy(config, spec, head)
    value = networks.q_network(
        parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype), networks.Value()
    )
    rate: Any = config.policy_learning_rate
    if config.anneal_policy:
        rate = parts.cosine(config.policy_learning_rate, size.steps)
    chains = Params(optimisers.adam(rate), optimisers.adam(config.learning_rate), optimisers.adam(config.learning_rate))
    agent = iql(
        policy,
        critic,
        value if config.explicit else None,
        chains if config.explicit else chains._replace(value=()),
        discount=config.discount,
        level=config.level,
        inverse_temperature=config.inverse_temperature,
        weight_limit=config.weight_limit,
        target_rate=config.target_rate,
        discrete=discrete,
    )

    def worth(state: "Tree", timestep: "TimeStep") -> "Array":
        if config.explicit:
            return apply(value, state.value.params, timestep)
        action = apply(policy, state.policy.params, timestep).mode()
        q = jnp.min(apply(critic, state.critic.params, timestep, None if discrete else action), axis=0)
        return jnp.take_along_axis(q, action[..., None], -1)[..., 0] if discrete else q

    return parts.offline.parts(agent, spec, config, size, worth)


LOCOMOTION = parts.merge({"updates": 1_000_000, "eval_episodes": 10}, span_returns=True)
PRESETS: run.Presets = {
    "locomotion": LOCOMOTION,
    "pendulum": parts.offline.PENDULUM,
    "cross": parts.merge(
        {"dataset": "made/cross", "updates": 6_000},
        hidden=(64, 64),
        learning_rate=1e-3,
        policy_learning_rate=1e-3,
        discount=0.95,
        batch_size=128,
        target_rate=0.02,
        level=0.99,
        inverse_temperature=10.0,
        anneal_policy=False,
        normalise_observations=False,
    ),
    "continuous-cross": parts.merge(
        {"dataset": "made/continuous-cross", "updates": 10_000},
        hidden=(64, 64),
        learning_rate=1e-3,
        policy_learning_rate=1e-3,
        batch_size=128,
        level=0.9,
        inverse_temperature=10.0,
        normalise_observations=False,
    ),
}
"""`locomotion` is the authors' setting on D4RL's locomotion tasks; the crosses are those of docs/results/iql.md,
`pendulum` that of docs/results/offline.md."""

experiment = run.Experiment("iql", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
