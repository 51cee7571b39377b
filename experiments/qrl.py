"""Quasimetric RL from recorded episodes of a task whose goals are states: `python -m experiments.qrl --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.reaching.Learning):
    """Flags of the agent."""

    cloning: run.NonNegative = 3e-3
    """Weight of keeping to the data's actions, beside a distance whose mean is 1."""
    margin: run.Positive = 0.05
    """The bound ε of the mean squared length by which steps may be longer than 1."""
    limit: run.Positive = 500.0
    """Distance beyond which states are hardly pushed apart further."""
    softness: run.Positive = 100.0
    """Number of steps around `limit` over which the push that keeps states apart fades."""
    latent: run.Count = 512
    """Numbers of an embedding."""
    component: run.Count = 8
    """Intervals in each component of the quasimetric; divides `latent`."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train quasimetric RL from recorded episodes (Wang, Torralba, Isola and Zhang, 2023)."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, tasks without goals or bounded actions, and goals that are no states.

    Raises:
      ValueError: naming the flag.
    """
    parts.reaching.check(config, spec, size, "qrl")
    if config.latent % config.component:
        raise ValueError(f"--agent.component {config.component}: must divide --agent.latent {config.latent}")
    state, goal = (spec.observation[name] for name in ("observation", "desired_goal"))
    if state.shape != goal.shape:
        raise ValueError(
            f"--env {spec.name}: qrl needs goals that are whole observations, but those of the task have the shape "
            f"{goal.shape} and observations {state.shape}"
        )


def make(config: Config, spec: "run.Bounded", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers
    from agents.qrl import Nets, goals, qrl
    from envs.base import Box

    shared, actions = parts.reaching, spec.action.shape[0]
    state = spec._replace(observation=spec.observation["observation"])
    step = spec._replace(observation={"observation": Box((config.latent,)), "action": Box((actions,), -1.0, 1.0)})
    nets = Nets(
        embedding=shared.network(config, state, networks.Embedding(config.latent), values=True),
        dynamics=shared.network(config, step, networks.Embedding(config.latent), values=True),
        policy=shared.policy(config, shared.seeing(spec), actions),
    )
    agent = qrl(
        nets,
        optimisers.adam(config.learning_rate),
        cloning=config.cloning,
        margin=config.margin,
        limit=config.limit,
        softness=config.softness,
        size=config.component,
    )
    return shared.parts(agent, spec, config, size, goals(replay.Shares(0.0, config.policy_future)))


PRESETS: run.Presets = {
    "pointmaze": parts.merge(parts.reaching.POINTMAZE, cloning=3e-4),
    "pointmaze-small": parts.merge(parts.reaching.POINTMAZE, cloning=3e-4, latent=64, **parts.reaching.SMALL),
}
"""`pointmaze` is OGBench's setting, `pointmaze-small` the same with smaller networks and batches."""

experiment = run.Experiment("qrl", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
