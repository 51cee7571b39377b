"""Behavioural cloning, of all recorded episodes or of the best: `python -m experiments.bc --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run

Objective = Literal["likelihood", "squared"]
Goals = Literal["given", "future"]


@dataclass(frozen=True)
class Learning:
    """Flags of a policy that imitates."""

    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser."""
    weight_decay: run.NonNegative = 0.0
    """Decoupled decay of the weights per update, as a share of the step size (AdamW)."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    hidden: tuple[run.Count, ...] = (256, 256)
    """Sizes of the dense layers."""
    layer_norm: bool = False
    """Normalise dense layers before each of their activations."""
    cnn: parts.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size; `hidden` follows them."""
    dtype: parts.Precision = "float32"
    """What the layers compute in; parameters and losses are float32 in either case."""
    objective: Objective = "likelihood"
    """Make the actions likely under a distribution, or, of continuous ones, name one action with a small squared
    error."""
    entropy_cost: run.NonNegative = 0.0
    """Weight of the entropy bonus of the likelihood."""
    batch_size: run.Count = 256
    """Transitions that an update learns from."""


@dataclass(frozen=True)
class Config(parts.offline.Best, Learning):
    """Flags of the agent."""

    normalise_observations: bool = True
    """Bring observations that are not images to mean 0 and variance 1 over the dataset."""
    goals: Goals = "given"
    """Goals that actions are imitated for, of a task that has them: those that were pursued, or what any later row of
    the episode achieves, which is goal-conditioned cloning (GCBC)."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Imitate recorded episodes by behavioural cloning (Pomerleau, 1989), or the best of them (%BC)."""

    clones = True
    updates: run.Steps = 20_000
    """Updates that each seed trains for."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that the objective is not for.

    Raises:
      ValueError: naming the flag.
    """
    check_policy(config, spec, size)
    if config.goals == "future" and spec.goals is None:
        raise ValueError(f"--agent.goals future: needs a task with goals, not {spec.name}")


def check_policy(config: Learning, spec: "run.Spec", size: run.Size) -> None:
    """The same of a policy that imitates, whatever it learns from."""
    from envs.base import Box

    parts.check_images(spec, config.cnn)
    size.per_device(config.batch_size, "agent.batch_size")
    if config.objective == "squared":
        parts.unit_box(spec, "--agent.objective squared")
        if config.entropy_cost:
            raise ValueError(
                f"--agent.entropy-cost {config.entropy_cost}: of use only with --agent.objective likelihood"
            )
    elif isinstance(spec.action, Box):
        parts.check_bounds(spec)


def agent_of(config: Learning, spec: "run.Spec") -> "run.Agent":
    """The agent that the flags describe, acting within the task's bounds."""
    import optax

    import networks
    from agents.bc import bc
    from agents.common import optimisers, wrappers
    from envs.base import Box, MultiDiscrete

    head: Any
    if isinstance(spec.action, MultiDiscrete):
        head = networks.CategoricalsPolicy(spec.action.nums)
    elif not isinstance(spec.action, Box):
        head = networks.CategoricalPolicy(spec.action.num)
    elif config.objective == "squared":
        head = networks.DeterministicPolicy(spec.action.shape[0])
    else:
        head = networks.GaussianPolicy(spec.action.shape[0])
    torso = parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
    descent = optax.adamw(config.learning_rate, weight_decay=config.weight_decay)
    agent = bc(
        networks.q_network(torso, head),
        optimisers.chain(descent, config.max_grad_norm, config.learning_rate),
        entropy_cost=config.entropy_cost,
    )
    if isinstance(spec.action, Box):
        bounded = config.objective == "squared"
        agent = wrappers.unit_actions(agent, spec.action) if bounded else parts.centred(agent, spec)
    return agent


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import wrappers

    agent = agent_of(config, spec)
    if config.normalise_observations:
        agent = wrappers.normalise_by(agent, spec.observation, size.data.mean, size.data.std)
    among = parts.offline.among(config, size.data)
    memory = replay.recorded(size.per_device(config.batch_size, "agent.batch_size"), among=among)
    if config.goals == "future":
        memory = replay.towards(memory, lambda key, data, start: replay.ahead(key, data, start)[None])
    return run.Parts(agent, memory, run.Schedule())


PRESETS: run.Presets = {
    "pendulum": {
        "updates": 20_000,
        "eval_episodes": 100,
        "agent.hidden": (64, 64),
        "agent.batch_size": 128,
        "agent.objective": "squared",
        "agent.normalise_observations": False,
    },
    "pointmaze-small": parts.merge(
        parts.reaching.POINTMAZE,
        goals="future",
        normalise_observations=False,
        **parts.reaching.NARROW,
    ),
}
"""`pendulum` is that of docs/results/offline.md, `pointmaze-small` that of docs/results/hiql.md."""

experiment = run.Experiment("bc", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
