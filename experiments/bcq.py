"""Batch-constrained Q-learning, for continuous and discrete actions: `python -m experiments.bcq --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Tree
    from envs.base import TimeStep


@dataclass(frozen=True)
class Config(parts.offline.Learning):
    """Flags of the agent. For discrete actions it is double DQN whose actions are limited."""

    learning_rate: run.Positive = 1e-3
    policy_learning_rate: run.Positive = 1e-3
    hidden: tuple[run.Count, ...] = (400, 300)
    threshold: run.Unit = 0.3
    """Share of the likeliest action's probability that a discrete action must be likelier than; 0 allows all."""
    error_clip: run.Positive = 1.0
    """Bound δ of Huber's loss for discrete actions."""
    decay: run.NonNegative = 1e-2
    """Weight of the behaviour's mean squared logit, for discrete actions."""
    generator_hidden: tuple[run.Count, ...] = (750, 750)
    """Sizes of the layers of the model of continuous actions."""
    generator_learning_rate: run.Positive = 1e-3
    """Adam's step size for the model of the data's actions."""
    reach: run.Unit = 0.05
    """How far a continuous action may be moved from where the model puts it, in halves of the actions' range."""
    share: run.Unit = 0.75
    """Weight of the least critic beside the greatest in targets of continuous actions."""
    candidates: run.Count = 10
    """Number of candidate actions that are drawn for a continuous target; the highest value counts."""
    choices: run.Count = 100
    """Number of candidate actions that are drawn when acting; the one of highest value is taken."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train BCQ from recorded episodes (Fujimoto, Meger and Precup, 2019)."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete

    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "bcq")
    parts.offline.check(config, spec, size)


def make(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from envs.base import Discrete

    return of_discrete(config, spec, size) if isinstance(spec.action, Discrete) else of_continuous(config, spec, size)


def of_discrete(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """DQN that chooses among what the data does."""
    import jax.numpy as jnp

    import networks
    from agents.common import objectives, optimisers
    from agents.common.critics import apply
    from agents.dqn import dqn

    head = networks.BehaviourQ(spec.action.num, hidden=config.hidden, layer_norm=config.layer_norm)
    network = networks.q_network(parts.torso(spec, (), config.cnn, dtype=config.dtype), head)
    aim = objectives.constrained(config.threshold, config.error_clip, config.decay)
    agent = dqn(
        network,
        optimisers.adam(config.learning_rate),
        objective=aim,
        discount=config.discount,
        epsilon=0.0,
        target_rate=config.target_rate,
    )

    def worth(state: "Tree", timestep: "TimeStep") -> "Array":
        assert aim.choice is not None
        return jnp.max(aim.choice(apply(network, state.params, timestep)), axis=-1)

    return parts.offline.parts(agent, spec, config, size, worth)


def of_continuous(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """BCQ with a model of the data's actions."""
    import networks
    from agents.bcq import Parts, bcq
    from agents.common import optimisers
    from agents.common.critics import apply

    (actions,) = spec.action.shape
    nets = parts.action_model(spec, config.generator_hidden, config.cnn, config.dtype)
    critic = parts.off_policy.critics(config, spec, config.critics)
    rates = (config.generator_learning_rate, config.learning_rate, config.policy_learning_rate)
    agent = bcq(
        nets,
        critic,
        parts.beside(spec, actions, networks.DeterministicPolicy(actions), config.hidden, config.cnn, config.dtype),
        Parts(*map(optimisers.adam, rates)),
        actions=actions,
        discount=config.discount,
        reach=config.reach,
        share=config.share,
        candidates=config.candidates,
        choices=config.choices,
        target_rate=config.target_rate,
    )

    def worth(state: "Tree", timestep: "TimeStep") -> "Array":
        import jax.numpy as jnp

        latent = jnp.zeros((*timestep.reward.shape, 2 * actions))
        action = apply(nets.decoder, state.generator.params[1], timestep, latent)
        return apply(critic, state.critic.params, timestep, action)[0]

    return parts.offline.parts(agent, spec, config, size, worth)


PRESETS: run.Presets = {
    "locomotion": parts.merge(
        {"updates": 1_000_000, "eval_episodes": 10}, batch_size=100, normalise_observations=False
    ),
    "pendulum": parts.merge(parts.offline.PENDULUM, generator_hidden=(64, 64), choices=20),
    "cross": parts.merge(
        {"dataset": "made/cross", "updates": 6_000},
        hidden=(64, 64),
        discount=0.95,
        batch_size=128,
        target_rate=0.02,
        threshold=0.05,
        normalise_observations=False,
    ),
    "continuous-cross": parts.merge(
        {"dataset": "made/continuous-cross", "updates": 5_000},
        hidden=(64, 64),
        generator_hidden=(64, 64),
        batch_size=128,
        choices=20,
        normalise_observations=False,
    ),
}
"""`locomotion` is the authors' setting on continuous control; the crosses are those of docs/results/bcq.md,
`pendulum` that of docs/results/offline.md."""

experiment = run.Experiment("bcq", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
