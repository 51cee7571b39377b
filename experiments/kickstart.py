"""Kickstarting, an actor-critic that teachers help at first: `python -m experiments.kickstart --help`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Key, TimeStep, Tree
    from agents.kickstart import Teacher
    from networks import Categorical


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    around: Literal["a2c", "impala", "ppo"] = "a2c"
    """The student, by the name of its command."""
    inner: tuple[str, ...] = ()
    """Flags of the student, as name=value, such as learning-rate=1e-3 hidden=64,64; the `--help` of its own command
    shows them as `--agent.`."""
    teachers: tuple[str, ...] = ("expert",)
    """Who teaches: run folders of actor-critics, which may have other networks than the student; or `expert` for the
    analytic expert of a task with discrete actions."""
    which: Literal["best", "last"] = "best"
    """Which policies of the run folders teach."""
    teacher_seed: run.Whole = 0
    """Which of the seeds in the run folders teaches, counted from 0."""
    expert_noise: run.Share = 0.1
    """Probability of an analytic expert that is spread evenly over all actions."""
    weight: run.NonNegative = 1.0
    """Weight λ of the cross-entropy to the teachers, in the first update; 0 learns from the reward alone."""
    falls: run.Unit = 0.3
    """Part of all steps over which the weight falls linearly to 0. With 0 it is held, as it should be where `--pbt` or
    `--schedule` sets it."""
    shares: tuple[run.NonNegative, ...] = ()
    """Factor of `weight` for each teacher, in the order of `teachers`; by default 1 for each."""
    task: str = ""
    """Entry of the observation, a number, that says which of the teachers is asked; by default all of them are."""
    reward: run.NonNegative = 1.0
    """Factor of the policy gradient's loss; with 0, and `falls` 0, this is policy distillation."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train a kickstarted A2C, IMPALA or PPO (Schmitt et al., 2018), or distil policies of teachers into one."""

    env: str = "bellmax/catch"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses what the student refuses, teachers that there are not, and shares or an entry that do not fit them.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete

    _, own = parts.around.check_inner(config, spec, size)
    if getattr(own, "meta_learning_rate", None) is not None:
        raise ValueError("--agent.inner meta-learning-rate: not together with teachers")
    if not config.teachers:
        raise ValueError("--agent.teachers (none): give run folders, or expert")
    number = len(config.teachers)
    if config.shares and len(config.shares) != number:
        told = " ".join(f"{share:g}" for share in config.shares)
        raise ValueError(f"--agent.shares {told}: must be one for each of {number} teachers")
    if config.task:
        known = spec.observation if isinstance(spec.observation, dict) else {}
        fitting = [name for name, space in known.items() if space == Discrete(number)]
        if config.task not in fitting:
            told = f"{spec.name} has these entries that number {number} teachers: {', '.join(fitting) or 'none'}"
            raise ValueError(f"--agent.task {config.task}: {told}")
    teachers(config, spec)


def teachers(config: Config, spec: "run.Spec") -> "list[Teacher]":
    """Who teaches, `agents.kickstart.Teacher`.

    Raises:
      ValueError: naming the flag.
    """
    from agents.kickstart import Teacher

    found = []
    for name in config.teachers:
        if name == "expert":
            found.append(analytic(config, spec))
        else:
            told = lambda loaded: loaded.distributions(config.teacher_seed, config.which)  # noqa: E731
            policy = parts.teachers.of_run("--agent.teachers", name, spec, told)
            found.append(Teacher(policy.begin, policy.act))
    return found


def analytic(config: Config, spec: Any) -> "Teacher":
    """The task's analytic expert, which errs as `expert_noise` says.

    Raises:
      ValueError: there is none, or its actions are continuous.
    """
    from agents.kickstart import Teacher
    from envs.base import Discrete
    from envs.experts import expert_of

    expert = expert_of(spec.name)
    if expert is None or not isinstance(spec.action, Discrete):
        told = f"{spec.name} has no analytic expert with discrete actions; give run folders"
        raise ValueError(f"--agent.teachers expert: {told}")

    def act(key: "Key", carry: "Tree", timestep: "TimeStep") -> "tuple[Categorical, Tree]":
        import jax
        import jax.numpy as jnp

        import networks

        number, noise = spec.action.num, config.expert_noise
        chance = (1 - noise) * jax.nn.one_hot(expert.act(timestep.observation), number) + noise / number
        return networks.Categorical(jnp.log(chance)), carry

    return Teacher(lambda lanes: (), act)


def weight(config: Config, updates: int) -> "Callable[[Array], Array]":
    """`(updates so far) -> λ`, for a run of so many updates."""
    import jax.numpy as jnp

    def falling(done: "Array") -> "Array":
        part = done / jnp.maximum(config.falls * float(updates), 1e-9)
        return config.weight * jnp.where(config.falls > 0, jnp.maximum(1 - part, 0.0), 1.0)

    return falling


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents import kickstart

    experiment, own = parts.around.inner(config)
    student = experiment.make(own, spec, size, lesson=kickstart.lesson(config.reward))
    by, shares = weight(config, parts.actor_critics.iterations(own, size)), config.shares or None
    agent = kickstart.kickstarted(student.agent, teachers(config, spec), by, shares=shares, task=config.task)
    return student._replace(agent=agent)


DOOR_KEY: dict[str, Any] = {
    "env": "bellmax/door-key",
    "steps": 400_000,
    "agent.inner": ("hidden=64", "unroll=16", "learning-rate=1e-3", "anneal=false", "gae-lambda=0.95"),
}
PRESETS: run.Presets = {
    "door-key": DOOR_KEY,
    "distillation": DOOR_KEY | {"agent.reward": 0.0, "agent.falls": 0.0},
}
"""For teachers that `experiments.a2c --env bellmax/door-key` has left: kickstarting, and policy distillation."""

experiment = run.Experiment("kickstart", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
