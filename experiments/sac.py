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
    """Temperature α of the entropy bonus; the first one, if it is learned."""
    automatic: bool = True
    """Learn α, so that the policy's entropy is `entropy`."""
    entropy: run.Real | None = None
    """The entropy H̄ to keep, in nats, of actions in [-1, 1]: by default -1 per dimension; for discrete actions 0.3
    times that of the uniform policy."""
    critics: run.Count = 2
    """Number of critics, of which targets and the policy take the least value."""
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


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete

    if config.automatic and config.temperature <= 0:
        raise ValueError(f"--agent.temperature {config.temperature}: must be above 0, or --agent.no-automatic")
    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "sac")
    parts.off_policy.check(config, size)


def make(config: Config, spec: Any, size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import math

    import networks
    from agents.common import optimisers
    from agents.sac import Params, sac
    from envs.base import Discrete

    torso = parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
    discrete = isinstance(spec.action, Discrete)
    if discrete:
        box, entropy = None, 0.3 * math.log(spec.action.num)
        policy = networks.q_network(torso, networks.CategoricalPolicy(spec.action.num))
        critic = networks.ensemble(networks.q_network(torso, networks.QValues(spec.action.num)), config.critics)
    else:
        box = spec.action
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
    return parts.off_policy.parts(agent, spec, config, size, config.delay)


MUJOCO = parts.merge(parts.presets.OFF_POLICY, policy_learning_rate=3e-4, temperature_learning_rate=3e-4, warmup=10_000)
PRESETS: run.Presets = {
    "mujoco": MUJOCO,
    "dm-control": parts.merge(MUJOCO, parts.presets.SUITE),
    "mountain-car": parts.merge(
        parts.presets.MOUNTAIN | {"steps": 100_000},
        discount=0.9999,
        learning_rate=3e-4,
        policy_learning_rate=3e-4,
        temperature=0.1,
        automatic=False,
        batch_size=512,
        unroll=32,
        updates=32,
        target_rate=0.01,
    ),
}
"""`mujoco` is the setting of the authors, and `dm-control` the same on the DeepMind Control Suite; see
`experiments.parts.presets`. `mountain-car` has the settings of Stable-Baselines3's zoo but for a fourth of its
updates per step, and explores by its entropy."""

experiment = run.Experiment("sac", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
