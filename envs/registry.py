"""Environments by name: `suite/id`. Importing this module imports no simulator and no task."""

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from numbers import Integral
from types import NoneType, UnionType
from typing import Any, get_args

from envs.base import Environment, HostEnvironment
from envs.host import unknown

# The project's own tasks: id, module and constructor.
TASKS = {
    "arena": ("envs.tasks.arena", "arena"),
    "bandits": ("envs.tasks.bandits", "bandits"),
    "bit-flip": ("envs.tasks.bit_flip", "bit_flip"),
    "catch": ("envs.tasks.catch", "catch"),
    "cartpole": ("envs.tasks.cartpole", "cartpole"),
    "cartpole-no-velocity": ("envs.tasks.partly_hidden", "cartpole_no_velocity"),
    "cartpole-swingup": ("envs.tasks.swingup", "swingup"),
    "cartpole-swingup-no-velocity": ("envs.tasks.partly_hidden", "swingup_no_velocity"),
    "card-pairs": ("envs.tasks.card_pairs", "card_pairs"),
    "connect-four": ("envs.tasks.board", "connect_four"),
    "continuous-lid-box": ("envs.tasks.lid_box", "continuous_lid_box"),
    "continuous-cross": ("envs.tasks.cross", "continuous_cross"),
    "copy": ("envs.tasks.copy", "copy"),
    "cross": ("envs.tasks.cross", "cross"),
    "deep-sea": ("envs.tasks.deep_sea", "deep_sea"),
    "door-key": ("envs.tasks.door_key", "door_key"),
    "drifting-worker": ("envs.tasks.drifting_worker", "drifting_worker"),
    "dyna-maze": ("envs.tasks.dyna_maze", "dyna_maze"),
    "entity-games": ("envs.tasks.entity_games", "entity_games"),
    "far-reward": ("envs.tasks.far_reward", "far_reward"),
    "flickering-catch": ("envs.tasks.partly_hidden", "flickering_catch"),
    "four-rooms": ("envs.tasks.four_rooms", "four_rooms"),
    "grid": ("envs.tasks.grid", "grid"),
    "grid-maps": ("envs.tasks.grid_maps", "grid_maps"),
    "hanging-load": ("envs.tasks.hanging_load", "hanging_load"),
    "harlow": ("envs.tasks.harlow", "harlow"),
    "i-maze": ("envs.tasks.i_maze", "i_maze"),
    "instruction-grid": ("envs.tasks.instruction_grid", "instruction_grid"),
    "integer-line": ("envs.tasks.steps_to_goal", "integer_line"),
    "key-to-door": ("envs.tasks.key_to_door", "key_to_door"),
    "key-maze": ("envs.tasks.key_maze", "key_maze"),
    "lid-box": ("envs.tasks.lid_box", "lid_box"),
    "memory-chain": ("envs.tasks.memory_chain", "memory_chain"),
    "minipacman": ("envs.tasks.minipacman", "minipacman"),
    "moving-bandits": ("envs.tasks.moving_bandits", "moving_bandits"),
    "noise": ("envs.tasks.noise", "noise"),
    "noisy-tv": ("envs.tasks.noisy_tv", "noisy_tv"),
    "one-shot": ("envs.tasks.one_shot", "one_shot"),
    "pendulum": ("envs.tasks.pendulum", "pendulum"),
    "point-goals": ("envs.tasks.point_goals", "point_goals"),
    "point-mass": ("envs.tasks.steps_to_goal", "point_mass"),
    "point-maze": ("envs.tasks.point_maze", "point_maze"),
    "pointmaze-large": ("envs.tasks.ogbench_maze", "large"),
    "pointmaze-medium": ("envs.tasks.ogbench_maze", "medium"),
    "pixel-catch": ("envs.tasks.pixel_catch", "pixel_catch"),
    "probe-constant": ("envs.tasks.probes", "constant"),
    "probe-observation": ("envs.tasks.probes", "observation"),
    "probe-two-step": ("envs.tasks.probes", "two_step"),
    "probe-action": ("envs.tasks.probes", "action"),
    "probe-both": ("envs.tasks.probes", "both"),
    "random-mdps": ("envs.tasks.random_mdps", "random_mdps"),
    "six-states": ("envs.tasks.six_states", "six_states"),
    "sign-grid": ("envs.tasks.sign_grid", "sign_grid"),
    "sokoban": ("envs.tasks.sokoban", "sokoban"),
    "room-maze": ("envs.tasks.room_maze", "room_maze"),
    "repeat-previous": ("envs.tasks.repeat_previous", "repeat_previous"),
    "sprite-maps": ("envs.tasks.sprite_maps", "sprite_maps"),
    "t-maze": ("envs.tasks.t_maze", "t_maze"),
    "teleport-maze": ("envs.tasks.teleport_maze", "teleport_maze"),
    "tic-tac-toe": ("envs.tasks.board", "tic_tac_toe"),
    "unicycle": ("envs.tasks.unicycle", "unicycle"),
    "two-step": ("envs.tasks.two_step", "two_step"),
}
IDS: dict[str, Callable[[], Iterable[str]]] = {
    "bellmax": lambda: TASKS,
    "gymnax": lambda: import_module("envs.adapters.gymnax").ids(),
    "envpool": lambda: import_module("envpool").list_all_envs(),
    "gymnasium": lambda: import_module("gymnasium").registry,
    "atari": lambda: import_module("envs.adapters.atari").games(),
    "mujoco": lambda: import_module("envs.adapters.mujoco").ids(),
    "meta": lambda: import_module("envs.adapters.meta").ids(),
}
PACKAGES = {"atari": "envpool", "meta": "envpool"}
"""What a suite needs, where it is not a package of the suite's name."""
LIMITS = {
    **dict.fromkeys(("gymnasium", "envpool", "atari"), "max_episode_steps"),
    "gymnax": "max_steps_in_episode",
    **dict.fromkeys(("mujoco", "meta"), "time_limit"),
}
"""The option that limits episodes, of the suites whose tasks share one."""
SUITES = tuple(IDS)


def suites() -> tuple[str, ...]:
    """The suites that `make` knows: "bellmax" and "gymnax" run in graph, the others outside it."""
    return SUITES


def names(suite: str) -> tuple[str, ...]:
    """Every task of a suite as `suite/id`, in order. Imports their package for envpool, gymnasium and atari.

    Raises:
      ValueError: unknown suite, or its package is not installed.
    """
    if suite not in SUITES:
        raise unknown("suite", suite, SUITES)
    return tuple(f"{suite}/{id}" for id in sorted(_installed(suite, IDS[suite])))


def make(name: str, **options: Any) -> Environment | HostEnvironment:
    """The task of that name.

    Args:
      name: `bellmax/<task>`, `gymnax/<id>`, `envpool/<id>`, `atari/<game>`, `mujoco/<id>`, `meta/<id>` or
        `gymnasium/<id>`; `gymnasium/<module>:<id>` for a task that your `<module>` registers; `<module>:<function>` for
        a task in JAX that your function returns as an `Environment`.
      **options: of the task's constructor, or of its suite's adapter.

    Returns:
      An `Environment` from the first two suites and of your own functions, which run in graph, a `HostEnvironment`
      from the others.

    Raises:
      ValueError: unknown suite, task (answered with the closest names) or option, a bad value, or a missing package.
    """
    suite, _, id = name.partition("/")
    if ":" in suite:
        return own(name, options)
    if suite not in SUITES or not id:
        raise unknown(
            f"environment (a name is suite/id, with a suite of {', '.join(SUITES)}, or module:function)",
            name,
            _all_names(),
        )
    if suite == "bellmax":
        if id not in TASKS:
            raise unknown("bellmax task", id, TASKS)
        module, function = TASKS[id]
        constructor = getattr(import_module(module), function)
        _check_options(name, inspect.signature(constructor).parameters, options)
    else:
        constructor = partial(getattr(import_module(f"envs.adapters.{suite}"), suite), id)
    try:
        env = _installed(suite, lambda: constructor(**options))
    except TypeError as error:  # a value of the wrong type, or an option that an adapter takes otherwise
        raise ValueError(f"{name} refuses the options {options}: {error}") from error
    return env._replace(spec=env.spec._replace(name=name))


def own(name: str, options: dict[str, Any]) -> Environment:
    """The task in JAX that a function of the user's returns.

    Args:
      name: `module:function`; the module is found from the folder that the program is run in.
      options: arguments of the function.

    Raises:
      ValueError: there is no such module or function, it takes no such option, or returns no `Environment`. What the
        module or the function itself raises is left as it is.
    """
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise ValueError(f"environment {name!r}: write module:function, such as my_tasks:corridor")
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module and not module.startswith(f"{error.name}."):
            raise
        raise ValueError(f"environment {name!r}: there is no module {module} on the path of Python") from None
    constructor = getattr(found, function, None)
    if not callable(constructor):
        there = [n for n, x in vars(found).items() if callable(x) and getattr(x, "__module__", "") == module]
        raise ValueError(
            f"environment {name!r}: {module} has no {function}; its functions: {', '.join(there) or 'none'}"
        )
    _check_options(name, inspect.signature(constructor).parameters, options)
    env = constructor(**options)
    if not isinstance(env, Environment):
        raise ValueError(f"environment {name!r}: returns {type(env).__name__}; allowed: an envs.Environment")
    return env._replace(spec=env.spec._replace(name=name))


def _check_options(name: str, known: Mapping[str, inspect.Parameter], options: dict[str, Any]) -> None:
    """Refuses options that a constructor does not have, and fractions where it takes whole numbers."""
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"{name} has no option {option!r}; allowed: {', '.join(known) or 'none'}")
        _check_whole(f"{name}: option {option}", known[option].annotation, value)


def limiting_option(name: str) -> str | None:
    """The option that gives a task `suite/id` a time limit; None if there is none, or it is no task of a suite."""
    suite, _, id = name.partition("/")
    if suite == "bellmax" and id in TASKS:
        module, function = TASKS[id]
        parameters = inspect.signature(getattr(import_module(module), function)).parameters
        return "time_limit" if "time_limit" in parameters else None
    return LIMITS.get(suite)


def _check_whole(what: str, annotation: Any, value: Any) -> None:
    """Refuses fractions and booleans where a constructor is annotated with int or with a tuple of int."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    several = tuple[int, ...] in kinds
    if (not several and int not in kinds) or (value is None and NoneType in kinds):
        return
    numbers = value if several and isinstance(value, tuple | list) else [value]
    if not all(isinstance(number, Integral) and not isinstance(number, bool) for number in numbers):
        raise ValueError(f"{what} is {value!r}; allowed: a whole number{', or several' if several else ''}")


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """Options for `make` from a command line: `["size=8", "random=true"]` is `{"size": 8, "random": True}`.

    A value is a Python literal, `true`, `false` or `none` in any case, and otherwise a string.

    Raises:
      ValueError: a word that is not `name=value`, or a name given twice.
    """
    options: dict[str, Any] = {}
    for word in words:
        option, equals, value = word.partition("=")
        if not equals or not option.isidentifier():
            raise ValueError(f"environment option is {word!r}; allowed: name=value")
        if option in options:
            raise ValueError(f"environment option {option!r} is given twice")
        options[option] = _literal(value)
    return options


def _literal(text: str) -> Any:
    constants = {"true": True, "false": False, "none": None}
    if text.lower() in constants:
        return constants[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _all_names() -> list[str]:
    """What can be named without installing anything more."""
    found: list[str] = []
    for suite in SUITES:
        with suppress(ValueError):
            found += names(suite)
    return found


def _installed(suite: str, use: Callable[[], Any]) -> Any:
    """`use()`, with a missing package of the suite reported as what to install."""
    package = PACKAGES.get(suite, suite)
    try:
        return use()
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ValueError(f"suite {suite!r} needs the package {package}: pip install {package}") from error
