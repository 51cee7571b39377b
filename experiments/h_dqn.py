"""h-DQN, a meta-controller and a controller over goals: `python -m experiments.h_dqn --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import parts, run

if TYPE_CHECKING:
    import optax


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    patience: run.Count = 20
    """Steps after which a goal that is not reached is given up and another chosen."""
    intrinsic: bool = True
    """Pay the controller 1 for reaching its goal; if not, it is paid what the task pays."""
    learning_rate: run.Positive = 1e-3
    """Adam's step size for both levels."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    error_clip: run.Positive | None = 1.0
    """Bound δ of Huber's loss; none for the squared loss."""
    double: bool = True
    """Select the target's action, or goal, with the online network."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards: of a step for the controller, of an attempt for the meta-controller."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the dense layers of both networks."""
    cnn: parts.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size; `hidden` follows them."""
    target_rate: run.Share = 0.01
    """How far the targets move towards the online networks after each update; 1 copies them."""
    batch_size: run.Count = 64
    """Attempts, and as many transitions, that an update learns from."""
    buffer_size: run.Count = 50_000
    """Environment steps that the replay keeps."""
    warmup: run.Whole = 2_000
    """Environment steps before learning."""
    unroll: run.Count = 4
    """Steps in each environment between learning phases."""
    updates: run.Count = 4
    """Updates of both levels that are made in a learning phase."""
    epsilon_start: run.Unit = 1.0
    """Probability of a random goal when learning begins."""
    epsilon_end: run.Unit = 0.1
    """Probability of a random goal once it has decayed."""
    epsilon_fraction: run.Unit = 0.5
    """Part of all steps over which the probability of a random goal decays, linearly."""
    low_epsilon: run.Unit = 0.1
    """Least probability of a random action; it is 1 less the share of late attempts at the goal that succeeded."""
    low_epsilon_fraction: run.Unit = 1.0
    """Part of all steps over which the upper bound of the controller's ε decays linearly from 1 to `low_epsilon`."""
    success_rate: run.Share = 0.05
    """Weight of the newest attempt in the running share of attempts at a goal that succeeded."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train h-DQN (Kulkarni et al., 2016) on a task with discrete actions that falls into subgoals."""

    env: str = "bellmax/key-maze"
    """Task, as suite/id, that has subgoals; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 4
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks without subgoals or discrete actions, and replays without room for an attempt.

    Raises:
      ValueError: naming the flag.
    """
    parts.discrete_actions(spec, "h_dqn")
    if spec.subgoals is None:
        raise ValueError(f"--env {spec.name}: h_dqn needs a task with subgoals, such as bellmax/key-maze")
    parts.check_images(spec, config.cnn)
    parts.check_replay(config, size, config.patience + 1)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents import h_dqn
    from agents.common import objectives, optimisers
    from agents.dqn import dqn

    steps = config.unroll * size.num_envs * size.devices
    updates = size.steps / steps * config.updates
    choosing = parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * updates)
    trying = parts.linear(1.0, config.low_epsilon, config.low_epsilon_fraction * updates)

    def level(task: Any, epsilon: "optax.Schedule") -> "run.Agent":
        network = networks.q_network(parts.torso(task, config.hidden, config.cnn), networks.QValues(task.action.num))
        return dqn(
            network,
            optimisers.adam(config.learning_rate, config.max_grad_norm),
            objective=objectives.expected(config.error_clip),
            discount=config.discount,
            epsilon=epsilon,
            target_rate=config.target_rate,
            double=config.double,
        )

    agent = h_dqn.h_dqn(
        level(h_dqn.higher(spec), choosing),
        level(h_dqn.lower(spec), trying),
        spec,
        patience=config.patience,
        least=config.low_epsilon,
        memory=config.success_rate,
        intrinsic=config.intrinsic,
    )
    buffer, batch = parts.shares(config, size)
    memory = replay.mapped(replay.uniform(buffer, batch), replay.segments(config.patience))
    schedule = run.Schedule(config.unroll, config.updates, -(-max(config.warmup, 1) // steps))
    return run.Parts(agent, memory._replace(minimum=config.patience + 1), schedule)


PRESETS: run.Presets = {
    "key-maze": {
        "env": "bellmax/key-maze",
        "env_options": ("rooms=3",),
        "steps": 150_000,
        "num_envs": 4,
        "agent.epsilon_fraction": 0.7,
        "agent.low_epsilon_fraction": 0.5,
    },
    "six-states": {
        "env": "bellmax/six-states",
        "steps": 60_000,
        "num_envs": 4,
        "agent.hidden": (32,),
        "agent.buffer_size": 8_000,
        "agent.low_epsilon_fraction": 0.4,
    },
}
"""`key-maze` has three rooms; `six-states` is the stochastic chain of the paper, whose goals are its states."""

experiment = run.Experiment("h_dqn", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
