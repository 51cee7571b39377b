"""DQfD, DQN that learns from demonstrations too: `python -m experiments.dqfd --help`."""

from dataclasses import dataclass, field

from experiments import dqn, parts, run


@dataclass(frozen=True)
class Config(parts.demonstrations.Learning, dqn.Config):
    """Flags of the agent; those of `experiments.dqn`, with other defaults, and those of demonstrations."""

    margin: run.NonNegative = 0.8
    """By how much the demonstrated action is to be better than any other."""
    margin_weight: run.NonNegative = 1.0
    """Weight of the margin loss, which demonstrations alone have."""
    squash_rewards: bool = False
    """Learn from sign(r) ln(1 + |r|) in place of rewards r, as the authors did on Atari."""
    n_step: run.Count = 10
    dueling: bool = True
    layer_norm: bool = False
    learning_rate: run.Positive = 1e-3
    batch_size: run.Count = 64
    warmup: run.Whole = 0
    updates: run.Count = 1
    target_period: run.Count = 100
    target_rate: run.Share = 1.0
    epsilon_start: run.Unit = 0.01
    epsilon_end: run.Unit = 0.01


@dataclass(frozen=True)
class Flags(dqn.Flags):
    """Train DQfD (Hester et al., 2018): DQN from demonstrations and its own experience."""

    env: str = "bellmax/deep-sea"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses what DQN refuses, and parts of it that demonstrations do not go with.

    Raises:
      ValueError: naming the flag.
    """
    dqn.check(config, spec, size)
    for name, value, allowed in (
        ("frames", config.frames, 1),
        ("hold", config.hold, 1),
        ("parameter-noise", config.parameter_noise, False),
        ("noisy", config.noisy, "none"),
        ("munchausen", config.munchausen, False),
        ("priorities", config.priorities, "none"),
    ):
        if value != allowed:
            raise ValueError(f"--agent.{name} {value}: not with demonstrations; allowed: {allowed}")
    if config.clip_rewards and config.squash_rewards:
        raise ValueError("--agent.squash-rewards: not together with --agent.clip-rewards")
    parts.demonstrations.check(config, spec)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax.numpy as jnp

    import replay
    from agents.dqfd import guided
    from agents.dqn import dqn as learner

    per_iteration = config.unroll * size.num_envs * size.devices
    before = config.pretraining if config.demonstrations else 0
    updates = size.steps / per_iteration * config.updates
    part = config.epsilon_steps / size.steps if config.epsilon_steps else config.epsilon_fraction
    epsilon = parts.linear(config.epsilon_start, config.epsilon_end, part * updates)
    rate = parts.linear(config.learning_rate, 0.0, before + updates) if config.anneal else config.learning_rate
    weighed = parts.demonstrations.weighed(config, margin=config.margin, margin_weight=config.margin_weight)
    agent = learner(
        dqn.network(config, spec),
        parts.demonstrations.adam(rate, config.weight_decay, config.max_grad_norm, config.adam_eps),
        objective=dqn.objective(config),
        discount=config.discount,
        epsilon=lambda count: epsilon(jnp.maximum(count - before, 0)),
        target_period=config.target_period,
        target_rate=config.target_rate,
        double=config.double,
        sampled=config.objective == "implicit",
        loss_of=guided(weighed, config.discount),
    )
    beta = parts.linear(config.beta, 1.0, updates)
    memory = parts.demonstrations.memory(config, *parts.shares(config, size), beta)
    if config.clip_rewards:
        memory = replay.mapped(memory, replay.rewards(lambda reward: jnp.clip(reward, -1.0, 1.0)))
    if config.squash_rewards:
        memory = replay.mapped(memory, replay.rewards(lambda r: jnp.sign(r) * jnp.log1p(jnp.abs(r))))
    agent = parts.demonstrations.pretrained(agent, config, memory)
    return run.Parts(agent, memory, run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration)))


PRESETS: run.Presets = {
    "deep-sea": parts.merge(
        {"env": "bellmax/deep-sea", "env_options": ("size=20",), "steps": 6_300, "eval_episodes": 1},
        hidden=(64, 64),
        dueling=False,
        max_grad_norm=parts.presets.UNCLIPPED,
        buffer_size=1_000,
    ),
}
"""`deep-sea` is the setting of docs/results/dqfd.md, 300 episodes of 21 rows. Its demonstrations are to be given."""

experiment = run.Experiment("dqfd", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
