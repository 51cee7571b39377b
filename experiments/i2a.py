"""I2A and the agents it is compared with, in three stages: `python -m experiments.i2a --help`."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from experiments import parts, run

World = Literal["learned", "exact", "copy", "none"]
Stage = Literal["baseline", "model", "agent"]
SHORT = 100_000
"""Steps of a run below which evaluations are made smaller and fewer."""


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    world: World = "learned"
    """What imagines: the learned model, the task's own rules (from what a frame shows), a model in which nothing
    changes, or nothing at all, which is the standard agent."""
    model: str = ""
    """Folder of the learned model; by default the one that the model stage makes."""
    poor: bool = False
    """A learned model that is much smaller."""
    corrupt: run.Unit = 0.0
    """Probability with which each cell that is imagined is wrong."""
    no_rewards: bool = False
    """Imagine all rewards as 0."""
    depth: run.Count = 5
    """τ, steps of a rollout."""
    learning_rate: run.Positive = 7e-4
    """Step size of the policy's optimiser."""
    rollout_learning_rate: run.Positive = 7e-4
    """Step size of the rollout policy's optimiser."""
    optimiser: Literal["rmsprop", "adam"] = "rmsprop"
    """Of both."""
    anneal: bool = True
    """Let both step sizes fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 0.5
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """γ."""
    gae_lambda: run.Unit = 0.95
    """λ of the generalised advantage; 1 for the paper's n-step returns."""
    value_cost: run.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: run.NonNegative = 0.01
    """Weight of the entropy bonus."""
    distillation_cost: run.NonNegative = 0.01
    """λ, weight of the rollout policy's loss."""
    unroll: run.Count = 10
    """Steps in each environment per update."""
    channels: tuple[run.Count, ...] = (16, 16)
    """Of the 3×3 convolutions; the first keeps the size of a frame, the others halve it."""
    hidden: run.Count = 256
    """Size of the dense layers."""
    encoder_channels: tuple[run.Count, ...] = (16, 16)
    """Of the encoder of imagined frames; with none it is a dense layer, which is much faster."""
    code: run.Count = 256
    """Size of the encoder's layer and memory."""
    rollout_channels: tuple[run.Count, ...] = (16,)
    """Of the rollout policy."""
    rollout_hidden: run.Count = 64
    """Size of its dense layer."""


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
    """Episodes of one evaluation, per seed; 0 for 128, or fewer in runs of less than 100,000 steps, where these could
    take more steps than training does."""
    stages: tuple[Stage, ...] = ("baseline", "model", "agent")
    """Which to run, in this order. With none, one agent is trained in the run folder itself."""
    model_transitions: run.Whole = 0
    """Of the trained baseline, from which the model learns; 0 for as many as `steps`, at most 200,000."""
    model_updates: run.Whole = 0
    """Gradient steps of the model; 0 for a twentieth of `steps`, at most 10,000."""
    model_batch: run.Count = 64
    """Transitions per gradient step."""
    model_learning_rate: run.Positive = 1e-3
    """Adam's step size for the model."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: Any, size: run.Size) -> None:
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


def make(config: Config, spec: Any, size: run.Size) -> Any:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.a2c import a2c
    from agents.common import optimisers
    from agents.i2a import i2a
    from agents.world import models

    actions = spec.action.num
    updates = float(max(1, size.steps // (config.unroll * size.num_envs * size.devices)))

    def optimiser(rate: Any) -> Any:
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
        models.silent(model) if config.no_rewards else model,
        params,
        student(config, spec),
        optimiser(config.rollout_learning_rate),
        actions=actions,
        depth=config.depth,
        distillation_cost=config.distillation_cost,
        **settings,
    )
    return run.Parts(agent, *shared)


def network(config: Config, spec: Any, imagines: bool) -> Any:
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


def student(config: Config, spec: Any) -> Any:
    """The rollout policy."""
    import networks
    from envs.base import byte_scale

    scale = byte_scale(spec.observation)
    torso = networks.FrameTorso(config.rollout_channels, config.rollout_hidden, scale=scale)
    return networks.q_network(torso, networks.CategoricalPolicy(spec.action.num))


def world(config: Config, spec: Any) -> tuple[Any, Any]:
    """The model that imagines, and its parameters."""
    from agents.world import models

    if config.world == "copy":
        return models.copy(), ()
    if config.world == "exact":
        return parts.worlds.exact(spec, config.corrupt), ()
    model, params = parts.worlds.learned(config.model, config.poor, spec.name, spec.observation, spec.action)
    return parts.worlds.distorted(model, config.corrupt), params


def with_levels(config: Flags) -> Flags:
    """The flags with `levels` as the option of the task that it stands for.

    Raises:
      ValueError: a sweep of several stages.
    """
    if config.sweep and config.stages:
        raise ValueError(f"--sweep {' '.join(config.sweep)}: for one agent, with --stages and no stage after it")
    if config.levels:
        options = (*config.env_options, f"levels={config.levels}")
        config = dataclasses.replace(config, levels="", env_options=options)
    return config


def scaled(config: Flags) -> Flags:
    """The flags with what goes by the steps, where it is not given: the model's numbers, and what evaluations play.

    Imagination makes an evaluation's steps dear, so that the evaluations of a short run would take most of its time.
    """
    if config.resume:
        return config
    limit = (run.prepare.environment(config).spec.time_limit or 0) if config.steps < SHORT else 0
    few = max(8, config.steps // limit) if limit else 128
    episodes = config.eval_episodes or -(-min(128, few) // config.devices) * config.devices
    return dataclasses.replace(
        config,
        model_transitions=config.model_transitions or min(200_000, config.steps),
        model_updates=config.model_updates or max(1, min(10_000, config.steps // 20)),
        eval_episodes=episodes,
        # In a short run a twentieth of the steps can be a fraction of what an evaluation plays.
        eval_every=config.eval_every or (episodes * limit // 2 if episodes * limit > config.steps // 10 else 0),
    )


def stage(config: Flags, folder: Path, **agent: Any) -> Flags:
    """The flags of one agent's training in a folder of its own, taken up if it was begun."""
    begun = (folder / "config.json").exists()
    return dataclasses.replace(
        config,
        stages=(),
        out="" if begun else str(folder),
        resume=str(folder) if begun else "",
        agent=dataclasses.replace(config.agent, **agent),
    )


def launch(experiment: run.Experiment, config: Flags) -> dict[str, Any]:
    """Runs the stages.

    Returns:
      The summary of each stage by its name; of a run without stages its own.

    Raises:
      ValueError: naming a flag that does not fit.
    """
    from experiments.parts.stages import report, train_model

    config = scaled(with_levels(config))
    if not config.stages:
        return run.trained(experiment, config)
    run.use_cores()
    folder = run.folders.folder_of("i2a", config)
    refuse(config, folder)
    run.folders.make_folder(folder, experiment, config)
    found: dict[str, Any] = {}
    if "baseline" in config.stages:
        found["baseline"] = run.trained(experiment, stage(config, folder / "baseline", world="none", model=""))
    if "model" in config.stages and config.agent.world == "learned":
        found["model"] = train_model(config, folder)
    if "agent" in config.stages:
        model = config.agent.model or (str(folder / "model") if config.agent.world == "learned" else "")
        found["agent"] = run.trained(experiment, stage(config, folder / "agent", model=model))
    report(folder, found, config.eval_episodes, config.quiet)
    return found


def refuse(config: Flags, folder: Path) -> None:
    """Checks what the stages need and have to begin with, before the first one costs anything.

    Raises:
      ValueError: naming a flag that does not fit.
    """
    agent, learned = config.agent, config.agent.world == "learned"
    if "model" in config.stages and "baseline" not in config.stages and not (folder / "baseline/policies").is_dir():
        raise ValueError(
            f"--stages {' '.join(config.stages)}: the model needs {folder / 'baseline'}, which the baseline stage makes"
        )
    trial = dataclasses.replace(config, stages=())
    spec = run.prepare.environment(trial).spec
    if learned and "agent" in config.stages and (agent.model or "model" not in config.stages):
        agent = dataclasses.replace(agent, model=agent.model or str(folder / "model"))
    elif learned:  # of a model to come
        agent = dataclasses.replace(agent, world="none")
    check(agent, spec, run.prepare.size_of(trial))
    if learned and "model" in config.stages:
        parts.worlds.check_corrupt(spec, config.agent.corrupt)
        parts.worlds.coder(spec)
        height, width, channels = spec.observation.shape
        run.prepare.fit(f"--model-transitions {config.model_transitions}", config.model_transitions * height * width)
        pairs = 2 * 4 * height * width * channels  # of two frames, decoded to floats
        run.prepare.fit(f"--model-batch {config.model_batch}", config.model_batch * pairs)


experiment = run.Experiment("i2a", Flags, check, make, launch=launch)
main = experiment.main

if __name__ == "__main__":
    main()
