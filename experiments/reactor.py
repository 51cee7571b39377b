"""The Reactor: `python -m experiments.reactor --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser."""
    momentum: run.Unit = 0.0
    """Decay β₁ of Adam's first moment."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    retrace_lambda: run.Unit = 1.0
    """The λ of Retrace's returns."""
    bound: run.Limit = 1.0
    """Bound c of the weights β = min(c, 1/μ): 0 trusts the critic alone, 1 is the paper's, inf is unbiased."""
    mixture: run.Unit = 0.01
    """Share of the uniform policy in the agent's policy."""
    value_cost: run.NonNegative = 1.0
    """Weight of the critic's loss; 0 leaves the critic, and the torso, as they began."""
    policy_cost: run.NonNegative = 1.0
    """Weight of the loss of the policy."""
    entropy_cost: run.NonNegative = 0.01
    """Weight of the entropy bonus."""
    distributional: bool = True
    """Let the critic predict return distributions; if not, mean returns."""
    atoms: run.Pair = 51
    """Atoms of the return distributions."""
    v_min: run.Real = -1.0
    """Lowest atom of the return distributions."""
    v_max: run.Real = 1.0
    """Highest atom of the return distributions."""
    dueling: bool = True
    """Let the critic have separate streams for the state's value and the actions' advantages."""
    hidden: tuple[run.Count, ...] = (128,)
    """Sizes of the shared dense layers."""
    head: tuple[run.Count, ...] = (128,)
    """Sizes of the critic's own dense layers."""
    layer_norm: bool = True
    """Normalise dense layers before each of their activations."""
    cnn: parts.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size."""
    dtype: parts.Precision = "float32"
    """What the layers compute in; parameters and losses are float32 in either case."""
    memory: Literal["none", "lstm", "gru"] = "none"
    """Recurrent cores of policy and critic, of the size of the last hidden layer; fresh at the start of a sequence."""
    length: run.Count = 32
    """Transitions per sequence of the replay."""
    batch_size: run.Count = 4
    """Sequences of the replay that an update learns from."""
    buffer_size: run.Count = 50_000
    """Environment steps that the replay keeps."""
    prioritised: bool = True
    """Replay by priority, with full importance weights; if not, uniformly."""
    alpha: run.NonNegative = 1.0
    """Exponent of the priorities by which the replay draws."""
    mix: run.Unit = 0.0
    """Probability with which a sequence is drawn uniformly instead of by priority."""
    warmup: run.Whole = 1_000
    """Environment steps before learning."""
    unroll: run.Count = 4
    """Steps in each environment between learning phases."""
    updates: run.Count = 4
    """Updates that are made in a learning phase."""
    target_period: run.Count = 1
    """Updates between moves of the target network, 1000 in the paper."""
    target_rate: run.Share = 0.01
    """How far the target moves towards the online network each time; 1, as in the paper, copies it."""
    clip_rewards: bool = False
    """Learn from rewards that are clipped to [-1, 1]."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train the Reactor (Gruslys et al., 2018) on discrete actions."""

    env: str = "bellmax/catch"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    if config.distributional:
        parts.check_atoms(config)
    parts.discrete_actions(spec, "reactor")
    parts.check_memory(config.memory, config.hidden)
    parts.check_replay(config, size, config.length + 1)


def network(config: Config, spec: "run.Counted") -> "run.Network":
    """Policy and critic, as the flags have them."""
    import jax.numpy as jnp

    import networks

    actions = spec.action.num
    precision: dict[str, Any] = {"layer_norm": config.layer_norm, "dtype": jnp.dtype(config.dtype)}
    head: dict[str, Any] = {"hidden": config.head, "dueling": config.dueling, **precision}
    critic = networks.CategoricalQ(actions, atoms=config.atoms, **head)
    return networks.forked(
        parts.torso(spec, config.hidden, config.cnn, **precision),
        networks.CategoricalPolicy(actions),
        critic if config.distributional else networks.QValues(actions, **head),
        parts.core(config.memory, config.hidden),
    )


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax.numpy as jnp

    import replay
    from agents.common import optimisers, recurrence
    from agents.reactor import reactor

    agent = reactor(
        network(config, spec),
        optimisers.adam(config.learning_rate, config.max_grad_norm, b1=config.momentum),
        atoms=jnp.linspace(config.v_min, config.v_max, config.atoms) if config.distributional else None,
        discount=config.discount,
        lambda_=config.retrace_lambda,
        bound=config.bound,
        mixture=config.mixture,
        value_cost=config.value_cost,
        policy_cost=config.policy_cost,
        entropy_cost=config.entropy_cost,
        target_period=config.target_period,
        target_rate=config.target_rate,
    )
    agent = recurrence.forgetful(agent) if config.memory != "none" else agent
    agent = parts.clipped(agent, config)
    buffer, batch = parts.shares(config, size)
    if config.prioritised:
        storage = replay.prioritised(buffer, batch, config.length, alpha=config.alpha, beta=1.0, mix=config.mix)
    else:
        storage = replay.uniform(buffer, batch, config.length)
    per_iteration = config.unroll * size.num_envs * size.devices
    return run.Parts(agent, storage, run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration)))


experiment = run.Experiment("reactor", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
