"""What the experiments of agents with a recurrent Q-network share: the network, the wrappers and refusals."""

from typing import Any

from experiments.parts import builders, learning
from experiments.run import flags


def default_core(config: Any) -> Any:
    """The core that `memory` and `memory_size` describe."""
    return builders.core(config.memory, (config.memory_size,))


def recurrent(config: Any, spec: Any, core: Any = default_core) -> Any:
    """A network of torso, memory and head from flags as above.

    Args:
      config: the agent's flags.
      spec: the task.
      core: from flags to the recurrent core, or None without one.

    Raises:
      ValueError: naming the flag.
    """
    import networks
    from agents.common import wrappers

    for name in ("head", "memory_size"):
        sizes = getattr(config, name)
        if any(size < 1 for size in (sizes if isinstance(sizes, tuple) else (sizes,))):
            raise ValueError(f"{flags.flag(f'agent.{name}')} {sizes}: sizes must be positive")
    actions = builders.discrete_actions(spec, "this agent")
    seen = wrappers.recalled(spec.observation, spec.action) if config.recall else spec.observation
    torso = builders.torso(
        spec._replace(observation=seen), config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype
    )
    return networks.q_network(
        torso, networks.QValues(actions, hidden=config.head, dueling=config.dueling),
        core(config),
    )  # fmt: skip


def wrapped(agent: Any, config: Any, spec: Any, hold: int = 1) -> Any:
    """The agent behind the wrappers that its flags ask for, with random actions of up to `hold` steps."""
    from agents.common import exploration, recurrence, wrappers

    agent = recurrence.forgetful(agent) if config.start == "zero" else agent
    agent = exploration.extended(agent, spec.action.num, hold) if hold > 1 else agent
    agent = learning.clipped(agent, config)
    agent = wrappers.recall(agent, spec.action) if config.recall else agent
    return learning.normalised(agent, spec, config.normalise_observations, False, config.discount)


def check_counts(config: Any, *names: str) -> None:
    """Refuses counts below 1.

    Raises:
      ValueError: naming the flag.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{flags.flag(f'agent.{name}')} {getattr(config, name)}: must be at least 1")
