"""Deep successor representation: `python -m experiments.deep_successor --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, and of what follows, per step."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the dense layers before the features; at least one layer."""
    features: run.Count = 64
    """Features F that rewards are linear in."""
    cnn: parts.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size; `hidden` follows them."""
    bonus: run.NonNegative = 0.0
    """Factor β of the bonus 1 / ‖ψ‖₁ for states that are met rarely; 0 for none."""
    reconstruction: run.NonNegative = 1.0
    """Weight of the loss of what the features tell of the observation."""
    batch_size: run.Count = 64
    """Transitions of the replay that an update learns from."""
    buffer_size: run.Count = 20_000
    """Transitions that the replay keeps."""
    warmup: run.Whole = 200
    """Environment steps of play before learning."""
    unroll: run.Count = 1
    """Steps in each environment between learning phases."""
    updates: run.Count = 1
    """Updates that are made in a learning phase."""
    target_period: run.Count = 1
    """Updates between moves of the target network."""
    target_rate: run.Share = 0.01
    """How far the target moves towards the online network each time; 1 copies it."""
    epsilon_start: run.Unit = 1.0
    """Probability of a random action when learning begins."""
    epsilon_end: run.Unit = 0.05
    """Probability of a random action once it has decayed."""
    epsilon_fraction: run.Unit = 0.2
    """Part of all steps over which the probability of a random action decays, linearly."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train a deep successor representation (Kulkarni et al., 2016), with a bonus by its norm."""

    env: str = "bellmax/deep-sea"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    parts.discrete_actions(spec, "deep_successor")
    parts.check_layers(config, "hidden")
    parts.check_images(spec, config.cnn)
    parts.check_replay(config, size, 2)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import optimisers
    from agents.deep_successor import deep_successor

    per_iteration = config.unroll * size.num_envs * size.devices
    updates = size.steps / per_iteration * config.updates
    agent = deep_successor(
        spec,
        optimisers.adam(config.learning_rate, config.max_grad_norm),
        hidden=config.hidden,
        features=config.features,
        cnn=parts.chosen(spec, config.cnn),
        discount=config.discount,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * updates),
        bonus=config.bonus,
        reconstruction=config.reconstruction,
        target_period=config.target_period,
        target_rate=config.target_rate,
    )
    buffer, batch = parts.shares(config, size)
    schedule = run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration))
    return run.Parts(agent, replay.uniform(buffer, batch, 1), schedule)


PRESETS: run.Presets = {
    "deep-sea": {
        "env": "bellmax/deep-sea",
        "agent.bonus": 0.05,
        "agent.epsilon_start": 0.05,
        "agent.target_rate": 0.05,
    }
}
"""`deep-sea` is for `bellmax/deep-sea`, of any size."""

experiment = run.Experiment("deep_successor", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
