"""Value iteration networks that imitate an expert on maps never seen before: `python -m experiments.vin --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    network: Literal["vin", "cnn"] = "vin"
    """What chooses: a planner by value iteration, or a reactive network of convolutions and dense layers."""
    iterations: run.Count = 20
    """Iterations K of the planner; value is carried one cell farther by each."""
    channels: run.Count = 8
    """Abstract actions of the planner, which are channels of its q."""
    reward_hidden: run.Count = 32
    """Channels between the map and the planner's rewards."""
    hidden: tuple[run.Count, ...] = (128, 128)
    """Sizes of the reactive network's dense layers."""
    learning_rate: run.Positive = 3e-3
    """Step size of the Adam optimiser."""
    anneal: bool = True
    """Lower the step size to 0 linearly over the run."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    beta: run.Unit = 1.0
    """Share of the expert's actions while labels are collected, the others being the learner's; 1 is cloning, and less
    labels what the learner comes to, as DAgger does."""
    batch_size: run.Count = 128
    """Labels that an update learns from."""
    buffer_size: run.Count = 100_000
    """Labels that are kept; those that come later are not."""
    unroll: run.Count = 4
    """Steps in each environment between learning phases."""
    updates: run.Count = 16
    """Updates that are made in a learning phase."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train a value iteration network (Tamar et al., 2016) to imitate shortest paths on maps never seen before."""

    env: str = "bellmax/grid-maps"
    """Task with an image as observation, whose last channel shows the agent, and an analytic expert."""
    num_envs: run.Count = 64
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that show no map, that nobody is an expert of, or whose actions are not counted.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box
    from envs.experts import expert_of

    parts.discrete_actions(spec, "vin")
    shown = spec.observation
    if not isinstance(shown, Box) or len(shown.shape) != 3 or shown.shape[-1] < 2:
        raise ValueError(f"--env {spec.name}: vin needs an image whose last channel shows the agent, but it is {shown}")
    if expert_of(spec.name) is None:
        raise ValueError(f"--env {spec.name}: vin needs an analytic expert, as there is of bellmax/grid-maps")
    parts.shares(config, size)


def network(config: Config, spec: "run.Counted") -> "run.Network":
    """The policy's network that the flags describe."""
    import networks

    if config.network == "vin":
        torso: Any = networks.Planner(config.iterations, config.channels, config.reward_hidden)
    else:
        torso = parts.torso(spec, config.hidden, "small")
    return networks.q_network(torso, networks.CategoricalPolicy(spec.action.num))


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax.numpy as jnp

    import replay
    from agents import dagger
    from agents.bc import bc
    from agents.common import optimisers
    from envs.experts import expert_of

    expert: Any = expert_of(spec.name)
    updates = size.steps / (config.unroll * size.num_envs * size.devices) * config.updates
    rate = parts.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    agent = dagger.dagger(
        bc(network(config, spec), optimisers.adam(rate, config.max_grad_norm)),
        dagger.of_function(expert.act),
        updates=config.updates,
        beta=lambda round_: jnp.asarray(config.beta, jnp.float32),
    )
    held, batch = parts.shares(config, size)
    return run.Parts(agent, replay.aggregate(held, batch), run.Schedule(config.unroll, config.updates))


PRESETS: run.Presets = {
    "maps": {
        "steps": 60_000,
        "eval_every": 20_000,
        "eval_episodes": 1_000,
        "eval_env_options": ("decisions=true",),
        "agent.updates": 32,
    }
}
"""`maps` is that of docs/results/vin.md: single decisions on maps of 8 × 8 are evaluated."""

experiment = run.Experiment("vin", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
