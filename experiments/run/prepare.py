"""From flags to a run that can be trained: the task, the parts, the schedule, the driver and the folder."""

import dataclasses
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.run import actors, crews, data, flags, memory, population
from experiments.run.cores import use_cores
from experiments.run.folders import folder_of, make_folder
from experiments.run.plans import Plan, Size, planned

if TYPE_CHECKING:
    from envs.base import Environment, HostEnvironment, Spec
    from experiments.drivers.base import Driver
    from experiments.drivers.contract import Hypers, Make, Parts
    from experiments.drivers.devices import Layout
    from experiments.run.data import Held
    from experiments.run.experiment import Experiment
    from experiments.run.flags import Common
    from replay.dataset import Facts


MANY = 1_000
"""Runs above which the memory of one of them is looked at first."""


class Prepared(NamedTuple):
    """A run that has been checked and not yet compiled."""

    experiment: "Experiment"
    config: Any
    points: list[dict[str, float]]
    plan: Plan
    driver: "Driver"
    lay: Any
    folder: Path
    begun: Any = None
    """The agents' states `[R, ...]` that the runs begin with, if another run's are taken."""


def prepare(experiment: "Experiment", config: "Common") -> Prepared:
    """Checks the flags, builds all that they describe, and makes the run folder last.

    A run that is resumed keeps its config.json until `training.train` has accepted its checkpoint.

    Raises:
      ValueError: naming the flag.
    """
    if actors.follows(config):
        config = dataclasses.replace(config, quiet=True, wandb=False)
    points = flags.grid(config)
    use_cores(config)
    actors.connect(config)
    from experiments.drivers import devices, joining, offline
    from experiments.run import layouts

    folder = Path(config.resume) if actors.follows(config) else folder_of(experiment.name, config)
    env = environment(config, Path(config.resume) if config.resume else None, config.trust)
    held = data.held(config, env.spec)
    for point in (point | corner for point in points for corner in population.corners(config)):
        experiment.check(dataclasses.replace(config.agent, **point), env.spec, size_of(config, held.facts))
    built = parts_maker(config, env.spec, data.beside(config, experiment.make), held.facts)
    make = actors.scheduled(config, built)
    runs = len(points) * config.seeds
    lay = joining.layout() if actors.sharers(config) > config.devices else devices.layout(runs, config.devices)
    memory.check(config, runs, memory.of_rows(config, env.spec), lay)
    for point in points:
        parts = make(point)
    check_carried(config, env.spec, data.beside(config, experiment.make), held)
    config, plan = planned(config, parts)
    judged = evaluation_task(config, env)

    def driver_for(config: Any, points: list[dict[str, float]], lay: "Layout") -> "Driver":
        hypers: dict[str, Any] = {
            name: np.repeat(np.array([p[name] for p in points], np.float32), config.seeds) for name in points[0]
        }
        hypers["run"] = np.arange(lay.runs)
        hypers |= population.begin_with(config, lay.runs)
        if actors.apart(config):
            return crews.driver(experiment, config, env, make, judged, hypers, lay, plan.iterations, anew)
        lent = devices.common(lay, held.arrays)
        around = driver_of(
            env, make, hypers, lay, run_seeds(config, points), num_envs=config.num_envs // config.devices,
            iterations=plan.iterations, eval_episodes=config.eval_episodes, evaluation_env=judged, data=lent,
        )  # fmt: skip
        if config.counted == "steps" or config.online:
            return around
        return offline.driver(around, env.spec, make, hypers, lay, lent, iterations=plan.iterations)

    if runs > MANY:  # arrays of them would be made before their state's shape is known
        alone = devices.layout(1, config.devices)
        shape = driver_for(dataclasses.replace(config, seeds=1), points[:1], alone).shape()
        memory.check(config, runs, memory.of_state(config, env.spec, shape, parts, 1, held.arrays), lay)
    driver = driver_for(config, points, lay)
    # Traces what `init` does: what does not fit together, or into memory, says so here, before anything compiles.
    shape = driver.shape()
    data.check_beside(config, shape, held.arrays)
    memory.check(config, runs, memory.of_state(config, env.spec, shape, parts, runs, held.arrays), lay)
    begun = None
    if config.start_from and not config.resume:
        of = flags.contents(Path(config.start_from))["flags"]
        seeds, shared = of.get("seeds", 1), of.get("devices", 1) > 1
        begun = layouts.begun(Path(config.start_from), seeds, shared, lay, shape.agent)
    if not config.resume and not actors.follows(config):
        make_folder(folder, experiment, config)
    return Prepared(experiment, config, points, plan, driver, lay, folder, begun)


def anew(
    config: "Common", build: "Callable[..., Parts]"
) -> "tuple[Environment | HostEnvironment, Make, Environment | HostEnvironment]":
    """The task, the parts and the task of evaluations of a run, for an actor in a process of its own."""
    env = environment(config)
    make = actors.scheduled(config, parts_maker(config, env.spec, build))
    return env, make, evaluation_task(config, env)


def fit(told: str, total: int, runs: int = 1) -> None:
    """Refuses what takes more bytes than there are, shared out over the devices of so many runs.

    Raises:
      ValueError: beginning with `told`, the flag and its value.
    """
    from experiments.drivers import devices

    memory.fit(told, total, devices.layout(runs))


def environment(config: "Common", folder: Path | None = None, trust: bool = False) -> Any:
    """The task that the flags name.

    Args:
      config: the flags.
      folder: the run folder that they were read from, if they were.
      trust: whether code that lies in the folder, or anywhere but where the command is run, may be run.

    Raises:
      ValueError: there is none such, it does not know the options, or its code is not to be trusted.
    """
    import envs

    if folder and not trust:
        check_code(config.env, folder)
    return envs.make(config.env, **envs.parse_options(config.env_options))


def check_code(env: str, folder: Path) -> None:
    """Refuses a task of a run folder that names code which nobody here has asked for.

    What is installed may be imported for a gymnasium task, and what lies where the command is run may be called.

    Raises:
      ValueError: the module lies in the run folder, or is called and lies elsewhere than where the command is run.
    """
    called, colon, _ = env.removeprefix("gymnasium/").partition(":")
    if not colon:
        return
    top = importlib.util.find_spec(called.partition(".")[0])
    if top is None:
        return  # `envs.make` says so
    # Modules that are built in or frozen, such as sys and os, have no place.
    places = [top.origin] if top.has_location and top.origin else list(top.submodule_search_locations or [])
    if any(Path(place).resolve().is_relative_to(folder.resolve()) for place in places):
        raise ValueError(f"{folder}: its task {env} is code that lies in the folder; --trust runs it")
    here = [Path(place or ".").resolve() for place in (Path.cwd(), sys.path[0])]
    near = bool(places) and all(any(Path(place).resolve().is_relative_to(path) for path in here) for place in places)
    installed = any("site-packages" in place for place in places)
    if not env.startswith("gymnasium/") and (not near or installed):
        where = places[0] if places else called
        raise ValueError(f"{folder}: its task {env} is a function of {where}; --trust calls it")


def evaluation_task(
    config: "Common", env: "Environment | HostEnvironment", options: Sequence[str] = ()
) -> "Environment | HostEnvironment":
    """The task that policies are evaluated on: `env` of the flags, with `eval_env_options`, and with `options` on top.

    Raises:
      ValueError: the task does not know them, or becomes another for the agent's eye or hand.
    """
    import jax

    import envs
    from envs.base import blank

    changed = envs.parse_options(config.eval_env_options) | envs.parse_options(options)
    if not changed:
        return env
    other = envs.make(config.env, **(envs.parse_options(config.env_options) | changed))
    seen, shown = (
        str(jax.tree.map(lambda x: (x.dtype.name, x.shape[1:]), blank(task.spec, 1).observation))
        for task in (env, other)
    )
    for here, there in ((seen, shown), (str(env.spec.action), str(other.spec.action))):
        if here != there:
            flag, words = ("--env-options", options) if options else ("--eval-env-options", config.eval_env_options)
            raise ValueError(f"{flag} {' '.join(words)}: the agent knows {here}, and the task then has {there}")
    return other


def driver_of(
    env: "Environment | HostEnvironment",
    make: "Make",
    hypers: "Hypers",
    lay: "Layout",
    seeds: np.ndarray,
    **numbers: Any,
) -> "Driver":
    """The driver for a task, in graph or on the host; `numbers` as for `drivers.in_graph`, `seeds` of the runs."""
    from envs.base import Environment
    from experiments.drivers import in_graph
    from experiments.drivers.host import driver

    if isinstance(env, Environment):
        return in_graph.driver(env, make, hypers, lay, **numbers)
    return driver(env, make, hypers, lay, seeds=[int(seed) for seed in seeds], **numbers)


def run_seeds(config: "Common", points: list[dict[str, float]]) -> np.ndarray:
    """The seed of every run, `[R]`: the same ones at each point of a sweep."""
    return np.tile(config.seed + np.arange(config.seeds), len(points))


def size_of(config: "Common", facts: "Facts | None" = None) -> Size:
    """The sizes of a run that `check` and `make` are told, with the facts of the dataset that it learns from."""
    sharers = actors.sharers(config)
    return Size(actors.lanes(config) // sharers, sharers, config.schedule_steps or config.steps, facts)


def parts_maker(config: "Common", spec: "Spec", build: "Callable[..., Parts]", facts: "Facts | None" = None) -> "Make":
    """`build` as a function of swept values alone: field of `config.agent` -> number, traced or not.

    Of a population, and along a schedule, the agent carries the numbers that change in its state.
    """
    carried, plain = population.carried(config), plain_maker(config, spec, build, facts)
    if not carried:
        return plain
    from experiments.drivers import members

    return members.carried(plain, carried)


def plain_maker(config: "Common", spec: "Spec", build: "Callable[..., Parts]", facts: "Facts | None" = None) -> "Make":
    """`parts_maker` of an agent that carries nothing."""
    size = size_of(config, facts)

    def make(hypers: "Hypers") -> "Parts":
        swept = {name: value for name, value in hypers.items() if name != "run"}
        return build(dataclasses.replace(config.agent, **swept), spec, size)

    return make


def check_carried(config: "Common", spec: "Spec", build: "Callable[..., Parts]", held: "Held") -> None:
    """Refuses to change numbers that the replay is built with, which is no part of the agent.

    Raises:
      ValueError: naming the flag.
    """
    carried = population.carried(config)
    if not carried:
        return
    from experiments.drivers import members

    lanes, plain = config.num_envs // config.devices, plain_maker(config, spec, build, held.facts)
    for name in members.stored_by(plain, list(carried), carried, spec, lanes, held.arrays)[:1]:
        flag = "--pbt" if config.population else "--schedule"
        raise ValueError(f"{flag} agent.{name.replace('_', '-')}: is a number of the replay, which does not change")
