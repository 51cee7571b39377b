"""The flags of actors apart from the learner, what is refused of them, and what they make of a schedule."""

import dataclasses
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeGuard

from experiments.run import ranges

if TYPE_CHECKING:
    from experiments.drivers.contract import Hypers, Make, Parts
    from experiments.run.flags import Common

    class Apart(Common):
        """Flags of a run whose actors play apart from the learner."""

        actors: int


@dataclass(frozen=True)
class Actors:
    """Flags of actors that play apart from the learner."""

    actors: ranges.Count | None = None
    """Processes (or threads) that play for the learner of each seed, each in an equal part of `num_envs`; by default
    none."""
    engine: Literal["ray", "threads", "inline"] = "ray"
    """What runs the actors: processes of Ray, threads of this process, or the learner's own thread in turn, to
    look for faults."""
    ray: str = ""
    """Address of a Ray cluster to join, `auto` for the one of this machine; by default a fresh one on loopback."""
    ahead: ranges.Whole = 1
    """Rounds of messages that actors may be ahead of learning. With 0 they wait for each update, as without actors."""
    order: Literal["arrival", "fixed"] = "arrival"
    """Whose messages make a round: whichever come first, or one of each actor, which gives the same run each time."""
    publish_every: ranges.Count = 1
    """Rounds between new parameters for the actors."""
    patience: ranges.Positive = 60.0
    """Seconds that an actor may take for a message before another takes its place."""
    actor_rows: ranges.Whole = 0
    """Steps in each environment that make a message, of an agent with a replay; 0 for those of `agent.unroll`."""
    actor_priorities: bool = False
    """Let actors say with what priorities their windows enter the replay, as in Ape-X; else it is the
    largest seen so far."""
    ratio: Literal["exact", "free"] = "exact"
    """Updates for each row: as many as without actors, or as many as the learner finds time for between messages."""

    send: Literal["rows", "gradients"] = "rows"
    """What actors send: rows for the learner's replay; or gradients, from rows and a replay that each keeps, which are
    descended one after the other as in A3C and Gorila."""
    most_age: ranges.Whole | None = None
    """Updates that a gradient may lack before it is dropped; by default any number."""
    outliers: ranges.NonNegative = 0.0
    """Standard deviations above the running mean of the errors of its batches from which an actor drops a gradient; 0
    for never."""

    learners: ranges.Count = 1
    """Processes that train the run together, on one machine or several, each with `actors` of its own and its part of
    environments, replay and batches; `python -m experiments.launch` starts them."""
    learner: ranges.Whole = 0
    """Which of the `learners` this process is."""
    coordinator: str = ""
    """Where the `learners` meet: HOST:PORT of the machine of learner 0, and a port that is free there."""


CHANGEABLE = ("engine", "ray", "patience", "learner", "coordinator")
"""Flags of actors that may change when a run is resumed."""


def apart(config: "Common") -> "TypeGuard[Apart]":
    """Whether actors play apart from the learner."""
    return getattr(config, "actors", None) is not None


def check(config: "Common") -> None:
    """Refuses flags of actors that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    plain = Actors()
    if not apart(config):
        for field in dataclasses.fields(Actors):
            if getattr(config, field.name, getattr(plain, field.name)) != getattr(plain, field.name):
                raise ValueError(f"{typed(config, field.name)}: of use only with --actors")
        return
    told = typed(config, "actors")
    if config.devices != 1:
        raise ValueError(f"{typed(config, 'devices')}: with {told} each seed is learned on one device")
    if config.sweep:
        raise ValueError(f"--sweep {' '.join(config.sweep)}: with {told} there is one point")
    for name in ("data", "start_from"):
        if getattr(config, name, ""):
            raise ValueError(
                f"{typed(config, name)}: with {told} a run begins anew and learns from what is played alone"
            )
    if config.num_envs % (config.actors * config.learners):
        each = told if config.learners == 1 else f"{told} times {typed(config, 'learners')}"
        raise ValueError(f"--num-envs {config.num_envs}: must be a multiple of {each}, which share them")
    if config.ratio == "free" and config.order == "fixed":
        raise ValueError("--ratio free: not with --order fixed, in which the learner waits for each actor")
    check_learners(config)
    for name in ("most_age", "outliers") if config.send == "rows" else ("actor_rows", "actor_priorities", "ratio"):
        if getattr(config, name) != getattr(plain, name):
            other = "gradients" if config.send == "rows" else "rows"
            raise ValueError(f"{typed(config, name)}: of use only with --send {other}")
    if config.ray and config.engine != "ray":
        raise ValueError(f"{typed(config, 'ray')}: of use only with --engine ray")
    if config.engine == "ray" and find_spec("ray") is None:
        raise ValueError(
            f"{told} --engine ray: needs the package ray, which is not installed (pip install 'ray==2.60.0'); "
            f"--engine threads does without"
        )


def check_learners(config: "Common") -> None:
    """Refuses flags of several learners that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    told = typed(config, "learners")
    if config.learners == 1:
        for name in ("learner", "coordinator"):
            if getattr(config, name):
                raise ValueError(f"{typed(config, name)}: of use only with --learners above 1")
        return
    if config.send == "gradients":
        raise ValueError(f"{told}: not with --send gradients, which one learner descends one after the other")
    if config.ratio == "free":
        raise ValueError(f"{told}: not with --ratio free; learners make each update together")
    if config.seeds > 1:
        raise ValueError(f"{typed(config, 'seeds')}: with {told} there is one seed")
    if config.eval_episodes % config.learners:
        raise ValueError(f"--eval-episodes {config.eval_episodes}: must be a multiple of {told}, which share them")
    if config.learner >= config.learners:
        raise ValueError(f"{typed(config, 'learner')}: {told} are numbered from 0 to {config.learners - 1}")
    host, _, port = config.coordinator.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        what = f"{typed(config, 'coordinator')}: must be HOST:PORT" if config.coordinator else f"{told}: needs"
        what += "" if config.coordinator else " --coordinator HOST:PORT and --learner N in each of them"
        raise ValueError(f"{what}; python -m experiments.launch gives all of them")


def follows(config: "Common") -> bool:
    """Whether this process learns along with another one, which keeps the records of the run."""
    return apart(config) and config.learner > 0


def sharers(config: "Common") -> int:
    """Devices that train each seed together, each with an equal part of its environments, replay and batches."""
    return config.devices * (config.learners if apart(config) else 1)


def typed(config: "Common", name: str) -> str:
    """A flag as it is typed."""
    value = getattr(config, name)
    word = f"--{name.replace('_', '-')}"
    return word if value is True else f"{word} {value}"


def connect(config: "Common") -> None:
    """Joins or starts what the actors are to run on, and joins the other learners; before JAX starts.

    Raises:
      ValueError: it does not answer.
    """
    if apart(config) and config.engine == "ray":
        from experiments.drivers import on_ray

        on_ray.connect(config.ray)
    if apart(config) and config.learners > 1:
        from experiments.drivers import joining

        try:
            joining.join(config.coordinator, config.learners, config.learner)
        except ConnectionError as error:
            raise ValueError(f"{typed(config, 'coordinator')}: {error}") from None


def lanes(config: "Common") -> int:
    """Environments that an agent's parts are built for: those of the run, or of one actor that learns."""
    return config.num_envs // (config.actors if apart(config) and config.send == "gradients" else 1)


def scheduled(config: "Common", make: "Make") -> "Make":
    """`make` with the schedule of longer messages, as many updates for each row as before, or of actors that learn.

    Raises:
      ValueError: `--actor-rows` is no multiple of the agent's unroll.
    """
    if not apart(config):
        return make
    rows, learns = config.actor_rows, config.send == "gradients"
    if not (rows or learns):
        return make

    def rescheduled(hypers: "Hypers") -> "Parts":
        parts = make(hypers)
        unroll, updates, warmup = parts.schedule
        if learns:  # the steps of a warm-up are those of all actors; each needs enough for a sample
            least = min(warmup, -(-parts.replay.minimum // unroll))
            warmup = max(-(-warmup // config.actors), least)
            return parts._replace(schedule=parts.schedule._replace(warmup=warmup))
        if rows % unroll or parts.replay.first_carry_only:
            told = f"must be a multiple of --agent.unroll {unroll}, of an agent with a replay"
            raise ValueError(f"--actor-rows {rows}: {told}")
        more = rows // unroll
        schedule = parts.schedule._replace(unroll=rows, updates=updates * more, warmup=-(-warmup // more))
        return parts._replace(schedule=schedule)

    return rescheduled
