"""What `experiments.world_models` does in its stages: vision, memory, the controller's search, and one in dreams."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import run
from experiments.parts import dream_learning, dream_search, staged

if TYPE_CHECKING:
    from experiments.world_models import Flags

TOLD = ("losses", "eval_iqm", "eval_returns", "dream_returns", "kept")
"""What is printed of the stages' summaries."""


def launch(experiment: run.Experiment, config: "Flags") -> dict[str, Any]:
    """Runs the stages, or where there are none the controller's search in the run folder itself.

    Returns:
      The summary of each stage by its name; of a run without stages its own.

    Raises:
      ValueError: naming a flag that does not fit.
    """
    if not config.stages:
        return run.trained(experiment, config)
    run.use_cores()
    folder = run.folders.folder_of("world_models", config)
    refuse(experiment, config, folder)
    if not config.resume:
        run.folders.make_folder(folder, experiment, config)
    found: dict[str, Any] = {}
    for name in ("vision", "memory"):
        if name in config.stages:
            found[name] = dream_learning.learn(config, folder, name)
    model = "" if config.agent.reads == "observation" else str(folder)
    if "controller" in config.stages:
        found["controller"] = run.trained(experiment, staged.stage(config, folder / "controller", model=model))
    if "dream" in config.stages:
        found["dream"] = dream_search.dream(config, folder)
    if {"controller", "dream"} <= found.keys():
        pairs = zip(found["dream"]["eval_returns"], found["controller"]["eval_returns"], strict=True)
        found["dream"]["kept"] = [dreamt / awake if awake else 0.0 for dreamt, awake in pairs]
    run.records.write_json(folder / "summary.json", found)
    if not config.quiet:
        for name, summary in found.items():
            print(f"{name}: " + ", ".join(f"{key} {summary[key]}" for key in TOLD if key in summary))
    return found


def refuse(experiment: run.Experiment, config: "Flags", folder: Path) -> None:
    """Checks what the stages need and have to begin with, before the first one costs anything.

    Raises:
      ValueError: naming a flag that does not fit.
    """
    from envs.base import Environment

    env = run.prepare.environment(config)
    if not isinstance(env, Environment):
        raise ValueError(f"--env {config.env}: the stages of experiments.world_models need a task in graph")
    if config.sweep:
        raise ValueError(f"--sweep {' '.join(config.sweep)}: for one agent, with --stages and no stage after it")
    trial = replace(config, stages=(), agent=replace(config.agent, model=""))
    experiment.check(trial.agent, env.spec, run.prepare.size_of(trial))
    reads = config.agent.reads
    if reads == "observation" and config.stages != ("controller",):
        raise ValueError(
            f"--stages {' '.join(config.stages)}: with --agent.reads observation there is controller alone"
        )
    needs = {"memory": ("vision",), "controller": ("vision", "memory"), "dream": ("vision", "memory")}
    for stage in config.stages if reads != "observation" else ():
        for needed in needs.get(stage, ()):
            if needed not in config.stages and not (folder / needed / "summary.json").is_file():
                raise ValueError(
                    f"--stages {' '.join(config.stages)}: {stage} needs {folder / needed}, which its stage makes"
                )
    rows = -(-config.transitions // dream_learning.LANES)
    if rows <= config.memory_length:
        raise ValueError(
            f"--transitions {config.transitions}: {rows} rows in each of {dream_learning.LANES} lanes; --memory-length "
            f"{config.memory_length} needs more than {config.memory_length * dream_learning.LANES} transitions"
        )
