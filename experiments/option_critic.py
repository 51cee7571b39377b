"""Option-critic: `python -m experiments.option_critic --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Layers):
    """Flags of the agent."""

    form: Literal["a2oc", "dqn"] = "a2oc"
    """The advantage actor-critic with n-step returns, or values of one step that learn from a replay as well."""
    options: run.Count = 4
    """Options that are learned; with one this is an actor-critic."""
    deliberation: run.NonNegative = 0.0
    """Deliberation cost η of leaving an option, taken from the reward and added to what an end must gain."""
    margin: run.NonNegative = 0.0
    """Margin ξ by which choosing anew must be worth more than going on with an option before the option ends."""
    epsilon: run.Unit = 0.1
    """Probability that an option is chosen at random."""
    baseline: bool = True
    """Learn policies from how much better than the option's value an action was."""
    unroll: run.Count = 16
    """Steps in each environment per update, and in a window."""
    optimiser: Literal["adam", "rmsprop"] = "adam"
    """Optimiser of everything; RMSProp is that of both papers."""
    shared: bool = True
    """Share one torso between the heads of all options: it cannot be off."""
    buffer_size: run.Count = 10_000
    """Steps that are kept to learn from again, of dqn."""
    replayed: run.Count = 32
    """Windows of the past that values are learned from per update, of dqn."""
    target_period: run.Count = 100
    """Updates between copies into the target network, of dqn."""
    error_clip: run.Positive = 1.0
    """Where the loss of values becomes linear, of dqn."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train Option-Critic (Bacon et al., 2017) as a DQN, or as A2OC with a deliberation cost (Harb et al., 2018)."""

    env: str = "bellmax/four-rooms"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


OF_DQN = ("buffer_size", "replayed", "target_period", "error_clip")


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    parts.discrete_actions(spec, "option-critic")
    parts.actor_critics.check_network(config, spec)
    if not config.shared:
        raise ValueError("--agent.no-shared: the heads of options share one torso")
    if config.form == "dqn":
        parts.actor_critics.check_replayed(config, size)
        return
    for name in OF_DQN:
        if getattr(config, name) != getattr(Config, name):
            raise ValueError(f"{run.flag('agent.' + name)} {getattr(config, name)}: of use only with --agent.form dqn")


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.option_critic import option_critic

    dqn = config.form == "dqn"
    storage, replayed = parts.actor_critics.replayed(config, size) if dqn else (replay.on_policy(config.unroll), 0)
    network = networks.q_network(
        parts.torso(spec, config.hidden, config.cnn, config.activation, config.dtype),
        networks.OptionHeads(config.options, spec.action.num, apart=dqn),
        parts.core(config.memory, config.hidden),
    )
    agent = option_critic(
        network,
        parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, size)),
        discount=config.discount,
        lambda_=0.0 if dqn else 1.0,
        expected=dqn,
        deliberation=config.deliberation,
        margin=config.margin,
        epsilon=config.epsilon,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
        error_clip=config.error_clip if dqn else None,
        baseline=config.baseline,
        target_period=config.target_period if dqn else None,
        replayed=replayed,
    )
    return run.Parts(parts.clipped(agent, config), storage, run.Schedule(config.unroll, 1, 1))


ROOMS: dict[str, Any] = {
    "env": "bellmax/four-rooms",
    "env_options": ("goal=doorway", "slip=0.333", "told=false", "time_limit=1000"),
    "agent.hidden": (),
    "agent.learning_rate": 1e-2,
    "steps": 300_000,
}
PRESETS: run.Presets = {
    "four-rooms": ROOMS | {"agent.unroll": 8},
    "four-rooms-dqn": ROOMS | {"agent.form": "dqn", "agent.unroll": 4},
}
"""`four-rooms` is the task of the paper before its goal moves, with values and policies that are linear in the cell;
`four-rooms-dqn` is the same for the DQN form."""

experiment = run.Experiment("option_critic", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
