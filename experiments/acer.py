"""ACER: `python -m experiments.acer --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Layers):
    """Flags of the agent."""

    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    bound: run.Limit = 10.0
    """c, where importance weights are truncated; inf for no truncation."""
    trust: run.Limit = 1.0
    """δ of the trust region; inf for none."""
    average_rate: run.Share = 0.01
    """How far the average policy moves towards the policy each update."""
    unroll: run.Count = 20
    """Steps in each environment between learning phases, and in a window."""
    updates: run.Count = 4
    """Updates per learning phase, each on the fresh windows and as many of the past as `replayed` says."""
    replayed: run.Count = 16
    """Windows of the past per update."""
    buffer_size: run.Count = 50_000
    """Steps kept."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train ACER (Wang et al., 2017) on discrete actions."""

    env: str = "envpool/CartPole-v1"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: run.Size) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together.
    """
    import replay
    from agents.acer import acer

    network = parts.actor_critics.critic_of_actions(config, spec, "ACER")
    for name in ("unroll", "updates", "replayed"):
        if getattr(config, name) < 1:
            raise ValueError(f"--agent.{name} {getattr(config, name)}: must be at least 1")
    size = scale.per_device(config.buffer_size, "agent.buffer_size")
    replayed = scale.per_device(config.replayed, "agent.replayed")
    parts.check_buffer(size, scale.num_envs, config.unroll + 1)
    agent = acer(
        network,
        parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, scale) * config.updates),
        discount=config.discount,
        bound=config.bound,
        trust=config.trust,
        average_rate=config.average_rate,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    storage = replay.fresh_and_replayed(replay.on_policy(config.unroll), replay.uniform(size, replayed, config.unroll))
    return run.Parts(parts.clipped(agent, config), storage, run.Schedule(config.unroll, config.updates, 1))


experiment = run.Experiment("acer", Flags, run.accept, make, parts.presets_policy.ACER)
main = experiment.main

if __name__ == "__main__":
    main()
