"""One-shot imitation by a learned loss: `python -m experiments.daml --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 1e-3
    """Step size of Adam on policy, loss and the policy's own step sizes."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the policy's dense layers."""
    free: run.Count = 10
    """Numbers of the policy's learned input, which is the same at all positions."""
    filters: run.Count = 16
    """Filters of each of the two convolutions through time that make the loss."""
    length: run.Count = 5
    """Points that a filter spans."""
    rate: run.Positive = 0.05
    """Step size of the adaptation, as it begins; each layer learns its own."""
    adapt: bool = True
    """Adapt to what is shown; without it one policy serves all tasks."""
    learn_loss: bool = True
    """Learn the loss of the adaptation; without it that stays as it was drawn."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train one-shot imitation of what is shown without actions, by DAML's learned loss (Yu et al., 2018)."""

    env: str = "bellmax/one-shot"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 32
    """Environments (lanes) per seed, each with a task of its own for every update."""
    eval_episodes: run.Count = 256
    """Episodes that an evaluation plays, per seed, each of a new task."""
    steps: run.Steps = 640_000
    """Environment steps that each seed trains for; an update learns from one in each environment."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that show nothing to imitate.

    Raises:
      ValueError: naming the flag.
    """
    from agents.daml import KEYS

    parts.check_entries(spec, KEYS, "bellmax/one-shot")
    if not config.hidden:
        raise ValueError("--agent.hidden (empty): must be one layer or more")


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import optimisers
    from agents.daml import daml

    updates = max(1, size.steps // (size.num_envs * size.devices))
    rate = parts.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    agent = daml(
        optimisers.adam(rate, config.max_grad_norm),
        hidden=config.hidden,
        free=config.free,
        filters=config.filters,
        length=config.length,
        rate=config.rate,
        adapts=config.adapt,
        learned=config.learn_loss,
    )
    return run.Parts(agent, replay.on_policy(1), run.Schedule(1))


experiment = run.Experiment("daml", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
