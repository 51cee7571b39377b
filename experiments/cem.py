"""The cross-entropy method: `python -m experiments.cem --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Tree


@dataclass(frozen=True)
class Searching:
    """Flags of a search over policies, which are deterministic."""

    population: run.Count = 50
    """Number of candidates in a generation."""
    episodes: run.Count = 1
    """Episodes that each candidate plays."""
    hidden: tuple[run.Count, ...] = ()
    """Sizes of the policy's dense layers; none for a linear policy."""
    sigma: run.Positive = 1.0
    """Standard deviation of the first candidates in every parameter."""
    unroll: run.Count = 16
    """Steps in each environment between looks at what has ended."""


@dataclass(frozen=True)
class Config(Searching):
    """Flags of the agent."""

    best: run.Count = 10
    """Elites, which the next generation is drawn around."""
    noise: run.NonNegative = 1.0
    """Extra variance that the first generation is drawn with."""
    fade: run.NonNegative = 10.0
    """Generations over which the extra variance fades."""


@dataclass(frozen=True)
class Run(run.Common):
    """Flags of the run of a search."""

    env: str = "bellmax/cartpole"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 4
    """Environments (lanes) per seed; at the end of each generation they wait for the last one."""


@dataclass(frozen=True)
class Flags(Run):
    """Search for a policy by the noisy cross-entropy method (Szita and Lőrincz, 2006)."""

    agent: Config = field(default_factory=Config)


def check_actions(spec: "run.Spec") -> None:
    """Refuses actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the task.
    """
    from envs.base import Discrete

    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "policy search")


def searched(config: Searching, spec: "run.Either") -> "tuple[run.Network, Tree, bool]":
    """The policy, its parameters' shapes, and whether its actions are discrete; if not, they are bounded."""
    import jax

    import networks
    from envs import keys
    from envs.base import Discrete, blank

    torso = parts.torso(spec, config.hidden, "small", "tanh")
    discrete = isinstance(spec.action, Discrete)
    if discrete:
        policy = networks.q_network(torso, networks.QValues(spec.action.num))
    else:
        policy = networks.q_network(torso, networks.DeterministicPolicy(spec.action.shape[0]))
    return policy, jax.eval_shape(policy.init, keys.key(0), blank(spec, 1).observation), discrete


def assembled(agent: "run.Agent", spec: "run.Either", config: Searching, discrete: bool) -> run.Parts:
    """The parts of one run of a search."""
    import replay
    from agents.common import wrappers

    agent = agent if discrete else wrappers.unit_actions(agent, spec.action)
    return run.Parts(agent, replay.on_policy(config.unroll), run.Schedule(config.unroll))


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the flag.
    """
    if config.best > config.population:
        raise ValueError(f"--agent.best {config.best}: must be from 1 to --agent.population {config.population}")
    check_actions(spec)


def make(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.cem import cem

    policy, shapes, discrete = searched(config, spec)
    agent = cem(
        policy, shapes, config.population, config.best,
        episodes=config.episodes, discrete=discrete, sigma=config.sigma, noise=config.noise, fade=config.fade,
    )  # fmt: skip
    return assembled(agent, spec, config, discrete)


ALONE = "a generation ends when all candidates were heard, and rows of an earlier one would count for it"
"""Why no actors may play for a search of policies."""

experiment = run.Experiment("cem", Flags, check, make, alone=ALONE)
main = experiment.main

if __name__ == "__main__":
    main()
