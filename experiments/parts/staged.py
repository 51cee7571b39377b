"""What `experiments.i2a` does in three stages: a baseline, a model of what it sees, and an agent that imagines."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from experiments import run
from experiments.parts import worlds

if TYPE_CHECKING:
    from experiments.i2a import Flags
    from experiments.world_models import Flags as Dreaming

    Staged = TypeVar("Staged", Flags, Dreaming)

SHORT = 100_000
"""Steps of a run below which evaluations are made smaller and fewer."""


def launch(experiment: run.Experiment, config: "Flags") -> dict[str, Any]:
    """Runs the stages, or where there are none one agent in the run folder itself.

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
    refuse(experiment, config, folder)
    if not config.resume:
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


def refuse(experiment: run.Experiment, config: "Flags", folder: Path) -> None:
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
    experiment.check(agent, spec, run.prepare.size_of(trial))
    if learned and "model" in config.stages:
        worlds.check_corrupt(spec, config.agent.corrupt)
        worlds.coder(spec)
        height, width, channels = spec.observation.shape
        run.prepare.fit(f"--model-transitions {config.model_transitions}", config.model_transitions * height * width)
        pairs = 2 * 4 * height * width * channels  # of two frames, decoded to floats
        run.prepare.fit(f"--model-batch {config.model_batch}", config.model_batch * pairs)


def with_levels(config: "Flags") -> "Flags":
    """The flags with `levels` as the option of the task that it stands for.

    Raises:
      ValueError: a sweep, a population or a schedule of several stages.
    """
    for name in ("sweep", "pbt", "schedule") if config.stages else ():
        if words := getattr(config, name):
            raise ValueError(f"--{name} {' '.join(words)}: for one agent, with --stages and no stage after it")
    if config.levels:
        options = (*config.env_options, f"levels={config.levels}")
        config = dataclasses.replace(config, levels="", env_options=options)
    return config


def scaled(config: "Flags") -> "Flags":
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


def stage(config: "Staged", folder: Path, **agent: Any) -> "Staged":
    """The flags of one agent's training in a folder of its own, taken up if it was begun."""
    begun = (folder / "config.json").exists()
    return dataclasses.replace(
        config,
        stages=(),
        out="" if begun else str(folder),
        resume=str(folder) if begun else "",
        agent=dataclasses.replace(config.agent, **agent),
    )
