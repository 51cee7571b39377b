"""Flags that the actor-critics share, and what is built of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from experiments import run
from experiments.parts import builders, checks, learning

if TYPE_CHECKING:
    import optax

    from replay.base import Replay

    class _Playing(Protocol):
        """Flags of an agent that plays whole rollouts."""

        @property
        def unroll(self) -> int: ...

    class _Wrapped(_Playing, Protocol):
        """Flags of an agent that learns from whole rollouts, behind wrappers."""

        @property
        def discount(self) -> float: ...

        @property
        def normalise_observations(self) -> bool: ...

        @property
        def normalise_rewards(self) -> bool: ...

        @property
        def clip_rewards(self) -> bool: ...

    class _Replaying(_Playing, Protocol):
        """Flags of an agent that learns from what it played lately, and again from what it played before."""

        @property
        def buffer_size(self) -> int: ...

        @property
        def replayed(self) -> int: ...


@dataclass(frozen=True)
class Layers:
    """Flags of a network."""

    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the network's dense layers."""
    cnn: checks.OptionalConvolutions = "auto"
    """Convolutions for image observations, `auto` by their size; with none images are flattened."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the dense layers; convolutions have ReLU, and in the presets for Atari the dense layers too."""
    dtype: builders.Precision = "float32"
    """What the layers compute in; parameters and losses are float32 in either case."""
    memory: Literal["none", "lstm", "gru"] = "none"
    """Recurrent core of the network, of the size of the last hidden layer."""
    shared: bool = False
    """Share one torso between policy and value."""
    clip_rewards: bool = False
    """Learn from rewards that are clipped to [-1, 1]."""


@dataclass(frozen=True)
class Body(Layers):
    """Flags of network, rollout and normalisation."""

    unroll: run.Count = 128
    """Steps in each environment per rollout."""
    normalise_observations: bool = False
    """Bring observations that are not images to running mean 0 and variance 1."""
    normalise_rewards: bool = False
    """Divide rewards by the standard deviation of the discounted return."""


@dataclass(frozen=True)
class Descent:
    """Flags of gradient steps on the loss of actor and critic together."""

    learning_rate: run.Positive = 1e-3
    """Step size of the optimiser."""
    optimiser: Literal["adam", "rmsprop"] = "adam"
    """Optimiser of policy and value; RMSProp is the paper's."""
    optimiser_eps: run.Positive = 1e-5
    """The ε that the optimiser adds to the root of the second moment."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 0.5
    """Global norm that gradients are clipped to."""
    value_cost: run.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: run.NonNegative = 0.01
    """Weight of the entropy bonus."""


def check(body: Body, spec: "run.Spec") -> None:
    """Refuses flags of `Body` that do not go together, and actions that none of these policies takes.

    Raises:
      ValueError: naming the flag.
    """
    if body.clip_rewards and body.normalise_rewards:
        raise ValueError("--agent.clip-rewards, --agent.normalise-rewards: one or the other")
    check_network(body, spec)


def check_network(body: Layers, spec: "run.Spec") -> None:
    """The same for flags of `Layers`.

    Raises:
      ValueError: naming the flag.
    """
    check_actions(spec)
    checks.check_images(spec, body.cnn)
    builders.core(body.memory, body.hidden)


def check_actions(spec: "run.Spec") -> None:
    """Refuses actions that are neither discrete nor a vector that a Gaussian can be centred in.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box

    if isinstance(spec.action, Box):
        if len(spec.action.shape) != 1 or not spec.action.shape[0]:
            told = f"the task's are {spec.action}; allowed: discrete ones or a vector"
            raise ValueError(f"--env {spec.name}: this agent needs other actions, {told}")
        learning.check_bounds(spec)


def check_replayed(config: "_Replaying", size: run.Size) -> None:
    """Refuses a buffer, or a number of replayed windows, that the devices or the windows do not fit.

    Args:
      config: an agent's flags, with `buffer_size`, `replayed` and `unroll`.
      size: of the run.

    Raises:
      ValueError: naming the flag.
    """
    size.per_device(config.replayed, "agent.replayed")
    kept = size.per_device(config.buffer_size, "agent.buffer_size")
    checks.check_buffer(kept, size.num_envs, config.unroll + 1)


def replayed(config: "_Replaying", size: run.Size) -> "tuple[Replay, int]":
    """The replay of fresh windows and of past ones, and how many of the past a device draws; arguments as above."""
    import replay

    kept = size.per_device(config.buffer_size, "agent.buffer_size")
    drawn = size.per_device(config.replayed, "agent.replayed")
    past = replay.uniform(kept, drawn, config.unroll)
    return replay.fresh_and_replayed(replay.on_policy(config.unroll), past), drawn


def network(body: Layers, spec: "run.Spec", values: int = 1) -> "run.Network":
    """Observation -> (distribution, value), or as many values as there are streams of rewards."""
    shape = (body.hidden, body.cnn, body.memory, body.shared, body.dtype, body.activation)
    return builders.actor_critic(spec, *shape, values)


def critic_of_actions(body: Layers, spec: "run.Counted") -> "run.Network":
    """Observation -> (`Categorical`, action values), of a task with discrete actions."""
    import networks

    actions = spec.action.num
    torso = lambda: builders.torso(spec, body.hidden, body.cnn, body.activation, body.dtype)  # noqa: E731
    policy, core = networks.CategoricalPolicy(actions), builders.core(body.memory, body.hidden)
    return networks.actor_critic(torso(), policy, networks.QValues(actions), core, None if body.shared else torso())


def iterations(body: "_Playing", size: run.Size) -> int:
    """Rollouts of the whole run."""
    return max(1, size.steps // (body.unroll * size.num_envs * size.devices))


def annealed(rate: float, anneal: bool, updates: int) -> "optax.ScalarOrSchedule":
    """The rate, or a schedule that falls from it linearly to 0 over the run's updates."""
    return learning.linear(rate, 0.0, updates) if anneal else rate


def optimiser(descent: Descent, updates: int) -> "optax.GradientTransformation":
    """The optimiser that the flags describe, for a run of so many updates."""
    from agents.common import optimisers

    rate = annealed(descent.learning_rate, descent.anneal, updates)
    return getattr(optimisers, descent.optimiser)(rate, descent.max_grad_norm, eps=descent.optimiser_eps)


def parts(agent: "run.Agent", body: "_Wrapped", spec: "run.Spec") -> run.Parts:
    """The run of an agent that learns from whole rollouts, behind the normalisers or the clipping asked for.

    A Gaussian policy acts in units of the task's bounds (`learning.centred`).
    """
    import replay

    agent = learning.centred(agent, spec)
    agent = learning.normalised(agent, spec, body.normalise_observations, body.normalise_rewards, body.discount)
    return run.Parts(learning.clipped(agent, body), replay.on_policy(body.unroll), run.Schedule(body.unroll))
