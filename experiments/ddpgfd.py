"""DDPGfD, DDPG that learns from demonstrations too: `python -m experiments.ddpgfd --help`."""

from dataclasses import dataclass, field

from experiments import ddpg, parts, run


@dataclass(frozen=True)
class Config(parts.demonstrations.Learning, ddpg.Config):
    """Flags of the agent; those of `experiments.ddpg`, with other defaults, and those of demonstrations."""

    gradient_weight: run.NonNegative = 1.0
    """Weight of |∇_a Q|² in the priorities."""
    n_step: run.Count = 5
    alpha: run.NonNegative = 0.3
    beta: run.Unit = 1.0
    own_bonus: run.NonNegative = 1e-6
    weight_decay: run.NonNegative = 1e-4
    warmup: run.Whole = 0


@dataclass(frozen=True)
class Flags(ddpg.Flags):
    """Train DDPGfD (Vecerik et al., 2017): DDPG from demonstrations and its own experience."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses what DDPG refuses, several critic steps per update, and demonstrations of another task.

    Raises:
      ValueError: naming the flag.
    """
    ddpg.check(config, spec, size)
    if config.delay > 1:
        raise ValueError(f"--agent.delay {config.delay}: not with demonstrations; allowed: 1")
    parts.demonstrations.check(config, spec)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    weighed = parts.demonstrations.weighed(config, gradient_weight=config.gradient_weight)
    agent = ddpg.agent_of(config, spec, config.weight_decay, demonstrations=weighed)
    whole = parts.off_policy.parts(agent, spec, config, size)
    updates = size.steps / (config.unroll * size.num_envs * size.devices) * config.updates
    beta = parts.linear(config.beta, 1.0, updates)
    memory = parts.demonstrations.memory(config, *parts.shares(config, size), beta)
    return run.Parts(parts.demonstrations.pretrained(whole.agent, config, memory), memory, whole.schedule)


PRESETS: run.Presets = {
    "pendulum": parts.merge(
        {"env": "bellmax/pendulum", "steps": 10_000},
        discount=0.95,
        sigma=0.2,
        target_rate=0.02,
        batch_size=64,
        buffer_size=2_000,
        pretraining=2_000,
        updates=16,
    ),
    "paper": parts.merge({"num_envs": 1}, updates=40),
}
"""`pendulum` is the setting of the reach of docs/results/ddpgfd.md on the task of that page, with four updates for each
step too; `paper` has the 40 updates for each step of its authors. Demonstrations are to be given."""

experiment = run.Experiment("ddpgfd", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
