"""MERLIN: `python -m experiments.merlin --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 1e-3
    """Adam's step size for the predictor."""
    policy_learning_rate: run.Positive = 1e-3
    """Adam's step size for the policy."""
    policy_delay: run.Unit = 0.0
    """Part of the run before the policy learns at all, while the predictor does; below 1."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that the gradients of predictor and policy are clipped to, each."""
    discount: run.Unit = 0.9
    """Discount γ of the returns and of the retroactive update; 0.96 in the paper."""
    gae_lambda: run.Unit = 0.9
    """The λ of the generalised advantage."""
    entropy_cost: run.NonNegative = 0.02
    """Weight of the entropy bonus; 0.01 in the paper."""
    normalise_advantages: bool = True
    """Normalise advantages in each window."""
    unroll: run.Count = 20
    """Steps in each environment per update, the window that gradients flow through."""
    latent: run.Count = 32
    """Size of the state variable z; 200 in the paper."""
    lstm: tuple[run.Count, ...] = (64,)
    """Sizes of the layers of each of the two LSTMs; two of 256 in the paper."""
    rows: run.Count = 64
    """Number of rows of the memory; 1350 in the paper."""
    keys: run.Count = 3
    """Number of read keys of the predictor; the policy has one."""
    hidden: tuple[run.Count, ...] = (64,)
    """Sizes of the dense layers of the encoder."""
    width: run.Count = 64
    """Width of the layer in decoders, value and policy; 200 in the paper."""
    cnn: parts.OptionalConvolutions = "none"
    """Convolutions for image observations, `auto` by their size."""
    recall: bool = True
    """Let the network also see and reconstruct the last action and reward."""
    observation_cost: run.NonNegative = 10.0
    """Weight of the reconstruction of what the task shows, texts aside; 0 leaves it out."""
    text_cost: run.NonNegative = 1.0
    """Weight of the reconstruction of texts."""
    action_cost: run.NonNegative = 1.0
    """Weight of the reconstruction of the last action."""
    reward_cost: run.NonNegative = 1.0
    """Weight of the reconstruction of the last reward."""
    return_cost: run.NonNegative = 0.4
    """Weight of the return's prediction."""
    kl_cost: run.NonNegative = 1.0
    """Weight of the divergence of posterior and prior."""
    retroactive: bool = True
    """Let earlier rows of the memory learn what came after them."""
    write: bool = True
    """Write to the memory; without, an ablation, it stays empty."""
    remember: bool = True
    """Keep memory and LSTMs from step to step; if not, every step starts from nothing."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train MERLIN (Wayne et al., 2018) on a task with discrete actions."""

    env: str = "bellmax/card-pairs"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 128
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def scales(config: Config, modalities: tuple) -> dict[str, float]:
    """α of every term of the bound."""
    told = {"last_action": config.action_cost, "last_reward": config.reward_cost}
    each = {m.name: config.text_cost if m.kind == "text" else config.observation_cost for m in modalities}
    each |= {name: cost for name, cost in told.items() if config.recall}
    return each | {"return": config.return_cost, "kl": config.kl_cost}


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses networks without layers, a policy that never learns, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_layers(config, "lstm", "hidden")
    if config.policy_delay >= 1:
        raise ValueError(f"--agent.policy-delay {config.policy_delay}: must be in [0, 1)")
    parts.discrete_actions(spec, "merlin")
    parts.check_images(spec, config.cnn)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax.numpy as jnp

    import replay
    from agents.common import optimisers, wrappers
    from agents.merlin import merlin
    from networks.predictor import MemoryPolicy, Predictor, modalities

    actions = spec.action.num
    seen = modalities(spec.observation, spec.action if config.recall else None)
    updates = float(max(1, size.steps // (config.unroll * size.num_envs * size.devices)))
    cnn = None if config.cnn == "none" else parts.chosen(spec, config.cnn)

    def policy_rate(count: "Array") -> "Array":
        return jnp.where(count < config.policy_delay * updates, 0.0, config.policy_learning_rate)

    agent = merlin(
        Predictor(seen, actions, config.latent, config.lstm, config.keys, config.hidden, cnn, config.width),
        MemoryPolicy(actions, config.latent, config.lstm, 1, config.width),
        optimisers.apart(
            predictor=optimisers.adam(config.learning_rate, config.max_grad_norm),
            policy=optimisers.adam(policy_rate, config.max_grad_norm),
        ),
        scales=scales(config, seen),
        rows=config.rows,
        discount=config.discount,
        lambda_=config.gae_lambda,
        entropy_cost=config.entropy_cost,
        normalise=config.normalise_advantages,
        retroactive=config.retroactive,
        write=config.write,
        remember=config.remember,
    )
    agent = wrappers.recall(agent, spec.action) if config.recall else agent
    return run.Parts(agent, replay.on_policy(config.unroll), run.Schedule(config.unroll))


experiment = run.Experiment("merlin", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
