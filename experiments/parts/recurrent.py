"""What the experiments of agents with a recurrent Q-network share: what they refuse, the network and the wrappers."""

from typing import Any

from experiments.parts import builders, checks, learning
from experiments.run import plans


def check(config: Any, spec: Any, size: plans.Size, rows: int) -> None:
    """Refuses a task without discrete actions or without the frames that are stacked, and a replay without room for one
    window of each lane.

    Args:
      config: the agent's flags.
      spec: the task.
      size: of the run.
      rows: of a window, with what rebuilding it reads.

    Raises:
      ValueError: naming the flag.
    """
    builders.discrete_actions(spec, "this agent")
    checks.check_replay(config, size, rows)
    checks.check_frames(spec, config.frames)


def default_core(config: Any) -> Any:
    """The core that `memory` and `memory_size` describe."""
    return builders.core(config.memory, (config.memory_size,))


def recurrent(config: Any, spec: Any, core: Any = default_core) -> Any:
    """A network of torso, memory and head from flags as above.

    Args:
      config: the agent's flags.
      spec: the task.
      core: from flags to the recurrent core, or None without one.
    """
    import networks
    from agents.common import wrappers

    seen = wrappers.recalled(spec.observation, spec.action) if config.recall else spec.observation
    torso = builders.torso(
        spec._replace(observation=seen), config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype
    )
    return networks.q_network(
        torso, networks.QValues(spec.action.num, hidden=config.head, dueling=config.dueling), core(config)
    )


def wrapped(agent: Any, config: Any, spec: Any, hold: int = 1) -> Any:
    """The agent behind the wrappers that its flags ask for, with random actions of up to `hold` steps."""
    from agents.common import exploration, recurrence, wrappers

    agent = recurrence.forgetful(agent) if config.start == "zero" else agent
    agent = exploration.extended(agent, spec.action.num, hold) if hold > 1 else agent
    agent = learning.clipped(agent, config)
    agent = wrappers.recall(agent, spec.action) if config.recall else agent
    return learning.normalised(agent, spec, config.normalise_observations, False, config.discount)
