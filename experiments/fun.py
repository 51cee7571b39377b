"""FuN, feudal networks: `python -m experiments.fun --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent):
    """Flags of the agent."""

    horizon: run.Count = 10
    """Number c of steps for which a goal is meant."""
    dilation: run.Count = 10
    """Number r of parts of the manager's dilated LSTM; 1 makes it an ordinary one."""
    alpha: run.NonNegative = 0.5
    """Weight α of the reward for following goals, which the worker learns from beside the task's."""
    goal_epsilon: run.Unit = 0.01
    """Probability of a random goal."""
    intrinsic: Literal["return", "step"] = "return"
    """Let the reward for following goals enter the worker's return, or the advantage of its own step alone."""
    end_to_end: bool = False
    """Learn goals from the worker's gradient in place of the manager's own, an ablation of the paper."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step, for the worker."""
    manager_discount: run.Unit = 0.99
    """Discount of later rewards, per step, for the manager."""
    gae_lambda: run.Unit = 1.0
    """The λ of both generalised advantages; 1 for the paper's returns."""
    hidden: tuple[run.Count, ...] = (64,)
    """Sizes of the dense layers of perception, which both levels share."""
    memory_size: run.Count = 64
    """Size of the worker's LSTM."""
    goal_size: run.Count = 64
    """Size of goals, of the states that they are directions of, and of the manager's LSTM."""
    embedding: run.Count = 16
    """Size k of what the worker makes of goals."""
    cnn: parts.OptionalConvolutions = "auto"
    """Convolutions for image observations, `auto` by their size; with none images are flattened."""
    activation: Literal["tanh", "relu"] = "relu"
    """Activation of the dense layers; convolutions have ReLU."""
    dtype: parts.Precision = "float32"
    """What perception computes in; parameters and losses are float32 in either case."""
    unroll: run.Count = 40
    """Steps in each environment per update; gradients reach back no further."""
    normalise_observations: bool = False
    """Bring observations that are not images to running mean 0 and variance 1."""
    normalise_rewards: bool = False
    """Divide rewards by the standard deviation of the discounted return."""
    clip_rewards: bool = False
    """Learn from rewards that are clipped to [-1, 1]."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train FuN (Vezhnevets et al., 2017), a manager and a worker, on discrete actions."""

    env: str = "bellmax/key-maze"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and tasks without discrete actions.

    Raises:
      ValueError: naming the flag.
    """
    parts.discrete_actions(spec, "FuN")
    parts.check_images(spec, config.cnn)
    if config.clip_rewards and config.normalise_rewards:
        raise ValueError("--agent.clip-rewards, --agent.normalise-rewards: one or the other")


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    from agents.fun import fun

    module = networks.Feudal(
        parts.torso(spec, config.hidden, config.cnn, config.activation, config.dtype),
        parts.discrete_actions(spec, "FuN"),
        config.memory_size,
        config.goal_size,
        config.embedding,
        config.dilation,
    )
    agent = fun(
        module,
        parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, size)),
        horizon=config.horizon,
        alpha=config.alpha,
        epsilon=config.goal_epsilon,
        discount=config.discount,
        manager_discount=config.manager_discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
        intrinsic=config.intrinsic,
        end_to_end=config.end_to_end,
    )
    return parts.actor_critics.parts(agent, config, spec)


PRESETS: run.Presets = {
    "key-maze": {
        "env": "bellmax/key-maze",
        "env_options": ("rooms=3", "size=4"),
        "steps": 400_000,
        "num_envs": 16,
        "agent.alpha": 0.1,
        "agent.goal_epsilon": 0.5,
        "agent.discount": 0.95,
        "agent.gae_lambda": 0.95,
        "agent.learning_rate": 2e-3,
        "agent.anneal": False,
        "agent.entropy_cost": 0.003,
        "agent.hidden": (32,),
        "agent.memory_size": 32,
        "agent.goal_size": 32,
        "agent.embedding": 8,
    },
}
"""`key-maze` has small networks, the paper's discounts, and many random goals, since nothing is paid before the end."""

experiment = run.Experiment("fun", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
