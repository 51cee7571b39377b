"""DAgger, imitation of an expert that labels what the learner comes to: `python -m experiments.dagger --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import bc, parts, run

if TYPE_CHECKING:
    from agents.dagger import Teacher


@dataclass(frozen=True)
class Config(bc.Learning):
    """Flags of the agent; those of a policy of `experiments.bc`, and those of the expert and the rounds."""

    expert: str = "expert"
    """Who labels: `expert` for the analytic expert of the task, the name of one, or a run folder."""
    which: Literal["best", "last"] = "best"
    """Which policy of a run folder labels."""
    beta: Literal["first", "exponential", "linear"] = "first"
    """Share of the expert's actions in round i: 1 in the first and then 0; `beta_base` to the power of i; or
    1 - i / `beta_rounds`."""
    beta_base: run.Unit = 0.7
    """Base of the exponential schedule."""
    beta_rounds: run.Count = 15
    """Rounds of the linear schedule."""
    label_every: run.Count = 1
    """Rows from one label to the next."""
    restart: bool = False
    """Begin every round with a learner that has learned nothing."""
    sampled: bool = False
    """Let the learner draw its actions while it collects, rather than play its best."""
    unroll: run.Count = 200
    """Steps in each environment of a round."""
    updates: run.Count = 500
    """Updates after each round."""
    buffer_size: run.Count = 100_000
    """Labels that the aggregate can hold; what comes later is not kept."""
    hidden: tuple[run.Count, ...] = (64, 64)
    batch_size: run.Count = 64


@dataclass(frozen=True)
class Flags(run.Common):
    """Train DAgger (Ross, Gordon and Bagnell, 2011) from an expert that labels what the learner comes to."""

    env: str = "bellmax/cartpole"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    steps: run.Steps = 2_000
    """Environment steps per seed."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses what cloning refuses, and experts that there are not.

    Raises:
      ValueError: naming the flag.
    """
    bc.check_policy(config, spec, size)
    size.per_device(config.buffer_size, "agent.buffer_size")
    teacher(config, spec)


def teacher(config: Config, spec: "run.Spec") -> "Teacher":
    """Who labels, an `agents.dagger.Teacher`.

    Raises:
      ValueError: naming the flag.
    """
    from agents.dagger import Teacher, of_function
    from envs.experts import EXPERTS, expert_of

    found = expert_of(spec.name) if config.expert == "expert" else EXPERTS.get(config.expert)
    if found is not None and spec.name.rpartition("/")[2] in found.tasks:
        return of_function(found.act)
    if config.expert == "expert" or found is not None:
        known = "; ".join(f"{name} of {', '.join(each.tasks)}" for name, each in EXPERTS.items())
        raise ValueError(f"--agent.expert {config.expert}: no such expert of {spec.name}; there are {known}")
    policy = parts.teachers.of_run("--agent.expert", config.expert, spec, lambda loaded: loaded.policy(0, config.which))
    return Teacher(policy.begin, policy.act)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents import dagger

    schedules = {
        "first": lambda: dagger.first,
        "exponential": lambda: dagger.exponential(config.beta_base),
        "linear": lambda: dagger.linear(config.beta_rounds),
    }
    agent = dagger.dagger(
        bc.agent_of(config, spec),
        teacher(config, spec),
        updates=config.updates,
        beta=schedules[config.beta](),
        every=config.label_every,
        restart=config.restart,
        sampled=config.sampled,
    )
    held, batch = parts.shares(config, size)
    return run.Parts(agent, replay.aggregate(held, batch), run.Schedule(config.unroll, config.updates))


PRESETS: run.Presets = {
    "cartpole": parts.merge(
        {
            "env_options": ("time_limit=200",),
            "steps": 1_000,
            "log_every": 200,
            "eval_every": 200,
            "eval_episodes": 50,
        },
        label_every=10,
        updates=1_000,
        batch_size=32,
    ),
}
"""`cartpole` is that of docs/results/dagger.md."""

experiment = run.Experiment("dagger", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
