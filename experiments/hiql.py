"""HIQL, values and two policies from recorded episodes of a task with goals: `python -m experiments.hiql --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.reaching.Learning):
    """Flags of the agent."""

    level: run.Share = 0.7
    """The expectile τ of what a step may be worth that a state is worth; near 1 the best."""
    high_temperature: run.NonNegative = 3.0
    """The β by which better subgoals are imitated more; 0 imitates all alike."""
    low_temperature: run.NonNegative = 3.0
    """The β by which better actions are imitated more."""
    weight_limit: run.Positive = 100.0
    """The largest weight of a subgoal or an action."""
    target_rate: run.Share = 0.005
    """How far the target values move towards those that are learned after each update; 1 is no target network."""
    subgoal_steps: run.Count = 25
    """Steps that a subgoal lies ahead."""
    code: run.Count = 10
    """Numbers that a subgoal is named by."""
    value_current: run.Unit = 0.2
    """Share of the values' goals that are the state itself."""
    value_future: run.Unit = 0.5
    """Share of the values' goals that lie ahead in the episode of their transition; the rest is any state."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train HIQL from recorded episodes (Park, Ghosh, Eysenbach and Levine, 2023)."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and tasks without goals or bounded actions.

    Raises:
      ValueError: naming the flag.
    """
    if config.level == 1:
        raise ValueError(f"--agent.level {config.level}: must be below 1, at which no value is too high")
    if config.value_current + config.value_future > 1:
        raise ValueError(
            f"--agent.value-current {config.value_current} --agent.value-future {config.value_future}: "
            "must be shares of one whole, at most 1 together"
        )
    parts.reaching.check(config, spec, size, "hiql")


def make(config: Config, spec: "run.Bounded", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers
    from agents.hiql import Nets, goals, hiql
    from envs.base import Box

    shared, seen = parts.reaching, parts.reaching.seeing(spec)
    coded = shared.seeing(spec, desired_goal=Box((config.code,)))
    two = networks.ensemble(shared.network(config, coded, networks.Value(), values=True), 2)
    nets = Nets(
        code=shared.network(config, seen, networks.Embedding(config.code, normalised=True), values=True),
        value=two,
        high=shared.policy(config, seen, config.code),
        low=shared.policy(config, coded, spec.action.shape[0]),
    )
    agent = hiql(
        nets,
        optimisers.adam(config.learning_rate),
        discount=config.discount,
        level=config.level,
        high_temperature=config.high_temperature,
        low_temperature=config.low_temperature,
        weight_limit=config.weight_limit,
        target_rate=config.target_rate,
    )
    shares = replay.Shares(config.value_current, config.value_future), replay.Shares(0.0, config.policy_future)
    return shared.parts(agent, spec, config, size, goals(*shares, config.subgoal_steps, config.discount))


PRESETS: run.Presets = {
    "pointmaze": parts.merge(parts.reaching.POINTMAZE),
    "pointmaze-small": parts.merge(parts.reaching.POINTMAZE, **parts.reaching.SMALL),
}
"""`pointmaze` is OGBench's setting, `pointmaze-small` the same with smaller networks and batches."""

experiment = run.Experiment("hiql", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
