"""The flags that experiments share, how they are checked, and how sweeps are read. No JAX here: `--help` is fast."""

import dataclasses
import inspect
import itertools
import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, get_type_hints

from experiments import reports
from experiments.run import actors, population, ranges

Config = TypeVar("Config")
if TYPE_CHECKING:
    Chosen = TypeVar("Chosen", bound="Common | Offline")


@dataclass(frozen=True)
class Task:
    """Flags of what is trained on, and how often."""

    factorises = False
    """Whether updates call LAPACK; see `experiments.run.cores.runs_inline`."""
    clones = False
    """Whether recorded actions are imitated row by row, so that rows may have been left out between them."""

    preset: str = ""
    """Take the defaults of this preset; flags given beside it win."""
    env: str = "bellmax/catch"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    env_options: tuple[str, ...] = ()
    """Options that the task is made with, as name=value."""
    eval_env_options: tuple[str, ...] = ()
    """Options that the task has besides, or instead, when policies are evaluated: a goal that is far, for instance."""
    seeds: ranges.Count = 1
    """Number of runs trained side by side, with seeds `seed`, `seed` + 1 and so on."""
    seed: ranges.Whole = 0
    """Seed of the first run; further runs count on from it."""


@dataclass(frozen=True)
class Acting:
    """Flags of how long is acted, in how many environments."""

    steps: ranges.Steps = 100_000
    """Environment steps that each seed trains for."""
    schedule_steps: ranges.Whole = 0
    """Environment steps over which step sizes, epsilon and the like are annealed; 0 for `steps`. A run that is resumed
    with more steps keeps the end that it had."""
    reschedule: bool = False
    """Anneal a run that is resumed with more steps over all of them, which takes annealed values back."""
    num_envs: ranges.Count = 8
    """Environments (lanes) per seed."""
    data: str = ""
    """Recorded episodes to learn from beside what is played, of agents with a replay that draws uniformly: a file as
    `experiments.collect` writes it, or minari/ID."""
    data_share: ranges.Share = 0.5
    """Share of every batch that is drawn from `data`; with half of it the run is RLPD's."""


@dataclass(frozen=True)
class Data:
    """Flags of what is learned from, and how long, where nothing is acted."""

    dataset: str = ""
    """Recorded episodes to learn from: a file as `experiments.collect` writes it, or minari/ID."""
    updates: ranges.Steps = 100_000
    """Updates that each seed trains for."""
    schedule_updates: ranges.Whole = 0
    """Updates over which step sizes and the like are annealed; 0 for `updates`. A run that is resumed with more updates
    keeps the end that it had."""
    reschedule: bool = False
    """Anneal a run that is resumed with more updates over all of them, which takes annealed values back."""
    online: bool = False
    """Act too: a step in each environment before every update, kept beside the dataset; usually with `start_from`."""
    online_envs: ranges.Count = 1
    """Environments (lanes) per seed and device that are acted in with `online`."""
    online_buffer: ranges.Count = 100_000
    """Steps of what is played that are kept with `online`."""
    online_share: ranges.Share = 0.5
    """Share of every batch that is still drawn from the dataset with `online`."""


@dataclass(frozen=True)
class Keeping:
    """Flags of devices, logs, evaluations and the run folder."""

    devices: ranges.Count = 1
    """Devices that train each seed together, data-parallel. With 1, seeds are shared out over all devices."""
    eval_every: ranges.Whole = 0
    """Environment steps per seed between greedy evaluations; 0 for a twentieth of `steps`."""
    eval_episodes: ranges.Count = 32
    """Episodes that an evaluation plays, per seed."""
    log_every: ranges.Whole = 0
    """Environment steps per seed between log points; 0 for a hundredth of `steps`, at most 50,000."""
    checkpoint_every: ranges.Whole = 0
    """Environment steps per seed between checkpoints; 0 for every evaluation."""
    keep: ranges.Count = 3
    """Number of checkpoints that are kept, the newest ones."""
    out: str = ""
    """Run folder, new or empty; by default a fresh one under runs/."""
    resume: str = ""
    """A run folder to continue. Flags not given are its own; only `steps` and what is shown or kept may change."""
    start_from: str = ""
    """A run folder whose agents' states, of the newest checkpoint, this run begins with: offline, then online."""
    trust: bool = False
    """Run code that lies in the folder to resume, or call a task's function that lies elsewhere than here."""
    nan: Literal["stop", "continue"] = "stop"
    """What to do on a loss that is not finite: stop the run, or go on with the other seeds."""
    sweep: tuple[str, ...] = ()
    """Grid over real-numbered agent flags, trained in one compilation, such as agent.learning-rate=1e-3,3e-4."""
    wandb: bool = False
    """Also log to Weights & Biases (if installed): a run for each seed, in a group named as the run folder."""
    wandb_project: str = "bellmax"
    """Project of the W&B runs."""
    wandb_tags: tuple[str, ...] = ()
    """Tags of the W&B runs."""
    quiet: bool = False
    """Show no progress bar and print nothing."""

    if TYPE_CHECKING:

        @property
        def agent(self) -> Any:
            """The agent's flags, a field of each experiment's."""


@dataclass(frozen=True)
class Common(actors.Actors, population.Population, Keeping, Acting, Task):
    """Flags of every experiment that acts."""

    counted = "steps"
    """What the length of a run, its intervals and its schedules are counted in, and the flag of the length."""


@dataclass(frozen=True)
class Offline(population.Population, Keeping, Data, Task):
    """Flags of every experiment that learns from recorded episodes alone."""

    counted = "updates"

    env: str = ""
    """Task of the evaluations, as suite/id; by default the one that the dataset names."""
    eval_every: ranges.Whole = 0
    """Updates per seed between greedy evaluations; 0 for a twentieth of `updates`."""
    log_every: ranges.Whole = 0
    """Updates per seed between log points; 0 for a hundredth of `updates`, at most 50,000."""
    checkpoint_every: ranges.Whole = 0
    """Updates per seed between checkpoints; 0 for every evaluation."""
    resume: str = ""
    """A run folder to continue. Flags not given are its own; only `updates` and what is shown or kept may change."""

    @property
    def steps(self) -> int:
        """The length of the run in what it is counted in."""
        return self.updates

    @property
    def schedule_steps(self) -> int:
        """The length of its schedules likewise."""
        return self.schedule_updates

    @property
    def num_envs(self) -> int:
        """Lanes of a seed; where nothing is acted one on each device, of which nothing but shapes is known."""
        return self.online_envs * self.devices if self.online else self.devices

    @property
    def data_share(self) -> float:
        """What of a batch is drawn from the dataset where it is acted too."""
        return self.online_share


CHANGEABLE = (
    *actors.CHANGEABLE,
    "steps",
    "schedule_steps",
    "updates",
    "schedule_updates",
    "reschedule",
    "out",
    "resume",
    "trust",
    "quiet",
    "wandb",
    "wandb_project",
    "wandb_tags",
    "keep",
    "checkpoint_every",
    "nan",
)
"""Flags that may change when a run is resumed."""


Presets = Mapping[str, Mapping[str, Any]]
"""Named defaults: name -> flag -> value, a flag written as a field, such as `num_envs` or `agent.learning_rate`."""


def parse(
    kind: "type[Chosen]", argv: list[str], prog: str, presets: Presets = MappingProxyType({}), name: str = ""
) -> "Chosen":
    """Reads `kind` from the command line.

    With `--preset NAME`, on top of that preset; with `--resume RUN`, on top of the flags that RUN was started with, a
    preset's among them.

    Raises:
      ValueError: there is no such preset, the folder to resume holds no run of this experiment, or flags that shape the
        run differ from it.
    """
    import tyro

    folder = given(argv, "--resume")
    if not folder:
        about = inspect.getdoc(kind) or ""
        if presets:
            about += f"\n\nPresets: {', '.join(presets)}. `--preset NAME --help` shows what one sets."
        chosen = given(argv, "--preset")
        default = preset(kind, chosen, presets)
        default = default if chosen else for_task(default, given(argv, "--env"))
        return tyro.cli(kind, args=argv, prog=prog, description=about, default=default)
    stored = stored_for_resume(kind, folder, name or prog.rpartition(".")[2])
    return resumable(stored, tyro.cli(kind, args=argv, prog=prog, default=stored), folder)


def for_task(default: "Chosen", env: str) -> "Chosen":
    """Defaults without the options of their task where another one is asked for, which may not have them.

    A preset's stay, since they may be of a suite, as those of Atari's games are.
    """
    if not env or env == default.env:
        return default
    return dataclasses.replace(default, env_options=(), eval_env_options=())


def stored_for_resume(kind: type[Config], folder: str, name: str) -> Config:
    """The flags of a run to resume, without those that belong to one start.

    Raises:
      ValueError: there is no readable config.json, or it is a run of another experiment than `name`.
    """
    started = contents(Path(folder))["experiment"]
    if started != name:
        raise ValueError(f"--resume {folder}: it is a run of {started}, not of {name}")
    stored: Any = load(kind, Path(folder))
    return dataclasses.replace(stored, out="", resume="", reschedule=False, trust=False)


def resumable(stored: Any, chosen: Any, folder: str) -> Any:
    """The flags to go on with. Where steps are added, schedules keep the end that they had, unless told otherwise.

    Raises:
      ValueError: flags that shape the run were changed, or there are fewer steps than before.
    """
    before, now = flat(stored), flat(chosen)
    differing = [name for name in now if now[name] != before[name] and name not in CHANGEABLE]
    if differing:
        changes = ", ".join(f"{flag(name)} was {before[name]!r}, is {now[name]!r}" for name in differing)
        raise ValueError(f"--resume {folder}: the run was started with other flags: {changes}")
    counted, schedule = chosen.counted, f"schedule_{chosen.counted}"
    if chosen.steps < stored.steps:
        raise ValueError(f"--{counted} {chosen.steps}: the run to resume has {stored.steps}; give as many or more")
    if chosen.reschedule:
        return dataclasses.replace(chosen, **{schedule: 0})
    if chosen.steps > stored.steps and not chosen.schedule_steps:
        return dataclasses.replace(chosen, **{schedule: stored.steps})
    return chosen


def given(argv: list[str], name: str) -> str:
    """The value of a flag on the command line, the empty string if it is not there."""
    spaced = next((b for a, b in itertools.pairwise(argv) if a == name), "")
    return spaced or next((a.partition("=")[2] for a in argv if a.startswith(f"{name}=")), "")


def preset(kind: type[Config], name: str, presets: Presets) -> Config:
    """The defaults of `kind` under a preset; its own for the empty name.

    Raises:
      ValueError: there is no such preset, or it sets a flag that `kind` does not have.
    """
    if not name:
        return kind()
    if name not in presets:
        raise ValueError(f"--preset {name}: not one of this experiment's: {', '.join(presets) or 'it has none'}")
    values = {field: value for field, value in presets[name].items() if not field.startswith("agent.")}
    agent = {field.removeprefix("agent."): value for field, value in presets[name].items() if field not in values}
    config: Any = kind()
    for part, chosen, prefix in ((config, values, ""), (config.agent, agent, "agent.")):
        for field in chosen.keys() - {field.name for field in dataclasses.fields(part)}:
            raise ValueError(f"--preset {name}: there is no flag {flag(prefix + field)}")
    return dataclasses.replace(config, **values, agent=dataclasses.replace(config.agent, **agent))


def contents(folder: Path) -> dict[str, Any]:
    """A run folder's config.json.

    Raises:
      ValueError: there is no readable one.
    """
    try:
        content = json.loads(reports.files.read(folder / "config.json"))
        found = {
            "experiment": content["experiment"],
            "file": content.get("file"),
            "flags": content["flags"],
            "starts": content.get("starts") or [{k: content[k] for k in OLD_START if k in content}],
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        told = f"{type(error).__name__}: {reports.files.plain(error, 160)}"
        raise ValueError(f"{folder} is not a run folder: no readable config.json in it ({told})") from None
    for name, good, allowed in (
        ("experiment", _is_name(found["experiment"]), "the name of an experiment"),
        ("file", found["file"] is None or _is_name(found["file"], 4096), "null or the name of a file"),
        ("flags", isinstance(found["flags"], dict), "an object"),
        ("starts", _is_objects(found["starts"]), "a list of objects"),
    ):
        if not good:
            raise ValueError(
                f"{folder / 'config.json'}: {name} is {reports.files.plain(found[name])}; must be {allowed}"
            )
    return found


def _is_name(value: object, most: int = 80) -> bool:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= most


def _is_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


OLD_START = ("git_commit", "versions", "device")
"""What config.json had beside the flags before it listed every start of a run."""


def load(kind: type[Config], folder: Path) -> Config:
    """The flags that a run was started with.

    Raises:
      ValueError: there is no readable config.json, or what it says of a flag is not what the flag can be.
    """
    stored = contents(folder)["flags"]
    try:
        config = rebuild(kind, stored)
        ranges.check(config)
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from None
    return config


def rebuild(kind: type[Config], stored: Mapping[str, Any], prefix: str = "") -> Config:
    """A dataclass, nested ones included, from what `dataclasses.asdict` gave and JSON made of it.

    Flags that are not stored, since they are newer, have their defaults.

    Raises:
      ValueError: naming a flag that there is not, or one with a value that is not of its type, and what is allowed.
    """
    hints = get_type_hints(kind, include_extras=True)
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in stored.items():
        full = reports.files.plain(flag(prefix + name))
        if name not in known:
            raise ValueError(f"{full} {reports.files.plain(value)}: there is no such flag{closest(name, known)}")
        if dataclasses.is_dataclass(hints[name]):
            if not isinstance(value, Mapping):
                raise ValueError(f"{full} {reports.files.plain(value)}: must be an object of flags")
            values[name] = rebuild(hints[name], value, f"{prefix}{name}.")
            continue
        try:
            values[name] = ranges.fitted(hints[name], value)
        except ValueError as error:
            raise ValueError(f"{full} {reports.files.plain(json.dumps(value))}: must be {error}") from None
    return kind(**values)


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """All flags of a config, nested ones as `agent.name`."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            found |= flat(value, f"{prefix}{field.name}.")
        else:
            found[prefix + field.name] = value
    return found


def flag(name: str) -> str:
    """A field as it is typed: `agent.learning_rate` -> `--agent.learning-rate`."""
    return "--" + name.replace("_", "-")


def check(config: Common) -> None:
    """Refuses numbers that no run can have.

    Raises:
      ValueError: naming the flag, its value and what is allowed.
    """
    ranges.check(config)
    for name in ("num_envs", "eval_episodes"):
        if getattr(config, name) % config.devices:
            raise ValueError(f"{flag(name)} {getattr(config, name)}: must be a multiple of --devices {config.devices}")
    actors.check(config)
    population.check(config)
    if config.out and config.resume:
        raise ValueError(f"--out {config.out}: not together with --resume, which goes on in its own folder")
    if not config.wandb_project or any(sign in config.wandb_project for sign in "/\\#?%:"):
        told = "must be a name without any of / \\ # ? % :"
        raise ValueError(f"--wandb-project {config.wandb_project!r}: {told}")
    for word in config.wandb_tags:
        if not 1 <= len(word) <= 64:
            raise ValueError(f"--wandb-tags {word!r}: must have 1 to 64 characters")
    for name in () if config.wandb or config.resume else ("wandb_project", "wandb_tags"):
        if getattr(config, name) != getattr(Keeping, name):
            raise ValueError(f"{flag(name)} {getattr(config, name)}: of use only with --wandb")
    if config.wandb and find_spec("wandb") is None:
        raise ValueError("--wandb: needs the package wandb, which is not installed (pip install wandb)")


def grid(config: Common) -> list[dict[str, float]]:
    """The points of `config.sweep`, `[{}]` without one: field of `config.agent` -> value.

    Raises:
      ValueError: not of the form agent.name=a,b; no such flag, or one that is not a real number; a bad value; a flag
        or a value given twice.
    """
    sweepable = population.sweepable(config.agent)
    axes: dict[str, list[float]] = {}
    for item in config.sweep:
        field, name, values = population.entry("--sweep", item, config.agent, "VALUE,VALUE", "swept")
        if field in axes:
            raise ValueError(f"--sweep {item}: {name} is given twice; list all its values after one =")
        try:
            axes[field] = [float(value) for value in values.split(",")]
        except ValueError:
            axes[field] = [math.nan]
        if not all(map(math.isfinite, axes[field])):
            raise ValueError(f"--sweep {item}: {values!r} is not a list of numbers such as 1e-3,3e-4")
        for value in axes[field]:
            wrong = ranges.fault(value, sweepable[field])
            if wrong:
                raise ValueError(f"--sweep {item}: {name}={value:g} {wrong}")
        if len({f"{value:g}" for value in axes[field]}) < len(axes[field]):
            raise ValueError(f"--sweep {item}: values must differ, in the first six digits")
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]


def fail(error: Exception | str, code: int = 2) -> NoReturn:
    """One line on stderr and the exit code, by default that of a command that was not understood."""
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(code)


def closest(name: str, known: Iterable[str]) -> str:
    """What to add to the answer to an unknown name: the names like it, or nothing."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; closest: {', '.join(near)}" if near else ""
