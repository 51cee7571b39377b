"""What the experiments of offline reinforcement learning share: their flags, the dataset's replay, and wrappers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from experiments import run
from experiments.parts import builders, checks, off_policy

if TYPE_CHECKING:  # experiments import this module for `--help`, which must not wait for JAX
    import flax.linen as nn
    import numpy as np

    from agents.base import Agent, Array, TimeStep, Tree
    from envs.base import Spec
    from replay.dataset import Facts


By = Literal["trajectories", "steps"]


@dataclass(frozen=True)
class Best:
    """Flags of what of a dataset is learned from."""

    top: run.Share = 1.0
    """Share of the data to learn from, of the episodes with the greatest returns: 0.1 for the best tenth (10 %BC)."""
    top_by: By = "trajectories"
    """What `top` is a share of: episodes, or transitions, of which whole episodes are taken up to that share."""


def among(config: Best, data: "Facts") -> Any:
    """How many transitions of the best episodes are drawn from, for `replay.recorded` and others; None for all."""
    every = isinstance(config.top, float) and config.top == 1
    return None if every else data.top(config.top, config.top_by)


@dataclass(frozen=True)
class Learning(Best, off_policy.Values):
    """Flags of an agent that learns values from recorded transitions."""

    learning_rate: run.Positive = 3e-4
    hidden: tuple[run.Count, ...] = (256, 256)
    batch_size: run.Count = 256
    policy_learning_rate: run.Positive = 3e-4
    """Adam's step size for the policy."""
    critics: run.Count = 2
    """Number of critics, of which targets take the least value."""
    reward_shift: run.Real = 0.0
    """What is added to the rewards that are learned from after their factor; -1 for IQL's and CQL's AntMaze."""
    span_returns: bool = False
    """Divide rewards further so that the returns of the dataset span 1000, as IQL does for locomotion. A span below
    a twentieth of the largest return counts as that."""
    normalise_observations: bool = True
    """Bring observations that are not images to mean 0 and variance 1 over the dataset."""


PENDULUM: dict[str, Any] = {
    "updates": 20_000,
    "eval_episodes": 100,
    "agent.hidden": (64, 64),
    "agent.batch_size": 128,
    "agent.learning_rate": 1e-3,
    "agent.policy_learning_rate": 1e-3,
    "agent.discount": 0.95,
    "agent.target_rate": 0.02,
    "agent.normalise_observations": False,
}
"""What presets have in common by which methods are compared on sets of Pendulum, in docs/results/offline.md."""


LEAST_SPAN = 0.05
"""What returns span at least, as a share of the largest of them by size."""


def span(returns: "np.ndarray") -> float:
    """How far returns lie apart, but at least `LEAST_SPAN` of the largest: what `span_returns` divides by.

    Without that bound, returns that are almost equal, as those of an expert alone, would make rewards as huge as chance
    makes their difference small.

    Args:
      returns: `[E]`, the greatest first.
    """
    greatest, least = float(returns[0]), float(returns[-1])
    return max(greatest - least, LEAST_SPAN * max(abs(greatest), abs(least)))


def check(config: Learning, spec: "Spec", size: run.Size) -> None:
    """Refuses batches that cannot be shared out, and images that are too small.

    Raises:
      ValueError: naming the flag.
    """
    checks.check_images(spec, config.cnn)
    size.per_device(config.batch_size, "agent.batch_size")


def policy(config: Learning, spec: "Spec", head: "nn.Module") -> "run.Network":
    """The network of a policy with such a head, never normalised between its layers."""
    import networks

    return networks.q_network(builders.torso(spec, config.hidden, config.cnn, dtype=config.dtype), head)


def parts(
    agent: "Agent",
    spec: "Spec",
    config: Learning,
    size: run.Size,
    value: "Callable[[Tree, TimeStep], Array] | None" = None,
    steps: int = 1,
    followed: int = 0,
) -> run.Parts:
    """The parts of a run of an agent that acts in [-1, 1], where the task's actions are a Box.

    Args:
      agent: inside of the task's bounds and of normalisation.
      spec: the task.
      config: the flags.
      size: of the run.
      value: `(state, timestep[T, N]) -> [T, N]`, of which the mean at the starts of episodes is told.
      steps: gradient steps of an update, each on a batch of its own.
      followed: rows for which an episode is followed to tell what came of a transition (`replay.to_go`); 0 not to.
    """
    import replay
    from agents.common import starts, wrappers
    from envs.base import Box

    data = size.data
    batch = size.per_device(config.batch_size, "agent.batch_size") * steps
    memory = replay.recorded(batch, config.n_step, among(config, data))
    apart = span(data.returns) if config.span_returns else 0.0
    factor = config.reward_scale * (1000.0 / apart if apart > 0 else 1.0)
    paid = lambda reward: factor * reward + config.reward_shift  # noqa: E731
    relabels: list[Any] = [replay.to_go(config.discount, followed, paid)] if followed else []
    relabels += [replay.rewards(paid)]
    relabels += [replay.n_step(config.n_step, config.discount)] if config.n_step > 1 else []
    memory = replay.mapped(memory, *relabels)
    agent = agent if value is None else starts.told(agent, value)
    agent = wrappers.unit_actions(agent, spec.action) if isinstance(spec.action, Box) else agent
    if config.normalise_observations:
        agent = wrappers.normalise_by(agent, spec.observation, data.mean, data.std)
    return run.Parts(agent, memory, run.Schedule())
