"""Temporal difference models: `python -m experiments.tdm --help`.

The defaults are those of the released code (rlkit v0.1.2, `examples/tdm`) where they are not the task's: three quarters
of a batch get a goal that follows in the episode, and targets follow slowly.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from envs.base import Goals

    class Reaching(run.Either):
        """Of a task with goals that are vectors."""

        goals: Goals


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    horizon: run.Whole = 10
    """Largest number T of steps that follow one in which a goal is pursued; it is pursued for T + 1 steps, and anew."""
    structured: bool = True
    """Let the network tell what is reached, and values be minus its distance; if not, it tells the values."""
    countdown: bool = True
    """Let the next step have a step less to go; if not, these are no temporal difference models."""
    pay: Literal["end", "always"] = "end"
    """When the distance is paid: in the last step of a horizon, or in every step, which these models must not."""
    plan: run.Whole = 0
    """Goals drawn in each step, of which the one is pursued whose end is worth most; 0 to pursue the task's alone."""
    strategy: Literal["future", "final", "episode", "random"] = "future"
    """Which state's goal takes the place of the one that was wanted."""
    k: run.NonNegative = 3.0
    """Relabelled samples for each that is not."""
    learning_rate: run.Positive = 1e-3
    """Adam's step size for the values."""
    policy_learning_rate: run.Positive = 1e-3
    """Adam's step size for the policy, of continuous actions."""
    target_rate: run.Share = 0.001
    """How far the targets move towards what is learned after each update; 1 is no target network."""
    hidden: tuple[run.Count, ...] = (300, 300)
    """Sizes of the dense layers."""
    sigma: run.NonNegative = 0.1
    """Standard deviation of the noise on continuous actions, in halves of their range."""
    theta: run.NonNegative = 0.1
    """Rate at which the Ornstein-Uhlenbeck noise on actions returns to 0."""
    epsilon: run.Unit = 0.0
    """Probability of a uniformly random action."""
    batch_size: run.Count = 128
    """Transitions that an update learns from."""
    buffer_size: run.Count = 100_000
    """Environment steps that the replay keeps."""
    warmup: run.Whole = 1_000
    """Environment steps of random actions before learning."""
    unroll: run.Count = 1
    """Steps in each environment between learning phases."""
    updates: run.Count = 1
    """Updates that are made in a learning phase."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train temporal difference models (Pong et al., 2018) on a task with goals that are vectors."""

    env: str = "bellmax/point-mass"
    """Task with goals, as suite/id, whose observation has an `observation`."""
    num_envs: run.Count = 4
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and a task without goals that are vectors.

    Raises:
      ValueError: naming the flag.
    """
    import numpy as np

    from envs.base import Box, Discrete

    if spec.goals is None or not isinstance(goal := spec.observation["desired_goal"], Box) or len(goal.shape) != 1:
        such = "bellmax/integer-line, bellmax/point-mass or bellmax/point-maze"
        raise ValueError(f"--env {spec.name}: tdm needs a task with goals that are vectors, such as {such}")
    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "tdm")
    if config.plan and not (np.isfinite(goal.low).all() and np.isfinite(goal.high).all()):
        raise ValueError(
            f"--agent.plan {config.plan}: goals are drawn within bounds, but {spec.name} has none; allowed: 0"
        )
    parts.check_replay(config, size, 2)


def make(config: Config, spec: "Reaching", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import action_noise, optimisers, wrappers
    from agents.common.critics import with_action
    from agents.ddpg import Params
    from agents.tdm import spaces, tdm
    from envs.base import Box, Discrete

    seen, goal = spaces(spec.observation), spec.observation["desired_goal"]
    (entries,) = goal.shape
    torso = lambda space: parts.torso(spec._replace(observation=space), config.hidden, "none")  # noqa: E731
    policy, noise = None, None
    if isinstance(spec.action, Discrete):
        critic = networks.q_network(torso(seen), networks.CategoricalQ(spec.action.num, atoms=entries))
    else:
        (actions,) = spec.action.shape
        joined = with_action(seen, Box((actions,), -1.0, 1.0))
        critic = networks.q_network(torso(joined), networks.Values(entries))
        policy = networks.q_network(torso(seen), networks.DeterministicPolicy(actions))
        noise = action_noise.ornstein_uhlenbeck(actions, config.sigma, config.theta)
    agent = tdm(
        critic,
        policy,
        Params(optimisers.adam(config.policy_learning_rate), optimisers.adam(config.learning_rate)),
        goal,
        horizon=config.horizon,
        structured=config.structured,
        countdown=config.countdown,
        pay=config.pay,
        target_rate=config.target_rate,
        noise=noise,
        epsilon=config.epsilon,
        plan=config.plan,
        worth=spec.goals.reward,
    )
    agent = agent if policy is None else wrappers.unit_actions(agent, spec.action)
    buffer, batch = parts.shares(config, size)
    horizon = min(spec.time_limit or 1_000, buffer // size.num_envs)
    memory = replay.mapped(
        replay.uniform(buffer, batch), replay.hindsight(config.strategy, config.k, spec.goals.reward, horizon)
    )
    warmup = -(-config.warmup // (config.unroll * size.num_envs * size.devices))
    return run.Parts(agent, memory, run.Schedule(config.unroll, config.updates, warmup))


SMALL: dict[str, Any] = {
    "agent.horizon": 8,
    "agent.hidden": (128, 128),
    "agent.batch_size": 256,
    "agent.target_rate": 0.01,
    "agent.epsilon": 0.2,
}
PRESETS: run.Presets = {
    "line": {"env": "bellmax/integer-line", "num_envs": 8, **SMALL},
    "plane": {"env": "bellmax/point-mass", "num_envs": 8, **SMALL},
    "maze": {
        "env": "bellmax/point-maze",
        "env_options": ("start=any", "goal=any"),
        "num_envs": 8,
        **SMALL,
        "agent.horizon": 24,
        "agent.updates": 4,
    },
}
"""`line` and `plane` are tasks whose values are known exactly (`envs.tasks.steps_to_goal`); in the `maze` the way to a
goal leads around a wall."""

experiment = run.Experiment("tdm", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
