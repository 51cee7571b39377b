"""A page for every command: what it trains, its flags with their ranges and defaults, its presets. Nothing runs."""

import ast
import dataclasses
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from reference import ROOT, cell, source, text_of

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from experiments import list as listing
from experiments import run
from experiments.run.ranges import Range

TOOLS = {
    "benchmark": "benchmark.Config",
    "collect": "collect.Config",
    "compare": "compare.Config",
    "evaluate": "run.evaluation.Flags",
    "tune": "tune.Config",
}
"""Commands that train nothing, and the dataclass of their flags where they have one."""
WORDS = {bool: "yes or no", int: "whole number", float: "number", str: "text", Path: "path", type(None): "nothing"}


@cache
def names() -> tuple[str, ...]:
    """All commands, those that train first."""
    return (*listing.systems(), *listing.tools())


def pages() -> dict[str, str]:
    """The text of each command's page, by its place in the site."""
    found = {f"commands/{name}.md": system(name) for name in listing.systems()}
    found |= {f"commands/{name}.md": tool(name) for name in listing.tools()}
    return found | {"commands/index.md": index()}


def index() -> str:
    """All commands in a table."""
    rows = []
    for name, line in listing.systems().items():
        page = listing.page_of(name).removeprefix("docs/")
        rows.append(f"| [`{name}`]({name}.md) | {cell(line)} | {f'[evidence](../{page})' if page else ''} |")
    tools = [f"| [`{name}`]({name}.md) | {cell(line)} | |" for name, line in listing.tools().items()]
    text = (
        "# Commands\n\nEvery command is typed `python -m experiments.NAME`, or `bellmax NAME` where bellmax is "
        "installed. Each page lists the flags that are particular to the command, then those that all experiments "
        "share. The pages are made from the same declarations as `--help`.\n\n"
    )
    head = "| command | what it does | |\n|---|---|---|\n"
    return f"{text}## Systems\n\n{head}{chr(10).join(rows)}\n\n## Tools\n\n{head}{chr(10).join(tools)}\n"


def system(name: str) -> str:
    """The page of a command that trains."""
    experiment = import_module(f"experiments.{name}").experiment
    about = inspect.getdoc(experiment.flags) or ""
    page = listing.page_of(name).removeprefix("docs/")
    links = [f"[evidence](../{page})"] if page else []
    if (ROOT / "agents" / f"{name}.py").exists():
        links.append(f"[the agent](../reference/agents/{name}.md)")
    text = f"# {name}\n\n```sh\npython -m experiments.{name}\n```\n\n{about}\n\n{' · '.join(links)}\n\n"
    defaults = experiment.flags()
    base = run.Offline if issubclass(experiment.flags, run.Offline) else run.Common
    shared = {field.name: field.default for field in dataclasses.fields(base)}
    fields = [field.name for field in dataclasses.fields(experiment.flags) if field.name != "agent"]
    own = [field for field in fields if field not in shared or getattr(defaults, field) != shared[field]]
    rest = [field for field in fields if field not in own]
    inner = [field.name for field in dataclasses.fields(defaults.agent)]
    text += f"## Flags of the agent\n\n{table(defaults.agent, inner, 'agent.')}\n"
    if own:
        text += f"## Flags of the command\n\n{table(defaults, own)}\n"
    if experiment.presets:
        text += "## Presets\n\n`--preset NAME` takes the defaults of a preset; flags given beside it win.\n\n"
        for preset, values in experiment.presets.items():
            rows = "\n".join(f"| `{run.flag(flag)}` | {shown(value)} |" for flag, value in values.items())
            text += f"### {preset}\n\n| flag | value |\n|---|---|\n{rows}\n\n"
    return text + f"## Flags of every experiment\n\n{table(defaults, rest)}\n{source(f'experiments/{name}.py')}"


def tool(name: str) -> str:
    """The page of a command that trains nothing."""
    module = import_module(f"experiments.{name}")
    text = f"# {name}\n\n{inspect.cleandoc(module.__doc__ or '')}\n\n"
    if name not in TOOLS:
        return text
    where, _, kind = TOOLS[name].rpartition(".")
    flags = getattr(import_module(f"experiments.{where}"), kind)
    return f"{text}## Flags\n\n{table(flags, [field.name for field in dataclasses.fields(flags)])}"


def table(config: Any, fields: list[str], prefix: str = "") -> str:
    """Flags as a table.

    Args:
      config: an instance of their dataclass, whose values are the defaults, or the dataclass.
      fields: which of them.
      prefix: before each name.
    """
    kind = config if isinstance(config, type) else type(config)
    hints, told = get_type_hints(kind, include_extras=True), dict(documentation(kind))
    declared = {field.name: field.default for field in dataclasses.fields(kind)}
    lines = ["| flag | values | default | what it does |", "|---|---|---|---|"]
    for field in fields:
        default = declared[field] if isinstance(config, type) else getattr(config, field)
        name = run.flag(prefix + field) if default is not dataclasses.MISSING else field.upper()
        lines.append(f"| `{name}` | {cell(values(hints[field]))} | {shown(default)} | {cell(told[field])} |")
    return "\n".join(lines) + "\n"


def documentation(kind: type) -> Iterator[tuple[str, str]]:
    """What stands behind each field of a dataclass, those of its bases first."""
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            body = ast.parse(inspect.getsource(base)).body[0].body  # type: ignore[attr-defined]
            for node, after in zip(body, [*body[1:], None], strict=True):
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and text_of(after):
                    yield node.target.id, text_of(after)


def values(kind: Any) -> str:
    """The values of a type, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        allowed = next((note for note in parts[1:] if isinstance(note, Range)), None)
        bounded = allowed is not None and not (allowed.low < -1 and not allowed.infinite)
        return f"{values(parts[0])}, {allowed}" if bounded else values(parts[0])
    if origin in (Union, UnionType):
        return " or ".join(map(values, parts))
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in parts)
    if origin is tuple:
        return f"list, each {values(parts[0])}"
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def shown(value: Any) -> str:
    """A default as it would be typed."""
    if value is dataclasses.MISSING:
        return "required"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        value = " ".join(map(str, value))
    return f"`{cell(str(value))}`" if str(value) else "none"
