"""What the experiments of offline reinforcement learning share: their flags, the dataset's replay, and wrappers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import run
from experiments.parts import builders, checks, off_policy

if TYPE_CHECKING:  # experiments import this module for `--help`, which must not wait for JAX
    import flax.linen as nn

    from agents.base import Agent, Array, TimeStep, Tree
    from envs.base import Spec


@dataclass(frozen=True)
class Learning(off_policy.Values):
    """Flags of an agent that learns values from recorded transitions."""

    learning_rate: run.Positive = 3e-4
    hidden: tuple[run.Count, ...] = (256, 256)
    batch_size: run.Count = 256
    policy_learning_rate: run.Positive = 3e-4
    """Adam's step size for the policy."""
    critics: run.Count = 2
    """Number of critics, of which targets take the least value."""
    top: run.Share = 1.0
    """Share of the episodes to learn from, those with the greatest returns."""
    reward_shift: run.Real = 0.0
    """What is added to the rewards that are learned from after their factor; -1 for IQL's and CQL's AntMaze."""
    span_returns: bool = False
    """Divide rewards further so that the returns of the dataset span 1000, as IQL does for locomotion."""
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
    among = None if isinstance(config.top, float) and config.top == 1 else data.top(config.top)
    memory = replay.recorded(size.per_device(config.batch_size, "agent.batch_size") * steps, config.n_step, among)
    span = float(data.returns[0] - data.returns[-1]) if config.span_returns else 0.0
    factor = config.reward_scale * (1000.0 / span if span > 0 else 1.0)
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
