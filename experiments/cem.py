"""The cross-entropy method: `python -m experiments.cem --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import build, flags, ranges, runs

if TYPE_CHECKING:
    from experiments.drivers import Parts


@dataclass(frozen=True)
class Searching:
    """Flags of a search over policies, which are deterministic."""

    population: ranges.Count = 50
    """Candidates per generation."""
    episodes: ranges.Count = 1
    """Episodes of each candidate."""
    hidden: tuple[ranges.Count, ...] = ()
    """Sizes of the policy's dense layers; none for a linear policy."""
    sigma: ranges.Positive = 1.0
    """Standard deviation of the first candidates in every parameter."""
    unroll: ranges.Count = 16
    """Steps in each environment between looks at what has ended."""


@dataclass(frozen=True)
class Config(Searching):
    """Flags of the agent."""

    best: ranges.Count = 10
    """Elites, which the next generation is drawn around."""
    noise: ranges.NonNegative = 1.0
    """Extra variance of the first generation."""
    fade: ranges.NonNegative = 10.0
    """Generations over which it fades."""


@dataclass(frozen=True)
class Flags(flags.Common):
    """Search for a policy by the noisy cross-entropy method (Szita and Lőrincz, 2006)."""

    env: str = "bellmax/cartpole"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: ranges.Count = 4
    """Environments (lanes) per seed; at the end of each generation they wait for the last one."""
    agent: Config = field(default_factory=Config)


def searched(config: Searching, spec: Any) -> tuple[Any, Any, bool]:
    """The policy, its parameters' shapes, and whether its actions are discrete.

    Raises:
      ValueError: naming the flag.
    """
    import jax

    import networks
    from agents import keys
    from envs.base import Discrete, blank

    for name in ("episodes", "unroll"):
        if getattr(config, name) < 1:
            raise ValueError(f"--agent.{name} {getattr(config, name)}: must be at least 1")
    torso = build.torso(spec, config.hidden, "small", "tanh")
    discrete = isinstance(spec.action, Discrete)
    if discrete:
        policy = networks.q_network(torso, networks.QValues(spec.action.num))
    else:
        policy = networks.q_network(torso, networks.DeterministicPolicy(build.unit_box(spec, "policy search").shape[0]))
    return policy, jax.eval_shape(policy.init, keys.key(0), blank(spec, 1).observation), discrete


def parts(agent: Any, spec: Any, config: Searching, discrete: bool) -> "Parts":
    """The parts of one run of a search."""
    import replay
    from agents import wrappers
    from experiments.drivers import Parts
    from experiments.loops import Schedule

    agent = agent if discrete else wrappers.unit_actions(agent, spec.action)
    return Parts(agent, replay.on_policy(config.unroll), Schedule(config.unroll))


def make(config: Config, spec: Any, scale: runs.Scale) -> "Parts":
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together, or actions that are neither discrete nor bounded.
    """
    from agents.cem import cem

    if not 1 <= config.best <= config.population:
        raise ValueError(f"--agent.best {config.best}: must be from 1 to --agent.population {config.population}")
    policy, shapes, discrete = searched(config, spec)
    agent = cem(
        policy, shapes, config.population, config.best,
        episodes=config.episodes, discrete=discrete, sigma=config.sigma, noise=config.noise, fade=config.fade,
    )  # fmt: skip
    return parts(agent, spec, config, discrete)


main = runs.main("cem", Flags, make)

if __name__ == "__main__":
    main()
