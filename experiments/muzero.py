"""MuZero and Gumbel MuZero: `python -m experiments.muzero --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.searching.Searching):
    """Flags of the agent."""

    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step; 0.997 in the paper."""
    width: run.Count = 64
    """Numbers of a latent state."""
    depth: run.Whole = 5
    """Steps K for which learning unrolls the model; with 0 the model is not learned, an ablation."""
    n_step: run.Count = 10
    """Rewards summed in each value target, before the value of a search."""
    reanalyse: bool = False
    """Search anew in what is sampled, with today's parameters, rather than learn what acting found."""
    priority_exponent: run.NonNegative = 0.0
    """Exponent of the priorities by which the replay draws, |value found - return|; 0 draws uniformly, 1 in the
    paper."""
    beta: run.Unit = 1.0
    """Exponent of the importance weights of drawn windows."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train MuZero (Schrittwieser et al., 2020) or Gumbel MuZero (Danihelka et al., 2022) on discrete actions."""

    env: str = "bellmax/catch"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses continuous actions, and replays without room for a window.

    Raises:
      ValueError: naming the flag.
    """
    parts.searching.check(config, spec, size, config.depth + config.n_step)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers
    from agents.muzero import muzero
    from agents.world import latent

    atoms, tx_pair = parts.searching.support(config)
    module = networks.LatentModel(
        parts.torso(spec, config.hidden, config.cnn), spec.action.num, atoms.size, config.width, config.hidden
    )
    agent = muzero(
        latent.learned(module, atoms, tx_pair),
        optimisers.adam(config.learning_rate, config.max_grad_norm),
        atoms=atoms,
        search=parts.searching.search(config),
        depth=config.depth,
        n_step=config.n_step,
        discount=config.discount,
        turns=bool(spec.rules and spec.rules.turns),
        value_cost=config.value_cost,
        reanalyse=config.reanalyse,
        improve=config.target == "search",
        legal=spec.rules and spec.rules.legal,
        tx_pair=tx_pair,
    )
    buffer, batch = parts.shares(config, size)
    storage = replay.prioritised(
        buffer, batch, config.depth + config.n_step, alpha=config.priority_exponent, beta=config.beta
    )
    return run.Parts(agent, storage, parts.searching.schedule(config, size))


experiment = run.Experiment("muzero", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
