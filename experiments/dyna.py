"""Deep Dyna, DQN that also learns from a model of the task: `python -m experiments.dyna --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    planning: run.Whole = 5
    """Number n of updates on imagined transitions after each on real ones; 0 is double DQN."""
    learning_rate: run.Positive = 5e-4
    """Step size of the Adam optimiser."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    hidden: tuple[run.Count, ...] = (128, 128)
    """Sizes of the network's dense layers."""
    batch_size: run.Count = 64
    """Transitions per update; n + 1 times as many are drawn."""
    buffer_size: run.Count = 50_000
    """Transitions that the replay keeps."""
    warmup: run.Whole = 1_000
    """Environment steps of random play before learning."""
    unroll: run.Count = 1
    """Steps in each environment between learning phases."""
    updates: run.Count = 1
    """Updates per learning phase, each followed by n planned ones."""
    target_rate: run.Share = 0.01
    """How far the target network moves towards the online one each time."""
    epsilon_end: run.Unit = 0.02
    """Probability of a random action once it has decayed from 1."""
    epsilon_fraction: run.Unit = 0.1
    """Part of all steps over which the probability of a random action decays, linearly."""
    model_learning_rate: run.Positive = 1e-3
    """Adam's step size for the model."""
    model_hidden: tuple[run.Count, ...] = (128, 128)
    """Sizes of the model's dense layers."""
    model_warmup: run.Whole = 500
    """Updates of the model before what it imagines is believed."""
    shuffle_actions: bool = False
    """Ablation: train the model on actions that were interchanged."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train Dyna (Sutton, 1990) with networks on discrete actions and vectors of numbers."""

    env: str = "bellmax/cartpole"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, continuous actions, and observations that are not vectors.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box

    parts.discrete_actions(spec, "DQN")
    if not isinstance(spec.observation, Box) or len(spec.observation.shape) != 1:
        raise ValueError(f"--env {spec.name}: the model needs vectors, but observations are {spec.observation}")
    size.per_device(config.batch_size, "agent.batch_size")
    buffer = size.per_device(config.buffer_size, "agent.buffer_size")
    parts.check_buffer(buffer, size.num_envs, 2)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers, wrappers
    from agents.dqn import dqn
    from agents.dyna import dyna
    from agents.world.dynamics import ensemble, shuffled
    from envs.base import Box

    each = config.planning + 1
    buffer = size.per_device(config.buffer_size, "agent.buffer_size")
    batch = size.per_device(config.batch_size, "agent.batch_size")
    per_iteration = config.unroll * size.num_envs * size.devices
    updates = size.steps / per_iteration * config.updates * each
    seen = spec._replace(observation=Box(spec.observation.shape))
    agent = dqn(
        networks.q_network(parts.torso(seen, config.hidden, "small"), networks.QValues(spec.action.num)),
        optimisers.adam(config.learning_rate, config.max_grad_norm),
        discount=config.discount,
        epsilon=parts.linear(1.0, config.epsilon_end, config.epsilon_fraction * updates),
        target_rate=config.target_rate,
    )
    learner = ensemble(spec.action, optimisers.adam(config.model_learning_rate), sizes=config.model_hidden)
    learner = shuffled(learner) if config.shuffle_actions else learner
    agent = wrappers.as_floats(dyna(agent, learner, config.planning, config.model_warmup), spec.observation)
    schedule = run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration))
    return run.Parts(agent, replay.uniform(buffer, each * batch), schedule)


experiment = run.Experiment("dyna", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
