"""Dreamer v1, v2 and v3: `python -m experiments.dreamer --help`."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    import optax

    from agents.base import Array, Tree
    from agents.world.dreams import Modelling
    from networks.world import World


@dataclass(frozen=True)
class Config:
    """Flags of the agent; the defaults are a small v3."""

    core: Literal["gru", "norm", "block"] = "block"
    """Recurrent core: a GRU (v1), one with layer normalisation (v2), or a block-diagonal one (v3)."""
    deter: run.Count = 128
    """Numbers of the deterministic state; 512 to 12,288 in v3."""
    blocks: run.Count = 8
    """Blocks of the block-diagonal core, which divide `deter`."""
    hidden: run.Count = 128
    """Size of the layers within the recurrent model."""
    latent: Literal["gaussian", "categorical"] = "categorical"
    """Stochastic state: normal numbers (v1) or groups of classes (v2, v3)."""
    latent_size: run.Count = 8
    """Size of the stochastic state: so many normal numbers, or so many groups of classes; 30 in v1, 32 in v2 and v3."""
    classes: run.Pair = 8
    """Classes in a group of the stochastic state."""
    unimix: bool = True
    """Mix 1 % of the uniform distribution into all classes and discrete actions, as v3 does."""
    units: run.Count = 128
    """Size of the layers of encoder, decoder, heads, actor and critic."""
    layers: run.Count = 2
    """Layers of encoder, decoder, actor and critic, 3 in v3."""
    head_layers: run.Count = 1
    """Layers of the heads that tell rewards and ends, 2 in v1 and 4 in v2."""
    prior_layers: run.Count = 1
    """Layers between the deterministic state and its prior; 2 in v3."""
    channels: run.Count = 8
    """Channels of the first convolution for image observations; each next one has twice as many."""
    activation: Literal["elu", "silu"] = "silu"
    """Activation that follows each layer."""
    norm: Literal["none", "rms"] = "rms"
    """Normalisation before each activation."""
    symlog: bool = True
    """Encode and predict vectors as sign(x) ln(1 + |x|)."""
    two_hot: bool = True
    """Tell rewards and values by distributions over bins, whose losses do not grow with the numbers; else by a mean."""
    bins: run.Pair = 63
    """Bins in a distribution of rewards or values, from -e^20 to e^20; 255 in v3."""
    kl_dynamics: run.NonNegative = 1.0
    """Weight of the divergence by which the prior learns; 0 leaves the dynamics unlearned, an ablation."""
    kl_representation: run.NonNegative = 0.1
    """Weight of the divergence by which the posterior learns."""
    free_nats: run.NonNegative = 1.0
    """Divergence of posterior and prior below which neither learns."""
    free_averaged: bool = False
    """Compare the mean divergence of a batch with the free nats, as v1 and v2 do, and not that of each step."""
    reconstruction_cost: run.NonNegative = 1.0
    """Weight of the squared errors of reconstructed vectors and images; 0.5 before v3."""
    end_cost: run.NonNegative = 1.0
    """Weight of the prediction of episodes' ends."""
    gradient: Literal["auto", "reinforce", "dynamics"] = "reinforce"
    """How the actor learns: by REINFORCE (v3), through the model (v1), or by the first where actions are discrete and
    else by the second (v2)."""
    horizon: run.Count = 15
    """Steps that are imagined."""
    starts: run.Whole = 0
    """Rows at the end of each window that are imagined from; 0 for all."""
    discount: run.Unit = 0.997
    """Discount γ of later rewards, per step."""
    gae_lambda: run.Unit = 0.95
    """The λ of the returns."""
    entropy_cost: run.NonNegative = 3e-4
    """Weight of the entropy bonus."""
    noise: run.NonNegative = 0.0
    """Standard deviation of what is added to continuous actions in training, 0.3 in v1."""
    normalise_returns: bool = True
    """Divide advantages by the running range of returns."""
    bootstrap: Literal["critic", "slow"] = "critic"
    """Whose values returns are made of; slow is v2's copied critic."""
    target_period: run.Count = 1
    """Updates between moves of the slow critic."""
    target_rate: run.Share = 0.02
    """How far the slow critic moves each time; 1 copies."""
    slow_cost: run.NonNegative = 1.0
    """Weight of the critic's closeness to the slow one, where that is not bootstrapped from."""
    replay_cost: run.NonNegative = 0.3
    """Weight of the critic's loss on replayed rewards."""
    optimiser: Literal["adam", "laprop"] = "laprop"
    """Adam with a rate for each part (v1, v2), or LaProp with adaptive clipping for all (v3)."""
    learning_rate: run.Positive = 3e-4
    """Step size of all parts with LaProp, 4e-5 in v3; of the model with Adam."""
    actor_learning_rate: run.Positive = 8e-5
    """Adam's step size for the actor."""
    critic_learning_rate: run.Positive = 8e-5
    """Adam's step size for the critic."""
    rate_warmup: run.Whole = 100
    """Updates over which step sizes grow to what they are; 1000 in v3."""
    clip: run.Limit = 0.3
    """LaProp's largest gradient of a tensor, as a share of the tensor's norm."""
    max_grad_norm: run.Limit = 100.0
    """Global norm that Adam's gradients are clipped to, for each part."""
    batch_size: run.Count = 16
    """Windows of the replay that an update learns from."""
    length: run.Pair = 32
    """Rows of a window that are learned from, after the one that tells the latent state; 64 in v3."""
    replay_ratio: run.Count = 64
    """Replayed rows per environment step, exactly; 32 to 1024 in v3."""
    buffer_size: run.Count = 100_000
    """Environment steps that the replay keeps."""
    warmup: run.Whole = 1_000
    """Environment steps before learning."""
    reward_scale: run.Positive = 1.0
    """Factor of the rewards that are learned from; those reported are the task's."""
    remember: bool = True
    """Keep the deterministic state from step to step; without, each is inferred from one observation, an ablation."""
    planner: Literal["none", "search"] = "none"
    """Act by planning in the model from the latent state: tree search by actor and critic where actions are discrete,
    else the cross-entropy method."""
    plan_horizon: run.Count = 12
    """Steps of a plan of the cross-entropy method."""
    simulations: run.Pair = 32
    """Simulations of the tree search, or plans in each of three iterations of the cross-entropy method."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train Dreamer (Hafner et al., 2020, 2021, 2023), which learns to act in the imagination of a world model."""

    env: str = "bellmax/cartpole"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    steps: run.Steps = 20_000
    """Environment steps that each seed trains for."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    eval_episodes: run.Count = 16
    """Episodes that an evaluation plays, per seed."""
    agent: Config = field(default_factory=Config)


def schedule(config: Config, size: run.Size) -> run.Schedule:
    """The shortest schedule on which each step is replayed exactly `replay_ratio` times."""
    lanes = size.num_envs * size.devices
    each = Fraction(config.replay_ratio * lanes, config.batch_size * config.length)
    unroll, updates = each.denominator, each.numerator
    return run.Schedule(unroll, updates, -(-config.warmup // (unroll * lanes)))


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete
    from networks.predictor import modalities

    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "dreamer")
    try:
        modalities(spec.observation)
    except ValueError as error:
        raise ValueError(f"--env {spec.name}: {error}") from error
    if config.core == "block" and config.deter % config.blocks:
        raise ValueError(f"--agent.deter {config.deter}: must be a multiple of --agent.blocks, {config.blocks}")
    if config.starts > config.length:
        raise ValueError(f"--agent.starts {config.starts}: must be at most --agent.length, {config.length}")
    if config.starts == 1:
        raise ValueError("--agent.starts 1: the critic's replayed returns need 2 rows or more; 0 is for all")
    parts.check_replay(config, size, config.length + 1)


def world_of(config: Config, spec: "run.Spec") -> "tuple[World, Modelling]":
    """The world model that the flags describe, and how it learns."""
    from agents.world import dreams, scalars
    from networks import world
    from networks.predictor import modalities

    style = world.Style(config.activation, config.norm)
    kind = world.Kind(config.latent, config.latent_size, config.classes, 0.01 if config.unimix else 0.0)
    rssm = world.RSSM(kind, config.deter, config.hidden, config.core, config.blocks, config.prior_layers, style)
    rewards = scalars.two_hot(config.bins) if config.two_hot else scalars.normal()
    sizes = (config.units, config.layers, config.head_layers, config.channels)
    model = world.World(modalities(spec.observation), rssm, rewards.outputs, *sizes, config.symlog, style)
    balance = dreams.Balance(config.kl_dynamics, config.kl_representation, config.free_nats, config.free_averaged)
    how = dreams.Modelling(rewards, config.discount, balance, config.reconstruction_cost, config.end_cost)
    return model, how


def optimiser_of(config: Config) -> "optax.GradientTransformation":
    """The optimiser that the flags describe."""
    from agents.common import laprop, optimisers

    def rate(most: float) -> "optax.ScalarOrSchedule":
        return parts.linear(0.0, most, config.rate_warmup) if config.rate_warmup else most

    if config.optimiser == "laprop":
        return laprop.laprop(rate(config.learning_rate), clip=config.clip)
    rates = {
        "world": config.learning_rate,
        "actor": config.actor_learning_rate,
        "critic": config.critic_learning_rate,
    }
    each = {name: optimisers.adam(rate(most), config.max_grad_norm, 1e-5) for name, most in rates.items()}
    return optimisers.apart(**each)


def make(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import wrappers
    from agents.dreamer import Behaviour, dreamer
    from agents.world import dreams, latent_models, planning, tree_search
    from envs.base import Box, Discrete
    from networks.world import Head, Policy

    discrete = isinstance(spec.action, Discrete)
    actions: Any = spec.action if discrete else Box(spec.action.shape, -1.0, 1.0)
    model, how = world_of(config, spec)
    style = model.style
    number = actions.num if discrete else actions.shape[0]
    kind: Any = "categorical" if discrete else "tanh" if config.gradient == "dynamics" else "bounded"
    actor = Policy(kind, number, config.units, config.layers, style, 0.01 if config.unimix else 0.0)
    critic = Head(how.rewards.outputs, config.units, config.layers, style, 0.0 if config.two_hot else 1.0)
    gradient: Any = config.gradient
    if gradient == "auto":
        gradient = "reinforce" if discrete else "dynamics"

    def heuristic(params: "Tree", state: "Tree") -> "tuple[Array, Array]":
        pi = dreams.call(actor, params["actor"], state.features)
        return pi.logits, how.rewards.mean(dreams.call(critic, params["critic"], state.features))

    planner = None
    if config.planner == "search":
        inner = latent_models.latent_model(model, actions, how)
        plans = inner._replace(step=lambda params, *args: inner.step(params["world"], *args))
        if discrete:
            planner = tree_search.mcts(plans, actions, config.simulations, 1, config.discount, heuristic)
        else:
            few = max(2, config.simulations // 8)
            planner = planning.cem(
                plans, actions, config.plan_horizon, config.simulations, few, 3, discount=config.discount
            )
    agent = dreamer(
        model,
        actor,
        critic,
        optimiser_of(config),
        actions=actions,
        modelling=how,
        values=how.rewards,
        behaviour=Behaviour(
            gradient, config.horizon, config.gae_lambda, config.entropy_cost, config.normalise_returns,
            bootstrap=config.bootstrap, target_period=config.target_period, target_rate=config.target_rate,
            slow_cost=config.slow_cost, replay_cost=config.replay_cost, starts=config.starts,
        ),
        planner=planner,
        noise=config.noise,
        remember=config.remember,
    )  # fmt: skip
    agent = agent if discrete else wrappers.unit_actions(agent, spec.action)
    agent = wrappers.rewards(agent, lambda reward: config.reward_scale * reward)
    buffer, batch = parts.shares(config, size)
    return run.Parts(agent, replay.uniform(buffer, batch, config.length), schedule(config, size))


V1: dict[str, Any] = {
    "core": "gru",
    "latent": "gaussian",
    "activation": "elu",
    "norm": "none",
    "unimix": False,
    "symlog": False,
    "two_hot": False,
    "kl_dynamics": 1.0,
    "kl_representation": 1.0,
    "free_nats": 3.0,
    "free_averaged": True,
    "reconstruction_cost": 0.5,
    "gradient": "dynamics",
    "normalise_returns": False,
    "entropy_cost": 0.0,
    "discount": 0.99,
    "slow_cost": 0.0,
    "replay_cost": 0.0,
    "optimiser": "adam",
    "rate_warmup": 0,
    "noise": 0.3,
}
"""The mechanisms of v1, without its sizes and rates."""
V2: dict[str, Any] = V1 | {
    "core": "norm",
    "latent": "categorical",
    "kl_dynamics": 0.8,
    "kl_representation": 0.2,
    "free_nats": 1.0,
    "gradient": "auto",
    "entropy_cost": 1e-4,
    "bootstrap": "slow",
    "target_period": 100,
    "target_rate": 1.0,
    "noise": 0.0,
}
"""Those of v2 on the DeepMind Control Suite."""
SWING_UP: dict[str, Any] = {"env": "bellmax/cartpole-swingup", "steps": 50_000}


TINY: dict[str, Any] = parts.merge(
    {}, deter=64, hidden=64, units=64, classes=4, layers=1, bins=41, learning_rate=6e-4, batch_size=8, length=16,
    replay_ratio=32, warmup=500,
)  # fmt: skip
"""Sizes and an amount of learning for one core."""
RATES: dict[str, Any] = {"learning_rate": 1e-3, "actor_learning_rate": 3e-4, "critic_learning_rate": 3e-4}
"""Step sizes of Adam that go with them."""


def sized(deter: int, hidden: int, classes: int, channels: int) -> dict[str, Any]:
    """v3 in one of its sizes, with the settings of its state-based control."""
    return parts.merge(
        SWING_UP, deter=deter, hidden=hidden, units=hidden, classes=classes, channels=channels, latent_size=32,
        layers=3, prior_layers=2, bins=255, learning_rate=4e-5, rate_warmup=1_000, length=64, replay_ratio=1024,
        buffer_size=500_000,
    )  # fmt: skip


PRESETS: run.Presets = {
    "v1": parts.merge(
        SWING_UP, **V1, deter=200, hidden=200, latent_size=30, units=300, layers=3, head_layers=2,
        learning_rate=6e-4, batch_size=50, length=50, replay_ratio=250, warmup=5_000,
    ),
    "v2": parts.merge(
        SWING_UP, **V2, deter=200, hidden=200, latent_size=32, classes=32, units=400, layers=4, head_layers=4,
        learning_rate=3e-4, batch_size=16, length=50, replay_ratio=160,
    ),
    "v3-size1m": sized(512, 64, 4, 4),
    "v3-size12m": sized(2048, 256, 16, 16),
    "tiny": TINY,
    "tiny-v1": parts.merge(TINY, SWING_UP, **V1 | {"symlog": True}, latent_size=16, warmup=2_500, **RATES),
    "tiny-v2": parts.merge(TINY, SWING_UP, **V2 | {"symlog": True}, **RATES),
    "tiny-v3": parts.merge(TINY, SWING_UP),
}  # fmt: skip
"""`v1` and `v2` have the sizes, rates and updates per step of their authors on the DeepMind Control Suite, `v3-size1m`
and `v3-size12m` two of the sizes of v3. `tiny-v1` to `tiny-v3` differ in the mechanisms of each version alone, on the
swing-up, and their updates take some 20 ms of one core; all three take the unbounded numbers of the swing-up by their
symlog, where v1 and v2 have pictures. `tiny` is the last of them on CartPole."""

experiment = run.Experiment("dreamer", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
