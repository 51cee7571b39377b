"""Hierarchical imitation, h-BC, hg-DAgger and hg-DAgger/Q, on tables: `python -m experiments.h_dagger --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    high: Literal["labels", "q"] = "labels"
    """How subgoals are learned: from a teacher's labels, or by Q-learning."""
    low: Literal["labels", "q"] = "labels"
    """How actions towards a subgoal are learned: from a teacher's labels, or by Q-learning."""
    flat: bool = False
    """Take the task as one single subgoal, which is imitation or Q-learning without a hierarchy."""
    rule: Literal["guided", "segments", "everything"] = "guided"
    """What the teacher labels: of failed episodes the subgoals, and actions where the right subgoal was missed
    ("guided") or everywhere ("segments"); or everything in every episode."""
    corrected: bool = False
    """Let the teacher's actions be those towards its own subgoal, whichever was chosen."""
    teacher_plays: bool = False
    """Let the teacher play all episodes, as in behavioural cloning."""
    warmup_episodes: run.Whole = 20
    """Episodes at first that the teacher plays; where actions are learned by Q it chooses subgoals alone in them."""
    patience: run.Count = 12
    """Steps after which a subgoal that is neither reached nor missed is chosen anew."""
    stop: bool = True
    """Give an episode up at a wrong subgoal, where actions are learned by Q and the task has an action for it."""
    learning_rate: run.Positive = 0.2
    """Step size of Q-learning."""
    discount: run.Unit = 0.95
    """Discount γ of later rewards in Q-learning, per step."""
    epsilon_start: run.Unit = 1.0
    """Probability with which what is learned by Q is at first chosen at random."""
    epsilon_end: run.Unit = 0.1
    """Probability of a random choice of what is learned by Q, once it has decayed."""
    epsilon_steps: run.Whole = 20_000
    """Environment steps over which the probability of a random choice decays, linearly."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train hierarchically guided DAgger (Le et al., 2018), or its relatives, on a task that falls into subgoals."""

    env: str = "bellmax/room-maze"
    """Task, as suite/id, that has subgoals and a teacher of them; `python -m experiments.list` prints the suites."""
    steps: run.Steps = 10_000
    """Environment steps per seed."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks without subgoals, and several devices.

    Raises:
      ValueError: naming the flag.
    """
    parts.discrete_actions(spec, "h_dagger")
    if spec.subgoals is None or spec.time_limit is None:
        raise ValueError(f"--env {spec.name}: h_dagger needs a task with subgoals, such as bellmax/room-maze")
    if size.devices > 1:
        raise ValueError(f"--devices {size.devices}: a table is learned on one")


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.h_dagger import h_dagger

    agent = h_dagger(
        spec,
        flat=config.flat,
        high=config.high,
        low=config.low,
        rule=config.rule,
        corrected=config.corrected,
        teacher_plays=config.teacher_plays,
        warmup=config.warmup_episodes,
        patience=config.patience,
        stop=config.stop,
        learning_rate=config.learning_rate,
        discount=config.discount,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_steps),
    )
    return run.Parts(agent, replay.on_policy(1), run.Schedule(1))


PRESETS: run.Presets = {
    "hg-dagger": {},
    "hg-dagger-q": {"env_options": ("give_up=True",), "steps": 40_000, "agent.low": "q"},
    "h-bc": {"agent.rule": "everything", "agent.teacher_plays": True},
    "h-q": {"steps": 150_000, "agent.high": "q", "agent.low": "q"},
    "flat-dagger": {"agent.flat": True, "agent.rule": "everything"},
}
"""The algorithms of Le et al., 2018, and what they compare with."""

experiment = run.Experiment("h_dagger", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
