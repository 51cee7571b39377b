"""Planning with a model of unknown loads: `python -m experiments.meta_mpc --help`."""

from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 1e-3
    """Step size of Adam on the ensemble, which falls linearly to 0."""
    latent_learning_rate: run.Positive = 5e-4
    """Step size of Adam on the posteriors of the loads."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the dense layers of each member."""
    members: run.Count = 3
    """Networks in the ensemble, whose mean is planned with."""
    loads: run.Count = 5
    """Loads that are trained with, at least as many as the task has."""
    width: run.Positive = 0.15
    """Standard deviation of what is predicted, in units of the standard deviation of the changes of state."""
    beta: run.NonNegative = 0.1
    """Weight β of the posteriors' divergence from the prior."""
    latent: Literal["inferred", "prior", "wrong", "pooled"] = "inferred"
    """Latent number that is planned with: the inferred one, the prior's mean, or that of the training load which is
    furthest from it; or pooled, for an ensemble that is never told any."""
    window: run.Count = 30
    """Transitions of an episode from which its latent number is inferred."""
    horizon: run.Count = 6
    """Steps of a plan."""
    population: run.Pair = 200
    """Plans of an iteration of the planner."""
    elites: run.Count = 20
    """Plans to which the planner moves, of each iteration's."""
    iterations: run.Count = 5
    """Iterations of the planner in each step."""
    batch_size: run.Pair = 200
    """Transitions of an update, one half for the ensemble and the other for the posteriors."""
    buffer_size: run.Count = 20_000
    """Transitions that the replay keeps."""
    warmup: run.Whole = 5_000
    """Random steps before the first update."""
    updates: run.Count = 20
    """Updates after each step in all environments."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train a model of unknown loads and plan with what it infers of one in flight (Belkhale et al., 2021)."""

    env: str = "bellmax/hanging-load"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 20
    """Environments (lanes) per seed."""
    eval_episodes: run.Count = 8
    """Episodes that an evaluation plays, per seed."""
    steps: run.Steps = 11_000
    """Environment steps that each seed trains for."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and tasks without loads or with more of them than posteriors.

    Raises:
      ValueError: naming the flag.
    """
    import numpy as np

    from agents.meta_mpc import KEYS

    parts.check_entries(spec, KEYS, "bellmax/hanging-load")
    loads = float(np.max(getattr(spec.observation["load"], "high", np.inf))) + 1
    if not np.isfinite(loads):
        told = spec.observation["load"]
        raise ValueError(f"--env {spec.name}: its load is {told}; must be a Box up to the number of its last load")
    if loads > config.loads:
        raise ValueError(f"--agent.loads {config.loads}: must be at least {loads:g}, the loads of {spec.name}")
    if config.elites > config.population:
        raise ValueError(f"--agent.elites {config.elites}: must be from 1 to --agent.population {config.population}")
    size.per_device(config.batch_size, "agent.batch_size")
    parts.check_buffer(size.per_device(config.buffer_size, "agent.buffer_size"), size.num_envs, 2)


def make(config: Config, spec: "run.Bounded", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import optimisers
    from agents.meta_mpc import meta_mpc
    from agents.world import planning

    lanes = size.num_envs * size.devices
    warmup = config.warmup // lanes
    updates = max(1, size.steps // lanes - warmup) * config.updates
    plan = partial(
        planning.cem, actions=spec.action, horizon=config.horizon, population=config.population,
        elites=config.elites, iterations=config.iterations,
    )  # fmt: skip
    agent = meta_mpc(
        spec.action,
        optimisers.adam(parts.linear(config.learning_rate, 0.0, updates), config.max_grad_norm),
        optimisers.adam(config.latent_learning_rate, config.max_grad_norm),
        dims=spec.observation["state"].shape[-1],
        loads=config.loads,
        plan=plan,
        hidden=config.hidden,
        members=config.members,
        width=config.width,
        beta=config.beta,
        window=config.window,
        latent=config.latent,
    )
    kept = size.per_device(config.buffer_size, "agent.buffer_size")
    batch = size.per_device(config.batch_size, "agent.batch_size")
    return run.Parts(agent, replay.uniform(kept, batch), run.Schedule(1, config.updates, warmup))


PRESETS: run.Presets = {"tracking": {"agent.updates": 80, "agent.batch_size": 400}}
"""`tracking` is what docs/results/meta_mpc.md is measured with: four times the updates, on twice the transitions."""

experiment = run.Experiment("meta_mpc", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
