"""MLSH: `python -m experiments.mlsh --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:

    class Timed(run.Counted):
        """Of a task whose episodes are of one length."""

        time_limit: int


ALONE = "the lanes of a trial share the steps that were taken for them"


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    subs: run.Count = 2
    """Policies that all tasks share."""
    period: run.Count = 10
    """Steps for which a choice of the master is followed."""
    rollouts: run.Count = 40
    """Episodes that each task plays between updates."""
    warmup: run.Whole = 60
    """Windows at the beginning of a task in which its master learns alone."""
    joint: run.Count = 2
    """Windows after the warm-up in which the shared policies learn as well."""
    joint_lanes: run.Count = 1
    """Most tasks in a joint window that one update of the shared policies learns from."""
    epsilon: run.Unit = 0.1
    """Probability that a choice is random."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the dense layers of all networks."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the dense layers."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step below and per choice above."""
    gae_lambda: run.Unit = 0.98
    """The λ of the generalised advantage on both levels."""
    learning_rate: run.Positive = 3e-4
    """Step size of the shared policies."""
    master_learning_rate: run.Positive = 1e-2
    """Step size of the masters."""
    epochs: run.Count = 10
    """Passes over a window on both levels."""
    minibatches: run.Count = 15
    """Gradient steps per pass of the shared policies."""
    master_minibatches: run.Count = 4
    """Gradient steps per pass of the masters."""
    clip: run.Limit = 0.2
    """Bound ε on how far the ratios of both levels may profit from leaving 1."""
    entropy_cost: run.NonNegative = 0.0
    """Weight of the entropy bonus on both levels."""
    bootstrap: bool = False
    """Expect rewards beyond the end of an episode, which is a time limit; the authors' code expects none."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train MLSH (Frans et al., 2018): policies shared by all tasks, and a master of each that chooses among them."""

    env: str = "bellmax/moving-bandits"
    """Task, as suite/id, of a distribution whose tasks tell where they begin."""
    steps: run.Steps = 81_600_000
    """Environment steps per seed."""
    num_envs: run.Count = 10
    """Environments (lanes) per seed: the tasks that are played at a time."""
    eval_episodes: run.Count = 32
    """Episodes that an evaluation plays, with masters that have learned nothing."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: Any, size: run.Size) -> None:
    """Refuses tasks that do not stay as long as they have to or do not tell where they begin, and several devices.

    Raises:
      ValueError: naming the flag.
    """
    parts.discrete_actions(spec, "mlsh")
    if spec.block is None:
        raise ValueError(f"--env {spec.name}: must be a distribution of tasks that tell where they begin, new_task")
    if spec.block != config.rollouts:
        told = f"blocks are of {spec.block} episodes, but --agent.rollouts is {config.rollouts}"
        raise ValueError(f"--env-options: {told}; say block={config.rollouts}")
    blocks = config.warmup + config.joint
    if spec.episodes != blocks * config.rollouts:
        why = f"--agent.warmup {config.warmup} + --agent.joint {config.joint} are {blocks}"
        raise ValueError(
            f"--env-options: a task stays for {spec.episodes // config.rollouts} blocks; {why}; say blocks={blocks}"
        )
    parts.check_lanes_are_tasks(config, spec, spec.episodes, "")
    if size.devices > 1:
        raise ValueError(f"--devices {size.devices}: the lanes of a trial stay on one")
    if config.joint_lanes > size.num_envs:
        told = f"--agent.joint-lanes {config.joint_lanes}: must be at most --num-envs {size.num_envs}"
        raise ValueError(told)
    low, high = rows(config, spec)
    for name, number in (("minibatches", low * config.joint_lanes), ("master_minibatches", high)):
        if number % getattr(config, name):
            told = f"{run.flag('agent.' + name)} {getattr(config, name)}: must divide the {number} rows of a window"
            raise ValueError(told)


def rows(config: Config, spec: "Timed") -> tuple[int, int]:
    """Rows of a window of steps, and of one of choices."""
    return config.rollouts * (spec.time_limit + 1), config.rollouts * (-(-spec.time_limit // config.period) + 1)


def make(config: Config, spec: "Timed", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import optimisers
    from agents.common.masters import gated, unsure
    from agents.mlsh import mlsh
    from agents.ppo import ppo
    from envs.base import Discrete

    seen = spec._replace(observation=spec.observation["observation"])
    sub, master = (
        parts.actor_critic(each, config.hidden, "none", "none", False, activation=config.activation)
        for each in (seen, seen._replace(action=Discrete(config.subs)))
    )
    shared = {name: getattr(config, name) for name in ("discount", "clip", "entropy_cost", "epochs")}
    agent = mlsh(
        ppo(
            unsure(master, config.epsilon),
            optimisers.adam(config.master_learning_rate),
            lambda_=config.gae_lambda,
            minibatches=config.master_minibatches,
            **shared,
        ),
        ppo(
            gated(sub, config.subs),
            optimisers.adam(config.learning_rate),
            lambda_=config.gae_lambda,
            minibatches=config.minibatches,
            **shared,
        ),
        horizon=spec.time_limit,
        episodes=config.rollouts,
        period=config.period,
        warmup=config.warmup,
        joint=config.joint,
        joint_lanes=config.joint_lanes,
        bootstrap=config.bootstrap,
    )
    length, _ = rows(config, spec)
    return run.Parts(agent, replay.on_policy(length), run.Schedule(length))


PRESETS: run.Presets = {
    "moving-bandits": {"env": "bellmax/moving-bandits"},
    "moving-bandits-short": {
        "env": "bellmax/moving-bandits",
        "env_options": ("blocks=11",),
        "agent.warmup": 9,
    },
}
"""`moving-bandits` is what the authors' code says to run, 60 windows of warm-up, for 4,000 windows of 10 tasks;
`moving-bandits-short` has the 9 windows that the paper writes.
"""

experiment = run.Experiment("mlsh", Flags, check, make, PRESETS, alone=ALONE)
main = experiment.main

if __name__ == "__main__":
    main()
