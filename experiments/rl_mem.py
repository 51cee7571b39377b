"""RL-MEM, RL-LSTM, RL-NTM, RL-DNC and a net without memory: `python -m experiments.rl_mem --help`.

The agents that MERLIN is measured against (Wayne et al., arXiv:1803.10760): `agents.a2c` with a controller, all of it
learned from rewards.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    import flax.linen as nn


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    memory: Literal["rows", "ntm", "dnc", "lstm", "none"] = "rows"
    """Memory of the agent: RL-MEM's rows read by content, an NTM's, a DNC's, the LSTM alone, or not even that."""
    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser."""
    max_grad_norm: run.Limit = 1.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.9
    """Discount γ of later rewards, per step."""
    gae_lambda: run.Unit = 0.9
    """The λ of the generalised advantage."""
    value_cost: run.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: run.NonNegative = 0.02
    """Weight of the entropy bonus."""
    unroll: run.Count = 20
    """Steps in each environment per update."""
    hidden: tuple[run.Count, ...] = (64,)
    """Sizes of the dense layers of the encoder."""
    head: tuple[run.Count, ...] = (64,)
    """Sizes of the dense layers before the policy and before the value, in each."""
    cnn: parts.Convolutions = "small"
    """Convolutions for image observations, `auto` by their size."""
    lstm: tuple[run.Count, ...] = (64,)
    """Sizes of the layers of the controller, an LSTM."""
    rows: run.Count = 64
    """Number of rows of the memory."""
    row_size: run.Count = 32
    """Numbers in each row of the memory."""
    keys: run.Count = 3
    """Number of keys or heads that read the memory."""
    blind: bool = False
    """Ablation: withhold from the network what is read from the memory."""
    recall: bool = True
    """Let the network also see the last action and reward."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train an actor-critic with an external memory (RL-MEM of Wayne et al., 2018) or one of its relatives."""

    env: str = "bellmax/card-pairs"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 128
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def core(config: Config) -> "nn.Module | None":
    """The controller that the flags describe; None for no memory."""
    from networks.controller import Controller, rows
    from networks.dnc import dnc
    from networks.ntm import ntm

    if config.memory == "none":
        return None
    kinds: dict[str, Any] = {"rows": rows, "ntm": ntm, "dnc": dnc}
    access = kinds[config.memory](config.rows, config.row_size, config.keys) if config.memory in kinds else None
    return Controller(config.lstm, access, skip=True, blind=config.blind)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_layers(config, "lstm", "head")
    if config.blind and config.memory in ("lstm", "none"):
        raise ValueError(
            f"--agent.blind: --agent.memory {config.memory} has nothing to withhold; rows, ntm and dnc have"
        )
    parts.discrete_actions(spec, "rl_mem")


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import flax.linen as nn

    import networks
    import replay
    from agents.a2c import a2c
    from agents.common import optimisers, wrappers

    seen = wrappers.recalled(spec.observation, spec.action) if config.recall else spec.observation
    torso = parts.torso(spec._replace(observation=seen), config.hidden, config.cnn, "tanh")
    policy = nn.Sequential([networks.MLP(config.head, nn.tanh), networks.CategoricalPolicy(spec.action.num)])
    value = nn.Sequential([networks.MLP(config.head, nn.tanh), networks.Value()])
    agent = a2c(
        networks.actor_critic(torso, policy, value, core(config)),
        optimisers.adam(config.learning_rate, config.max_grad_norm),
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    agent = wrappers.recall(agent, spec.action) if config.recall else agent
    return run.Parts(agent, replay.on_policy(config.unroll), run.Schedule(config.unroll))


experiment = run.Experiment("rl_mem", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
