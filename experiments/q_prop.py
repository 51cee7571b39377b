"""Q-Prop: `python -m experiments.q_prop --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run, trpo


@dataclass(frozen=True)
class Config(trpo.Config):
    """Flags of the agent, with those of TRPO."""

    mode: Literal["standard", "conservative", "aggressive", "none"] = "conservative"
    """When the control variate is used; with none it is TRPO."""
    gae_lambda: run.Unit = 0.97
    """The λ of the generalised advantage."""
    q_learning_rate: run.Positive = 1e-3
    """Adam's step size for the action values."""
    q_epochs: run.Count = 8
    """Passes over the replayed windows of a sample."""
    q_minibatches: run.Count = 256
    """Gradient steps per pass, each on a minibatch."""
    target_rate: run.Share = 0.005
    """How far the target moves towards the action values after each of their gradient steps."""
    replayed: run.Count = 16
    """Windows of the past that are drawn per sample."""
    buffer_size: run.Count = 100_000
    """Environment steps that the replay keeps."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train Q-Prop (Gu et al., 2017) on continuous actions."""

    env: str = "bellmax/pendulum"
    """Task with continuous actions, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and what Q-Prop does not act or see.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box

    if not isinstance(spec.action, Box):
        raise ValueError(f"--env {spec.name}: Q-Prop needs continuous actions, but the task's are {spec.action}")
    if config.memory != "none":
        raise ValueError(f"--agent.memory {config.memory}: Q-Prop's networks are feed-forward")
    if config.normalise_observations or config.normalise_rewards:
        raise ValueError("--agent.normalise-observations, --agent.normalise-rewards: not with a replay")
    if isinstance(spec.observation, dict):
        raise ValueError(f"--env {spec.name}: Q-Prop needs one array as observation")
    trpo.check(config, spec, size)
    parts.actor_critics.check_replayed(config, size)
    windows = size.per_device(config.replayed, "agent.replayed")
    if windows * config.unroll % config.q_minibatches:
        raise ValueError(
            f"--agent.q-minibatches {config.q_minibatches}: must divide unroll x replayed, {windows * config.unroll}"
        )


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    from agents.common import optimisers
    from agents.q_prop import q_prop
    from agents.trpo import Region

    storage, replayed = parts.actor_critics.replayed(config, size)
    seen = {"observation": spec.observation, "action": spec.action}
    torso = parts.torso(spec._replace(observation=seen), config.hidden, config.cnn, "relu", config.dtype)
    agent = q_prop(
        parts.actor_critic(spec, config.hidden, config.cnn, "none", config.shared, config.dtype, config.activation),
        networks.q_network(torso, networks.Value()),
        optimisers.adam(config.critic_learning_rate, config.max_grad_norm),
        optimisers.adam(config.q_learning_rate),
        mode=config.mode,
        discount=config.discount,
        lambda_=config.gae_lambda,
        region=Region(*(getattr(config, name) for name in Region._fields)),
        epochs=config.epochs,
        minibatches=config.minibatches,
        q_epochs=config.q_epochs,
        q_minibatches=config.q_minibatches,
        target_rate=config.target_rate,
        replayed=replayed,
    )
    return run.Parts(parts.clipped(parts.centred(agent, spec), config), storage, run.Schedule(config.unroll, 1, 1))


experiment = run.Experiment("q_prop", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
