"""Contrastive RL from recorded episodes of a task with goals: `python -m experiments.crl --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.reaching.Learning):
    """Flags of the agent."""

    cloning: run.NonNegative = 0.1
    """Weight of keeping to the data's actions, beside values whose mean size is 1."""
    latent: run.Count = 512
    """Numbers of an embedding."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train contrastive RL from recorded episodes (Eysenbach, Zhang, Levine and Salakhutdinov, 2022)."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks without goals or bounded actions, and batches that nothing can be told apart in.

    Raises:
      ValueError: naming the flag.
    """
    parts.reaching.check(config, spec, size, "crl")
    if size.per_device(config.batch_size, "agent.batch_size") < 2:
        raise ValueError(
            f"--agent.batch-size {config.batch_size}: must give each device 2 or more, which are told apart"
        )


def make(config: Config, spec: "run.Bounded", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers
    from agents.crl import Nets, crl, goals
    from envs.base import Box

    shared, actions = parts.reaching, spec.action.shape[0]
    done = shared.seeing(spec, desired_goal=None, action=Box((actions,), -1.0, 1.0))
    aim = shared.seeing(spec, observation=None)
    two = lambda seen: networks.ensemble(  # noqa: E731
        shared.network(config, seen, networks.Embedding(config.latent), values=True), 2
    )
    nets = Nets(state=two(done), goal=two(aim), policy=shared.policy(config, shared.seeing(spec), actions))
    agent = crl(nets, optimisers.adam(config.learning_rate), cloning=config.cloning)
    rows = goals(replay.Shares(0.0, config.policy_future), config.discount)
    return shared.parts(agent, spec, config, size, rows)


PRESETS: run.Presets = {
    "pointmaze": parts.merge(parts.reaching.POINTMAZE, cloning=0.03),
    "pointmaze-small": parts.merge(parts.reaching.POINTMAZE, cloning=0.03, latent=64, **parts.reaching.SMALL),
}
"""`pointmaze` is OGBench's setting, `pointmaze-small` the same with smaller networks and batches."""

experiment = run.Experiment("crl", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
