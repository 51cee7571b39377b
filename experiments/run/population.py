"""The flags of populations and of schedules, what is refused of them, and what they say of an agent's numbers."""

import dataclasses
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin, get_type_hints

from experiments.reports import lineage
from experiments.run import ranges

if TYPE_CHECKING:
    import numpy as np

    from agents.common.populations import Bounds
    from experiments.run.flags import Common

LINEAGE, PICTURE = "lineage.csv", "lineage.png"
"""What a population's folder has beside that of any run: who copied whom, and its picture."""


@dataclass(frozen=True)
class Population:
    """Flags of populations that are trained side by side, and of numbers that change along a schedule."""

    population: ranges.Pair | None = None
    """Members of a population, which copy the better ones among them as they train; `seeds` is then all members, by
    default those of one population. Without it seeds know nothing of each other."""
    pbt: tuple[str, ...] = ()
    """Real-numbered agent flags that a population finds, with bounds, such as agent.learning-rate=1e-4..1e-2."""
    pbt_every: ranges.Whole = 0
    """Steps (or updates) between turns, at which members copy one another by their evaluations; 0 for every
    evaluation."""
    pbt_rule: Literal["truncation", "tournament", "t-test", "none"] = "truncation"
    """Who copies: the worst from the best, the worse of pairs, the significantly worse of pairs, or nobody."""
    pbt_share: Annotated[float, ranges.Range(0, 0.5, above=True)] = 0.2
    """Share of a population that copies and is copied from, by truncation."""
    pbt_factors: tuple[ranges.Positive, ...] = (0.8, 1.2)
    """Factors of which one, drawn, multiplies each number that is copied."""
    pbt_resample: ranges.Unit = 0.0
    """Probability that a number is drawn anew between its bounds instead."""
    pbt_start: Literal["drawn", "given"] = "drawn"
    """What members begin with: numbers drawn between the bounds, in logarithms where those are positive, or the
    flags' own."""
    schedule: tuple[str, ...] = ()
    """Values of real-numbered agent flags from so many steps on, such as agent.learning-rate=0:1e-3,5000:1e-4; or the
    folder of a population, for the schedule that its best member came by."""


def sweepable(agent: object) -> dict[str, ranges.Range | None]:
    """The real-numbered flags of an agent, which can differ between runs of one compilation, and their ranges."""
    hints = get_type_hints(type(agent), include_extras=True)
    kinds = {name: ranges.declared(kind) for name, kind in hints.items() if get_origin(kind) is Annotated}
    return {name: allowed for name, (number, allowed) in kinds.items() if number is float}


def entry(flag: str, item: str, agent: object, form: str, what: str = "changed") -> tuple[str, str, str]:
    """An item of a flag taken apart: the field of the agent, the name as it was typed, and what stands behind the sign.

    Raises:
      ValueError: it is not of the form `agent.name=...`, or the flag is no real number.
    """
    name, equals, values = item.partition("=")
    field = name.removeprefix("agent.").replace("-", "_")
    if not equals or not name.startswith("agent."):
        raise ValueError(f"{flag} {item}: write agent.NAME={form}")
    known = sweepable(agent)
    if field not in known:
        told = ", ".join(f"agent.{n.replace('_', '-')}" for n in known)
        raise ValueError(f"{flag} {item}: {name} cannot be {what} in one compilation; these can: {told}")
    return field, name, values


def number(flag: str, item: str, name: str, text: str, allowed: ranges.Range | None) -> float:
    """A value of a flag.

    Raises:
      ValueError: it is none, or out of the flag's range.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{flag} {item}: {text!r} is not a number such as 1e-3")
    wrong = ranges.fault(value, allowed)
    if wrong:
        raise ValueError(f"{flag} {item}: {name}={value:g} {wrong}")
    return value


def bounds(config: "Common", flag: str = "--pbt") -> "dict[str, Bounds]":
    """The numbers that `config.pbt` lists, `flag` on the command line: field of `config.agent` -> bounds.

    Raises:
      ValueError: an item is not of its form, its bounds are no range, or a flag is given twice.
    """
    found: dict[str, Any] = {}
    for item in config.pbt:
        field, name, values = entry(flag, item, config.agent, "LOW..HIGH")
        low, dots, high = values.partition("..")
        if not dots:
            raise ValueError(f"{flag} {item}: write {name}=LOW..HIGH")
        if field in found:
            raise ValueError(f"{flag} {item}: {name} is given twice")
        allowed = sweepable(config.agent)[field]
        first, last = (number(flag, item, name, text, allowed) for text in (low, high))
        if first >= last:
            raise ValueError(f"{flag} {item}: the upper bound must be above the lower one")
        found[field] = (first, last)
    return found


def timetable(config: "Common") -> dict[str, list[tuple[int, float]]]:
    """What `--schedule` says: field of `config.agent` -> `(step, value)` in their order, the first of step 0.

    Raises:
      ValueError: an item is not of its form, or a flag is given twice.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for item in config.schedule:
        field, name, values = entry("--schedule", item, config.agent, "0:VALUE,STEP:VALUE")
        if field in found:
            raise ValueError(f"--schedule {item}: {name} is given twice")
        pairs = []
        for pair in values.split(","):
            step, colon, value = pair.partition(":")
            if not (colon and step.isascii() and step.isdecimal() and len(step) <= 12):
                raise ValueError(f"--schedule {item}: {pair!r} is not of the form STEP:VALUE")
            pairs.append((int(step), number("--schedule", item, name, value, sweepable(config.agent)[field])))
        if pairs[0][0] or any(a[0] >= b[0] for a, b in pairwise(pairs)):
            raise ValueError(f"--schedule {item}: steps must begin with 0 and go up")
        found[field] = pairs
    return found


def at(table: dict[str, list[tuple[int, float]]], steps: int) -> dict[str, float]:
    """The values of a timetable after so many steps."""
    return {name: next(value for step, value in reversed(pairs) if step <= steps) for name, pairs in table.items()}


def completed(config: "Common") -> "Common":
    """The flags, with as many seeds as one population has where no number is given, and a folder's schedule read.

    Raises:
      ValueError: the folder to take a schedule from holds none.
    """
    if config.population and config.seeds == 1:
        config = dataclasses.replace(config, seeds=config.population)
    if len(config.schedule) == 1 and "=" not in config.schedule[0]:
        folder = Path(config.schedule[0])
        try:
            found = lineage.read(folder / LINEAGE)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise ValueError(f"--schedule {folder}: holds no lineage of a population ({why})") from None
        config = dataclasses.replace(config, schedule=lineage.schedule(found))
    return config


def check(config: "Common") -> None:
    """Refuses flags of populations and schedules that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    plain = Population()
    if config.schedule:
        timetable(config)
        for name in ("population", "sweep", "actors"):
            if getattr(config, name, None):
                raise ValueError(f"--schedule {' '.join(config.schedule)}: not together with --{name}")
    if not config.population:
        for name in (f.name for f in dataclasses.fields(Population) if f.name.startswith("pbt")):
            if getattr(config, name) != getattr(plain, name):
                value = getattr(config, name)
                shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
                raise ValueError(f"--{name.replace('_', '-')} {shown}: of use only with --population")
        return
    told = f"--population {config.population}"
    if not config.pbt:
        raise ValueError(f"{told}: needs what it is to find, such as --pbt agent.learning-rate=1e-4..1e-2")
    if config.sweep:
        raise ValueError(f"--sweep {' '.join(config.sweep)}: not together with {told}")
    if getattr(config, "actors", None) is not None:
        raise ValueError(f"--actors {config.actors}: not together with {told}")
    if config.seeds % config.population:
        raise ValueError(f"--seeds {config.seeds}: must be a multiple of {told}")
    if not config.pbt_factors:
        raise ValueError("--pbt-factors (empty): give one factor or more")
    if config.pbt_rule == "t-test" and config.eval_episodes < 2:
        raise ValueError(f"--eval-episodes {config.eval_episodes}: must be at least 2 with --pbt-rule t-test")
    for field, (low, high) in bounds(config).items():
        value = getattr(config.agent, field)
        if config.pbt_start == "given" and not low <= value <= high:
            told = f"must lie between the bounds of --pbt, {low:g} and {high:g}"
            raise ValueError(f"--agent.{field.replace('_', '-')} {value:g}: {told}")


def carried(config: "Common") -> dict[str, float]:
    """The flags that agents carry in their states, and what they are where nothing else is said; `{}` for most runs."""
    if config.schedule:
        return at(timetable(config), 0)
    return {name: getattr(config.agent, name) for name in bounds(config)} if config.population else {}


def corners(config: "Common") -> list[dict[str, float]]:
    """Values that a run may meet, for `Experiment.check`: each bound, or each value of a schedule, beside the others'.

    One point without anything where no flag is carried.
    """
    defaults = carried(config)
    table = timetable(config) if config.schedule else {}
    ends = {name: [v for _, v in pairs] for name, pairs in table.items()}
    ends = ends or {name: list(pair) for name, pair in bounds(config).items()}
    found = [{**defaults, name: value} for name, values in ends.items() for value in values]
    return found or [{}]


def begin_with(config: "Common", runs: int) -> "dict[str, np.ndarray]":
    """The numbers that runs begin with, float32 `[R]` by name."""
    import jax
    import numpy as np

    from agents.common import populations
    from envs import keys

    defaults = carried(config)
    if config.population and config.pbt_start == "drawn":
        each = jax.random.split(jax.random.fold_in(keys.key(config.seed), 3_000_017), len(defaults))
        return {
            name: np.asarray(populations.drawn(key, populations.Bounds(*bounds(config)[name]), (runs,)), np.float32)
            for name, key in zip(sorted(defaults), each, strict=True)
        }
    return {name: np.full(runs, value, np.float32) for name, value in defaults.items()}
