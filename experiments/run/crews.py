"""From the flags of actors to a driver: who is asked to play, and what runs them."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from experiments.run.actors import lanes, typed

if TYPE_CHECKING:
    from envs.base import Environment, HostEnvironment, Spec
    from experiments.drivers.base import Driver
    from experiments.drivers.collecting import Collector
    from experiments.drivers.contract import Hypers, Make, Parts
    from experiments.drivers.devices import Layout
    from experiments.drivers.engines import Engine
    from experiments.drivers.grading import Grader
    from experiments.run.actors import Apart
    from experiments.run.experiment import Experiment


def driver(
    experiment: "Experiment",
    config: "Apart",
    env: "Environment | HostEnvironment",
    make: "Make",
    judged: "Environment | HostEnvironment",
    hypers: "Hypers",
    lay: "Layout",
    iterations: int,
    anew: Callable,
) -> "Driver":
    """The driver of learners with actors, one for each seed; for most arguments see `prepare.prepare`.

    `anew` is a function `(flags, build) -> (task, make, evaluation task)`, for actors in processes of their own.

    Raises:
      ValueError: the agent or its replay cannot be served by actors, naming the flag.
    """
    from experiments.drivers import devices, slopes
    from experiments.drivers.side_by_side import side_by_side

    parts, told = make({"run": 0}), typed(config, "actors")
    apart = config.send == "gradients"
    if experiment.alone or not (apart or parts.replay.grouped):
        why = experiment.alone or "its replay takes the rows of all environments together"
        raise ValueError(f"{told}: {experiment.name} cannot have any: {why}")
    if config.ratio == "free" and parts.replay.first_carry_only:
        raise ValueError(f"--ratio free: {experiment.name} cannot: it learns once from what was just played")
    if lay.per_device > 1 and config.learners == 1:
        there = f"needs a device of its own, and there are {len(lay.devices)}"
        raise ValueError(f"{typed(config, 'seeds')}: with {told} each {there}")
    check_store(config, env.spec, make)
    if apart:
        try:
            slopes.check(parts, env.spec, lanes(config))
        except ValueError as error:
            raise ValueError(f"{told} --send gradients: {experiment.name} cannot: {error}") from None
    around = partial(one, experiment, env=env, make=make, judged=judged, iterations=iterations, anew=anew)
    if lay.runs == 1:
        return around(config, lay=lay)
    owns = [dataclasses.replace(config, seed=config.seed + i) for i in range(config.seeds)]
    each = [around(own, lay=member) for own, member in zip(owns, devices.groups(lay), strict=True)]
    return side_by_side(each, make, hypers, lay)


def one(
    experiment: "Experiment",
    config: "Apart",
    *,
    env: "Environment | HostEnvironment",
    make: "Make",
    judged: "Environment | HostEnvironment",
    lay: "Layout",
    iterations: int,
    anew: Callable,
) -> "Driver":
    """The driver of the learner of one seed and its actors."""
    import numpy as np

    from experiments.drivers import distributed, gradients, terms

    episodes = config.eval_episodes // config.learners
    sharers = next(n for n in range(config.actors, 0, -1) if episodes % n == 0)
    how = terms.Terms(
        config.actors, config.ahead, config.order, config.publish_every, config.patience,
        config.actor_priorities, sharers, config.ratio, config.learner,
    )  # fmt: skip
    numbers = {"num_envs": config.num_envs // config.learners, "iterations": iterations, "eval_episodes": episodes}
    run_by, hypers = engine(experiment, config, env, make, judged, sharers, anew), {"run": np.zeros(1, np.int32)}
    if config.send == "rows":
        return distributed.driver(run_by, env.spec, make, hypers, lay, how, **numbers)
    age = -1 if config.most_age is None else config.most_age
    return gradients.driver(run_by, env.spec, make, hypers, lay, how, **numbers, most_age=age)


def check_store(config: "Apart", spec: "Spec", make: "Make") -> None:
    """Refuses more messages under way than Ray keeps in memory.

    Raises:
      ValueError: naming the flags.
    """
    if config.engine != "ray":
        return
    from experiments.drivers import on_ray, told

    names = ["actors", "ahead", "num_envs"] + (["actor_rows"] if config.actor_rows else [])
    if config.send == "gradients":
        size, names = told.size_of_state(make, spec) * config.actors, names[:2]
    else:
        size = told.size_of_row(make, spec) * make({"run": 0}).schedule.unroll * config.num_envs
    size = size if config.ray else size // config.learners  # who else have a store each
    on_ray.check_store(size * (config.ahead + 1) * config.seeds, ", ".join(typed(config, name) for name in names))


def engine(
    experiment: "Experiment",
    config: "Apart",
    env: "Environment | HostEnvironment",
    make: "Make",
    judged: "Environment | HostEnvironment",
    sharers: int,
    anew: Callable,
) -> "Engine":
    """What runs the actors."""
    from experiments.drivers import engines

    if config.engine == "ray":
        from experiments.drivers import on_ray

        return on_ray.on_ray(partial(remote, anew, config, experiment.make, sharers))
    run_by = engines.threads if config.engine == "threads" else engines.inline
    return run_by(partial(local, config, env, make, judged, sharers))


def remote(
    anew: Callable, config: "Apart", build: "Callable[..., Parts]", sharers: int, actor: int, generation: int
) -> "Collector | Grader":
    """An actor in a process of its own, which makes the task anew."""
    env, make, judged = anew(config, build)
    return local(config, env, make, judged, sharers, actor, generation)


def local(
    config: "Apart",
    env: "Environment | HostEnvironment",
    make: "Make",
    judged: "Environment | HostEnvironment",
    sharers: int,
    actor: int,
    generation: int,
) -> "Collector | Grader":
    """An actor in this process; in threads each has a device of its own, as far as there are some."""
    import jax

    from experiments.drivers import collecting, grading
    from experiments.drivers import lanes as those

    there = jax.local_devices()
    device = there[(actor + 1) % len(there)] if config.engine == "threads" else there[0]
    everyone = config.actors * config.learners
    number = config.learner * config.actors + actor
    place = {"actor": number, "actors": everyone, "num_envs": config.num_envs // everyone, "device": device}
    episodes = config.eval_episodes // (config.learners * sharers)
    played: Any = {"generation": generation, "seed": config.seed, "eval_episodes": episodes}
    if config.send == "rows":
        priorities = config.actor_priorities
        return collecting.collector(env, make, **place, **played, evaluation_env=judged, priorities=priorities)
    own = those.lanes(env, make, **place, **played, evaluation_env=judged)
    warmup = make({"run": 0}).schedule.warmup
    return grading.grader(own, make, env.spec, **place, outliers=config.outliers, warmup=warmup)
