"""The hierarchical actor-critic, levels of DDPG that learn with hindsight: `python -m experiments.hac --help`.

The defaults are those of the released code (Levy et al., 2019) where they are not the task's: an update is one batch of
every level, and there are 40 for the rows of a longest episode; values are bounded by the number of steps; episodes end
where the task's goal is reached, as no level has anything to do from there on. The released code has no target
networks, and in a run without them the values of the lower level came to saturate (docs/results/hac.md).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    import numpy as np

    from envs.base import Goals

    class Reaching(run.Bounded):
        """Of a task with goals and a time limit."""

        goals: Goals
        time_limit: int


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    levels: run.Count = 2
    """Number k of levels; 1 is DDPG with hindsight goals."""
    horizon: run.Count = 10
    """Number H of actions of a level for each action of the level above."""
    testing: run.Unit = 0.3
    """Probability λ that a subgoal is a test."""
    goals: run.Count = 3
    """Hindsight goals that are drawn for each action."""
    hindsight_actions: bool = True
    """Learn from attempts as if the subgoals that were reached had been those that were set (hindsight actions)."""
    subgoal_entries: run.Count = 2
    """Number of first entries of the observation that subgoals are about."""
    subgoal_low: tuple[run.Real, ...] = ()
    """Least subgoal in each entry; by default the observation's bound."""
    subgoal_high: tuple[run.Real, ...] = ()
    """Largest subgoal in each entry; by default the observation's bound."""
    threshold: run.Positive = 0.12
    """Distance within which a state must be of a subgoal in every entry, to have reached it."""
    discount: run.Unit = 0.98
    """Discount γ of every level's actions."""
    learning_rate: run.Positive = 1e-3
    """Adam's step size, of policies and critics."""
    target_rate: run.Share = 0.05
    """Share τ by which target networks follow at each update; 1 is no target network."""
    bounded: bool = True
    """Bound values between minus H and 0 by a sigmoid; if not, only their targets are clipped to that range."""
    hidden: tuple[run.Count, ...] = (64, 64, 64)
    """Sizes of the network's dense layers."""
    epsilon: run.Unit = 0.2
    """Probability of a random action or subgoal."""
    sigma: run.NonNegative = 0.2
    """Standard deviation of the noise on actions, in halves of their range."""
    high_sigma: run.NonNegative = 0.1
    """Standard deviation of the noise on subgoals, in halves of their range."""
    batch_size: run.Count = 1024
    """Transitions per update, of each level."""
    buffer_size: run.Count = 100_000
    """Environment steps that the replay keeps."""
    unroll: run.Whole = 0
    """Steps in each environment between learning phases; 0 for an episode and the row that opens the next."""
    updates: run.Count = 40
    """Updates that are made in a learning phase."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train the hierarchical actor-critic (Levy et al., 2019) on a task with goals and continuous actions."""

    env: str = "bellmax/point-maze"
    """Task with goals, as suite/id, whose observation has a vector `observation`."""
    env_options: tuple[str, ...] = ("ends=true",)
    """Options that the task is made with, as name=value."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and a task that is not for such a hierarchy.

    Raises:
      ValueError: naming the flag.
    """
    import numpy as np

    parts.unit_box(spec, "hac")
    if spec.goals is None or spec.time_limit is None:
        raise ValueError(f"--env {spec.name}: hac needs a task with goals and a time limit, such as bellmax/point-maze")
    shape, entries = spec.observation["observation"].shape, config.subgoal_entries
    if len(shape) != 1 or entries > shape[0]:
        raise ValueError(f"--agent.subgoal-entries {entries}: must be 1 to the entries of a vector, which has {shape}")
    for name, given in (("low", config.subgoal_low), ("high", config.subgoal_high)):
        if given and len(given) != entries:
            raise ValueError(f"--agent.subgoal-{name} {' '.join(map(str, given))}: must be {entries} numbers")
    low, high = bounds(config, spec)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise ValueError(
            f"--agent.subgoal-low {low.tolist()}, --agent.subgoal-high {high.tolist()}: must be finite, and low < high"
        )
    parts.check_replay(config, size, spec.time_limit + 1)


def bounds(config: Config, spec: "run.Spec") -> "tuple[np.ndarray, np.ndarray]":
    """The least and the largest subgoal, float32 `[subgoal_entries]` each: those given, or the observation's."""
    import numpy as np

    seen, entries = spec.observation["observation"], config.subgoal_entries
    ends = ((config.subgoal_low, seen.low), (config.subgoal_high, seen.high))
    low, high = (np.array(given or np.broadcast_to(bound, seen.shape)[:entries], np.float32) for given, bound in ends)
    return low, high


def make(config: Config, spec: "Reaching", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import action_noise, optimisers, wrappers
    from agents.common.critics import with_action
    from agents.ddpg import Params, ddpg
    from agents.hac import hac
    from envs.base import Box

    entries, k = config.subgoal_entries, config.levels
    between = Box((entries,), *bounds(config, spec))
    buffer, batch = parts.shares(config, size)

    def level(i: int) -> "run.Agent":
        goal = spec.observation["desired_goal"] if i == k - 1 else between
        action = spec.action if i == 0 else between
        seen = {"observation": spec.observation["observation"], "desired_goal": goal}
        joined = with_action(seen, Box(action.shape, -1.0, 1.0))
        policy = parts.torso(spec._replace(observation=seen), config.hidden, "nature")
        critic = parts.torso(spec._replace(observation=joined), config.hidden, "nature")
        value = networks.BoundedValue(-float(config.horizon), 0.0, -0.067) if config.bounded else networks.Value()
        agent = ddpg(
            networks.q_network(policy, networks.DeterministicPolicy(action.shape[0])),
            networks.ensemble(networks.q_network(critic, value), 1),
            Params(optimisers.adam(config.learning_rate), optimisers.adam(config.learning_rate)),
            discount=config.discount,
            noise=action_noise.gaussian(config.high_sigma if i else config.sigma),
            epsilon=config.epsilon,
            target_rate=config.target_rate,
            target_range=(-float(config.horizon), 0.0),
        )
        return wrappers.unit_actions(agent, action)

    threshold = (config.threshold,) * entries
    levels = replay.Levels(k, config.horizon, lambda x: x[..., :entries], threshold, spec.goals, spec.time_limit)
    agent = hac([level(i) for i in range(k)], levels, entries, testing=config.testing)
    found = replay.subgoal_attempts(levels, config.goals, config.hindsight_actions)
    memory = replay.mapped(replay.uniform(buffer, batch), found)
    return run.Parts(agent, memory, run.Schedule(config.unroll or spec.time_limit + 1, config.updates))


experiment = run.Experiment("hac", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
