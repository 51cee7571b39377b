"""Meta-parameters that adapt by noise and reward: `python -m experiments.doya --help`."""

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    around: Literal["dyna_q", "a2c", "ppo", "dqn", "sac"] = "dyna_q"
    """Agent whose meta-parameters adapt, by the name of its command."""
    inner: tuple[str, ...] = ("discount=0.6", "planning=32", "learning-rate=0.5", "epsilon=0.05")
    """Flags of the agent that `around` names, as name=value; its own command's `--help` shows them as `--agent.`."""
    adapt: tuple[str, ...] = ("discount",)
    """Real-numbered flags of the agent within that adapt, such as discount, learning-rate or epsilon, or
    inverse-temperature of dyna_q with softmax=true."""
    mu: run.NonNegative = 1.0
    """Step size μ by which meta-parameters follow the noise that does good; with 0 they stay."""
    noise: run.NonNegative = 0.7
    """Standard deviation of the noise on each squashed meta-parameter."""
    hold: run.Count = 300
    """Updates for which the noise is held."""
    mid: run.Positive = 100.0
    """Time constant τ₁ of the running reward, in updates."""
    long: run.Positive = 1000.0
    """Time constant τ₂, in updates, of the long running average, which is taken of the running reward."""
    settle: run.Whole = 2_000
    """Updates at first in which the meta-parameters stay, since what is learned then is no merit of the noise."""
    reach: run.Positive = 2.0
    """How far a squashed meta-parameter may go from where it began."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train an agent whose discount and other numbers adapt by the rule of Doya (2002)."""

    env: str = "bellmax/far-reward"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 32
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def started(config: Config, own: object) -> tuple[dict[str, float], list[str]]:
    """What the meta-parameters begin with, and which of them lie between 0 and 1.

    Raises:
      ValueError: a flag is no real number of the agent's, or begins where the rule cannot move it.
    """
    known = run.population.sweepable(own)
    values, shares = {}, []
    for word in config.adapt:
        name = word.replace("-", "_")
        if name not in known:
            told = ", ".join(n.replace("_", "-") for n in known)
            raise ValueError(f"--agent.adapt {word}: {config.around} has no such real number; allowed: {told}")
        values[name] = getattr(own, name)
        allowed = known[name]
        if allowed is not None and allowed.high <= 1:
            shares.append(name)
        if not 0 < values[name] < (1 if name in shares else run.ranges.MOST):
            limits = "above 0 and below 1" if name in shares else "above 0"
            raise ValueError(f"--agent.inner {word}={values[name]:g}: must be {limits} to adapt")
    if not values:
        raise ValueError("--agent.adapt (empty): name a flag that adapts, such as discount")
    return values, shares


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    from experiments.drivers import members

    experiment, own = parts.around.inner(config)
    values, _ = started(config, own)
    try:
        experiment.check(own, spec, size)
    except ValueError as error:
        raise ValueError(re.sub(r"--agent\.([a-z])", r"--agent.inner \1", str(error))) from None
    plain = lambda hypers: experiment.make(replace(own, **hypers), spec, size)  # noqa: E731
    for name in members.stored_by(plain, list(values), values, spec, size.num_envs, ())[:1]:
        raise ValueError(f"--agent.adapt {name.replace('_', '-')}: is a number of the replay, which does not change")


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.doya import adapted

    experiment, own = parts.around.inner(config)
    values, shares = started(config, own)
    plain = experiment.make(own, spec, size)
    agent = adapted(
        lambda hypers: experiment.make(replace(own, **hypers), spec, size).agent,
        values,
        shares,
        mu=config.mu,
        sigma=config.noise,
        hold=config.hold,
        mid=config.mid,
        long=config.long,
        settle=config.settle,
        reach=config.reach,
    )
    return plain._replace(agent=agent)


PRESETS: run.Presets = {
    "three": {
        "agent.inner": ("softmax=true", "discount=0.6", "inverse-temperature=5", "learning-rate=0.5", "planning=16"),
        "agent.adapt": ("discount", "inverse-temperature", "learning-rate"),
        "agent.mu": 0.5,
        "steps": 3_200_000,
    },
    "network": {
        "agent.around": "a2c",
        "agent.inner": (
            "discount=0.6",
            "entropy-cost=0.02",
            "learning-rate=3e-3",
            "anneal=false",
            "hidden=32",
            "unroll=8",
        ),
        "agent.hold": 600,
        "agent.mid": 200.0,
        "agent.long": 2000.0,
        "steps": 16_000_000,
    },
}
"""three: γ, β and α of a Dyna-Q that acts by a softmax. network: γ of an A2C with a hidden layer."""

experiment = run.Experiment("doya", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
