"""ACER: `python -m experiments.acer --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Layers):
    """Flags of the agent."""

    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    bound: run.Limit = 10.0
    """Value c at which importance weights are truncated; inf for no truncation."""
    trust: run.Limit = 1.0
    """Bound δ of the trust region; inf for none."""
    average_rate: run.Share = 0.01
    """How far the average policy moves towards the policy each update."""
    unroll: run.Count = 20
    """Steps in each environment between learning phases, and in a window."""
    updates: run.Count = 4
    """Updates per learning phase, each on the fresh windows and as many of the past as `replayed` says."""
    replayed: run.Count = 16
    """Windows of the past that are learned from per update."""
    buffer_size: run.Count = 50_000
    """Environment steps that the replay keeps."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train ACER (Wang et al., 2017) on discrete actions."""

    env: str = "envpool/CartPole-v1"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are not discrete.

    Raises:
      ValueError: naming the flag.
    """
    parts.discrete_actions(spec, "ACER")
    parts.actor_critics.check_network(config, spec)
    parts.actor_critics.check_replayed(config, size)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.acer import acer

    agent = acer(
        parts.actor_critics.critic_of_actions(config, spec),
        parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, size) * config.updates),
        discount=config.discount,
        bound=config.bound,
        trust=config.trust,
        average_rate=config.average_rate,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    storage, _ = parts.actor_critics.replayed(config, size)
    return run.Parts(parts.clipped(agent, config), storage, run.Schedule(config.unroll, config.updates, 1))


PRESETS: run.Presets = {
    "cartpole": {
        "env": "gymnax/CartPole-v1",
        "steps": 100_000,
        "num_envs": 8,
        "agent.unroll": 8,
        "agent.updates": 16,
        "agent.learning_rate": 1e-3,
        "agent.value_cost": 8.0,
        "agent.trust": 0.3,
        "agent.max_grad_norm": 0.5,
        "agent.entropy_cost": 0.0,
    },
}
"""Not of Stable-Baselines3's zoo, which has no ACER."""

experiment = run.Experiment("acer", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
