"""CMA-ES: `python -m experiments.cma_es --help`."""

from dataclasses import dataclass, field

from experiments import cem, run


@dataclass(frozen=True)
class Config(cem.Searching):
    """Flags of the agent."""

    population: run.Whole = 0
    """Candidates per generation, at least 4; 0 for 4 + 3 ln(number of parameters)."""
    episodes: run.Count = 3
    """Episodes that each candidate plays."""
    step_size: bool = True
    """Adapt the step size σ."""
    rank_mu: bool = True
    """Learn the covariance from each generation, and not from the path of the mean alone."""
    active: bool = True
    """Count the worse half of each generation against its directions."""


@dataclass(frozen=True)
class Flags(cem.Run):
    """Search for a policy by evolution with covariance matrix adaptation (Hansen, 2016)."""

    factorises = True
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses populations that are too small, and actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the flag.
    """
    if 0 < config.population < 4:
        raise ValueError(f"--agent.population {config.population}: must be at least 4, or 0")
    cem.check_actions(spec)


def make(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.cma_es import cma_es

    policy, shapes, discrete = cem.searched(config, spec)
    agent = cma_es(
        policy, shapes, config.population,
        episodes=config.episodes, discrete=discrete, sigma=config.sigma, step_size=config.step_size,
        rank_mu=config.rank_mu, active=config.active,
    )  # fmt: skip
    return cem.assembled(agent, spec, config, discrete)


experiment = run.Experiment("cma_es", Flags, check, make, alone=cem.ALONE)
main = experiment.main

if __name__ == "__main__":
    main()
