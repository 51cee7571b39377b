"""What the experiments of agents that search a tree share: flags, refusals and the support of values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from experiments import run
from experiments.parts import builders, checks

if TYPE_CHECKING:
    import rlax

    from agents.base import Array
    from agents.world.latent import Search


@dataclass(frozen=True)
class Searching:
    """Flags of agents that search a tree."""

    learning_rate: run.Positive = 2e-3
    """Step size of the Adam optimiser."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    hidden: tuple[run.Count, ...] = (64,)
    """Sizes of the dense layers of each of the networks."""
    cnn: checks.OptionalConvolutions = "auto"
    """Convolutions for image observations, `auto` by their size; with none, images are flattened."""
    simulations: run.Count = 16
    """Simulations of the search for every action."""
    gumbel: bool = True
    """Search as Gumbel MuZero; else by PUCT, with Dirichlet noise at the root."""
    considered: run.Count = 16
    """Actions that Gumbel MuZero begins with at the root, of which half is left in each round."""
    value_scale: run.Positive = 0.1
    """Gumbel MuZero's c_scale, by which values count beside the policy."""
    noise: run.Unit = 0.25
    """PUCT's share of Dirichlet noise in the policy of the root."""
    alpha: run.Positive = 0.25
    """Concentration of PUCT's Dirichlet noise."""
    temperature: run.Positive = 1.0
    """Temperature of the visits that PUCT draws its action by."""
    support: run.Count = 20
    """Values and rewards are distributions over the whole numbers from minus this to this, under h."""
    rescale: bool = True
    """Put values and rewards on their support by h(x) = sign(x) (√(|x| + 1) - 1) + εx; else as they are."""
    target: Literal["search", "prior"] = "search"
    """What the policy learns: that of the search, or, as an ablation, the one it had."""
    value_cost: run.NonNegative = 0.25
    """Weight of the value loss."""
    batch_size: run.Count = 64
    """Windows of the replay that an update learns from."""
    buffer_size: run.Count = 50_000
    """Environment steps that the replay keeps."""
    warmup: run.Whole = 1_000
    """Environment steps before learning."""
    unroll: run.Count = 4
    """Steps in each environment between learning phases."""
    updates: run.Count = 16
    """Updates that are made in a learning phase."""


def check(config: Searching, spec: "run.Spec", size: run.Size, length: int) -> None:
    """Refuses continuous actions, and replays without room for a window of so many transitions.

    Raises:
      ValueError: naming the flag.
    """
    builders.discrete_actions(spec, "a tree search")
    checks.check_images(spec, config.cnn)
    checks.check_replay(config, size, length + 1)


def support(config: Searching) -> "tuple[Array, rlax.TxPair]":
    """The atoms of values and rewards, and h with its inverse."""
    import jax.numpy as jnp

    from agents import losses

    atoms = jnp.arange(-config.support, config.support + 1, dtype=jnp.float32)
    return atoms, losses.SIGNED_HYPERBOLIC_PAIR if config.rescale else losses.IDENTITY_PAIR


def search(config: Searching) -> "Search":
    """The `agents.world.latent.Search` that the flags describe."""
    from agents.world.latent import Search

    return Search(
        config.simulations,
        config.gumbel,
        config.considered,
        config.value_scale,
        noise=config.noise,
        alpha=config.alpha,
        temperature=config.temperature,
    )


def schedule(config: Searching, size: run.Size) -> run.Schedule:
    """How acting and learning alternate."""
    return run.Schedule(
        config.unroll, config.updates, -(-config.warmup // (config.unroll * size.num_envs * size.devices))
    )
