"""An agent that seeks what its world model gets wrong: `python -m experiments.self_aware --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    world: Literal["forward", "inverse"] = "forward"
    """What the world model predicts: the next observation, or the action between two, as in the paper."""
    horizon: run.Count = 3
    """Steps T whose losses the self-model predicts."""
    beta: run.NonNegative = 30.0
    """Inverse temperature β of the choice among actions; 1 in the paper."""
    candidates: run.Count = 100
    """Actions drawn to choose from, where they are not discrete; 1000 in the paper."""
    settle: run.Whole = 100
    """Updates over which the losses that cut the classes are averaged, with random actions."""
    follow: run.Unit = 0.0
    """Share by which the losses that cut the classes move to those of each batch once they have settled; 0 keeps them,
    so that interest in what is mastered ends."""
    adversarial: bool = True
    """Act by the self-model; if not, at random."""
    shuffled: bool = False
    """Teach the self-model losses of other transitions, which takes its knowledge away."""
    learning_rate: run.Positive = 1e-3
    """Adam's step size for the world model; 1e-4 in the paper."""
    self_learning_rate: run.Positive = 1e-3
    """Adam's step size for the self-model; 1e-3 in the paper."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the dense layers of both models."""
    batch_size: run.Count = 32
    """Windows of the replay that an update learns from."""
    buffer_size: run.Count = 4_000
    """Environment steps that the replay keeps; 1000 in the paper."""
    warmup: run.Whole = 200
    """Environment steps before learning."""
    unroll: run.Count = 4
    """Steps in each environment between updates."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train a self-aware agent (Haber et al., 2018), which plays with what its model of the world gets wrong."""

    env: str = "bellmax/arena"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 4
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete

    parts.check_layers(config, "hidden")
    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "self_aware")
    parts.check_replay(config, size, config.horizon + 1)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import optimisers
    from agents.self_aware import self_aware

    agent = self_aware(
        spec,
        optimisers.adam(config.learning_rate),
        optimisers.adam(config.self_learning_rate),
        world=config.world,
        hidden=config.hidden,
        cnn=parts.chosen(spec, "auto"),
        steps=config.horizon,
        settle=config.settle,
        follow=config.follow,
        beta=config.beta,
        candidates=config.candidates,
        adversarial=config.adversarial,
        shuffled=config.shuffled,
    )
    buffer, batch = parts.shares(config, size)
    warmup = -(-config.warmup // (config.unroll * size.num_envs * size.devices))
    return run.Parts(agent, replay.uniform(buffer, batch, config.horizon), run.Schedule(config.unroll, 1, warmup))


PRESETS: run.Presets = {
    "paper": {
        "agent.world": "inverse",
        "agent.beta": 1.0,
        "agent.candidates": 1_000,
        "agent.learning_rate": 1e-4,
        "agent.buffer_size": 1_000,
        "num_envs": 1,
    }
}
"""`paper` has the numbers of the paper's code where the defaults, which are for `bellmax/arena`, differ; the classes of
that code are cut at losses of .05, .3 and .6 instead of at quantiles."""

experiment = run.Experiment("self_aware", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
