"""SAC, for continuous and discrete actions: `python -m experiments.sac --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.off_policy.Learning):
    """Flags of the agent."""

    policy_learning_rate: run.Positive = 1e-3
    """Adam's step size for the policy."""
    temperature_learning_rate: run.Positive = 1e-3
    """Adam's step size for ln α."""
    temperature: run.NonNegative = 1.0
    """α; the first one, if it is learned."""
    automatic: bool = True
    """Learn α, so that the policy's entropy is `entropy`."""
    entropy: run.Real | None = None
    """The entropy H̄ to keep, in nats, of actions in [-1, 1]: by default -1 per dimension; for discrete actions 0.3
    times that of the uniform policy."""
    critics: run.Count = 2
    """Critics, of which targets and the policy take the least value."""
    delay: run.Count = 1
    """Critic steps per update; the policy, α and the targets move once."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train SAC (Haarnoja et al., 2018; for discrete actions, Christodoulou, 2019)."""

    env: str = "bellmax/pendulum"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 4
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: run.Size) -> run.Parts:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together, or actions that are neither discrete nor bounded.
    """
    import math

    import networks
    from agents.common import optimisers
    from agents.sac import Params, sac
    from envs.base import Discrete

    parts.off_policy.check(config, ("critics", "delay"))
    # One that is swept is traced, and not looked at.
    if config.automatic and isinstance(config.temperature, float) and config.temperature <= 0:
        raise ValueError(f"--agent.temperature {config.temperature}: must be above 0, or --agent.no-automatic")
    torso = parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
    discrete = isinstance(spec.action, Discrete)
    if discrete:
        box, entropy = None, 0.3 * math.log(spec.action.num)
        policy = networks.q_network(torso, networks.CategoricalPolicy(spec.action.num))
        critic = networks.ensemble(networks.q_network(torso, networks.QValues(spec.action.num)), config.critics)
    else:
        box = parts.unit_box(spec, "sac")
        entropy = -float(box.shape[0])
        policy = networks.q_network(torso, networks.TanhGaussianPolicy(box.shape[0]))
        critic = parts.off_policy.critics(config, spec, config.critics)
    rates = (config.policy_learning_rate, config.learning_rate, config.temperature_learning_rate)
    agent = sac(
        policy,
        critic,
        Params(*map(optimisers.adam, rates)),
        discount=config.discount,
        temperature=config.temperature,
        target_entropy=(entropy if config.entropy is None else config.entropy) if config.automatic else None,
        target_rate=config.target_rate,
        delay=config.delay,
        discrete=discrete,
    )
    return parts.off_policy.parts(agent, spec, config, scale, config.delay)


experiment = run.Experiment("sac", Flags, run.accept, make, parts.presets_control.SAC)
main = experiment.main

if __name__ == "__main__":
    main()
