"""I2A and the agents it is compared with, in three stages: `python -m experiments.i2a --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    import optax

    from agents.base import Tree
    from agents.world.models import Model

World = Literal["learned", "exact", "copy", "none"]
Stage = Literal["baseline", "model", "agent"]


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    world: World = "learned"
    """What imagines: the learned model, the task's own rules (from what a frame shows), a model in which nothing
    changes, or nothing at all, which is the standard agent."""
    model: str = ""
    """Folder of the learned model; by default the one that the model stage makes."""
    poor: bool = False
    """Learn a model that is much smaller than the usual one."""
    corrupt: run.Unit = 0.0
    """Probability with which each cell that is imagined is wrong."""
    silent: bool = False
    """Imagine all rewards as 0, an ablation."""
    depth: run.Count = 5
    """Steps τ of an imagined rollout."""
    learning_rate: run.Positive = 7e-4
    """Step size of the policy's optimiser."""
    rollout_learning_rate: run.Positive = 7e-4
    """Step size of the rollout policy's optimiser."""
    optimiser: Literal["rmsprop", "adam"] = "rmsprop"
    """Optimiser of the policy and of the rollout policy."""
    anneal: bool = True
    """Let both step sizes fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 0.5
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    gae_lambda: run.Unit = 0.95
    """The λ of the generalised advantage; 1 for the paper's n-step returns."""
    value_cost: run.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: run.NonNegative = 0.01
    """Weight of the entropy bonus."""
    distillation_cost: run.NonNegative = 0.01
    """Weight λ of the rollout policy's loss."""
    unroll: run.Count = 10
    """Steps in each environment per update."""
    channels: tuple[run.Count, ...] = (16, 16)
    """Channels of the 3×3 convolutions; the first keeps the size of a frame, the others halve it."""
    hidden: run.Count = 256
    """Size of the dense layers."""
    encoder_channels: tuple[run.Count, ...] = (16, 16)
    """Channels of the encoder of imagined frames; with none it is a dense layer, which is much faster."""
    code: run.Count = 256
    """Size of the encoder's layer and memory."""
    rollout_channels: tuple[run.Count, ...] = (16,)
    """Channels of the rollout policy's convolutions."""
    rollout_hidden: run.Count = 64
    """Size of the rollout policy's dense layer."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train I2A (Racanière et al., 2017): a standard agent, a model of what that sees, and an agent that imagines.

    Each stage has its folder in the run folder; --resume goes on with the stage that was stopped.
    """

    env: str = "bellmax/sokoban"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    levels: str = ""
    """A folder of levels in Boxoban's format for Sokoban; the same as --env-options levels=FOLDER."""
    steps: run.Steps = 1_000_000
    """Environment steps per seed, of the baseline and of the agent."""
    num_envs: run.Count = 32
    """Environments (lanes) per seed."""
    eval_episodes: run.Whole = 0
    """Episodes that an evaluation plays, per seed; 0 for 128, or for fewer in runs of less than 100,000 steps, where
    evaluations could take more steps than training does."""
    stages: tuple[Stage, ...] = ("baseline", "model", "agent")
    """Stages to run, in this order. With none, one agent is trained in the run folder itself."""
    model_transitions: run.Whole = 0
    """Transitions of the trained baseline that the model learns from; 0 for as many as `steps`, at most 200,000."""
    model_updates: run.Whole = 0
    """Gradient steps that the model learns in; 0 for a twentieth of `steps`, at most 10,000."""
    model_batch: run.Count = 64
    """Transitions that a gradient step learns from."""
    model_learning_rate: run.Positive = 1e-3
    """Adam's step size for the model."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that cannot be imagined, and models that are not there.

    Raises:
      ValueError: naming the flag.
    """
    parts.discrete_actions(spec, "I2A")
    if len(getattr(spec.observation, "shape", ())) != 3:
        raise ValueError(f"--env {spec.name}: I2A needs frames, but observations are {spec.observation}")
    if config.world == "exact":
        parts.worlds.check_exact(spec, config.corrupt)
    if config.world == "learned":
        if not config.model:
            raise ValueError(
                "--agent.model (empty): --agent.world learned needs the folder of a model, or --stages model"
            )
        parts.worlds.check_corrupt(spec, config.corrupt)
        parts.worlds.learned(config.model, config.poor, spec.name, spec.observation, spec.action)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.a2c import a2c
    from agents.common import optimisers
    from agents.i2a import i2a
    from agents.world import models

    actions = spec.action.num
    updates = float(max(1, size.steps // (config.unroll * size.num_envs * size.devices)))

    def optimiser(rate: "optax.ScalarOrSchedule") -> "optax.GradientTransformation":
        rate = parts.linear(rate, 0.0, updates) if config.anneal else rate
        return getattr(optimisers, config.optimiser)(rate, config.max_grad_norm, eps=1e-5)

    settings = {
        "discount": config.discount,
        "lambda_": config.gae_lambda,
        "value_cost": config.value_cost,
        "entropy_cost": config.entropy_cost,
    }
    shared = (replay.on_policy(config.unroll), run.Schedule(config.unroll))
    if config.world == "none":
        return run.Parts(a2c(network(config, spec, False), optimiser(config.learning_rate), **settings), *shared)
    model, params = world(config, spec)
    agent = i2a(
        network(config, spec, True),
        optimiser(config.learning_rate),
        models.silent(model) if config.silent else model,
        params,
        student(config, spec),
        optimiser(config.rollout_learning_rate),
        actions=actions,
        depth=config.depth,
        distillation_cost=config.distillation_cost,
        **settings,
    )
    return run.Parts(agent, *shared)


def network(config: Config, spec: "run.Counted", imagines: bool) -> "run.Network":
    """The actor-critic, with or without the imagination-augmented path; both have the same model-free one."""
    import networks
    from envs.base import byte_scale

    actions, scale = spec.action.num, byte_scale(spec.observation)
    free = networks.FrameTorso(config.channels, config.hidden, scale=scale)
    torso: Any = free
    if imagines:
        encoder = networks.FrameTorso(config.encoder_channels, config.code, scale=scale)
        torso = networks.ImaginationTorso(free, encoder, config.code, config.hidden)
    return networks.actor_critic(torso, networks.CategoricalPolicy(actions), networks.Value())


def student(config: Config, spec: "run.Counted") -> "run.Network":
    """The rollout policy."""
    import networks
    from envs.base import byte_scale

    scale = byte_scale(spec.observation)
    torso = networks.FrameTorso(config.rollout_channels, config.rollout_hidden, scale=scale)
    return networks.q_network(torso, networks.CategoricalPolicy(spec.action.num))


def world(config: Config, spec: "run.Spec") -> "tuple[Model, Tree]":
    """The model that imagines, and its parameters."""
    from agents.world import models

    if config.world == "copy":
        return models.copy(), ()
    if config.world == "exact":
        return parts.worlds.exact(spec, config.corrupt), ()
    model, params = parts.worlds.learned(config.model, config.poor, spec.name, spec.observation, spec.action)
    return parts.worlds.distorted(model, config.corrupt), params


experiment = run.Experiment(
    "i2a", Flags, check, make, launch=parts.staged.launch, alone="its stages are trained one after the other"
)
main = experiment.main

if __name__ == "__main__":
    main()
