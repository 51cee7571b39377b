"""AlphaZero: `python -m experiments.alphazero --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import parts, run

if TYPE_CHECKING:
    from envs.base import Rules

    class Ruled(run.Counted):
        """Of a task with known rules."""

        rules: Rules


@dataclass(frozen=True)
class Config(parts.searching.Searching):
    """Flags of the agent."""

    discount: run.Unit = 1.0
    """Discount γ of later rewards, per move."""
    n_step: run.Whole = 0
    """Rewards summed in each value target, before the value of a search; with 0 all until the end of the game."""
    support: run.Count = 1
    """Values are distributions over the whole numbers from minus this to this: loss, draw and win."""
    rescale: bool = False
    """Put values on their support by h(x) = sign(x) (√(|x| + 1) - 1) + εx; else as they are."""
    value_cost: run.NonNegative = 1.0
    """Weight of the value loss."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train AlphaZero (Silver et al., 2018), which plans with the rules of a game, by play against itself."""

    env: str = "bellmax/tic-tac-toe"
    """Task whose rules are known and have no chance, as suite/id."""
    eval_env_options: tuple[str, ...] = ("opponent=random",)
    """Options that the task has besides, or instead, when policies are evaluated: an opponent who moves at random."""
    num_envs: run.Count = 32
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def length(config: Config, spec: Any) -> int:
    """Transitions of a window: those that a value target may need."""
    return config.n_step or spec.time_limit


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks without known rules or whose games have no limit, and replays without room for a game.

    Raises:
      ValueError: naming the flag.
    """
    parts.discrete_actions(spec, "a tree search")
    parts.worlds.check_exact(spec)
    if not config.n_step and not spec.time_limit:
        raise ValueError(f"--agent.n-step 0: {spec.name} has no time limit to sum all rewards to; allowed: 1 or more")
    parts.searching.check(config, spec, size, length(config, spec))


def make(config: Config, spec: "Ruled", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers
    from agents.muzero import muzero
    from agents.world import latent

    atoms, tx_pair = parts.searching.support(config)
    head = networks.PolicyValue(spec.action.num, atoms.size, config.hidden)
    network = networks.q_network(parts.torso(spec, config.hidden, config.cnn), head)
    agent = muzero(
        latent.exact(spec.rules, network),
        optimisers.adam(config.learning_rate, config.max_grad_norm),
        atoms=atoms,
        search=parts.searching.search(config),
        depth=0,
        n_step=length(config, spec),
        discount=config.discount,
        turns=spec.rules.turns,
        value_cost=config.value_cost,
        improve=config.target == "search",
        legal=spec.rules.legal,
        tx_pair=tx_pair,
    )
    buffer, batch = parts.shares(config, size)
    return run.Parts(agent, replay.uniform(buffer, batch, length(config, spec)), parts.searching.schedule(config, size))


experiment = run.Experiment("alphazero", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
