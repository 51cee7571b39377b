"""Trials that are trained side by side in one compilation, each with values of its own."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from envs import keys
from envs.base import Environment
from experiments.drivers import devices
from experiments.run import prepare

if TYPE_CHECKING:
    from experiments.run.experiment import Experiment
    from experiments.run.flags import Common

Ask = Callable[[], tuple[Any, Mapping[str, float]] | None]
"""`() -> (trial, its values by the agent's field)`, or None if there is none to begin."""
Tell = Callable[[Any, int, float, bool], bool]
"""`(trial, steps, score, whether it is its last) -> whether to go on with it`."""


def prepared(
    experiment: "Experiment", config: "Common", searched: tuple[str, ...], together: int, folder: Path
) -> prepare.Prepared:
    """So many trials side by side, each of `config.seeds` seeds, that carry the numbers to be searched.

    Args:
      experiment: what is trained.
      config: its flags.
      searched: numbers and their bounds, written as for `--pbt`.
      together: trials.
      folder: where it is reported.

    Raises:
      ValueError: naming the flag.
    """
    if not isinstance(prepare.environment(config), Environment):
        raise ValueError(f"--env {config.env}: is around a simulator; trials are trained side by side in graph")
    runs = together * config.seeds
    own: dict[str, Any] = {
        "seeds": runs,
        "population": runs,
        "pbt": searched,
        "pbt_rule": "none",
        "resume": str(folder),
        "quiet": True,
    }
    try:
        return prepare.prepare(experiment, dataclasses.replace(config, **own))
    except ValueError as error:
        raise ValueError(str(error).replace("--pbt ", "--search ")) from None


def train(made: prepare.Prepared, together: int, ask: Ask, tell: Tell) -> None:
    """Trains trials until there are none to begin.

    All trials have the same seeds. One ends when it has had all its steps, or when `tell` says so after one of its
    evaluations; another begins in its place.

    Args:
      made: of `prepared`.
      together: trials side by side.
      ask: for the next trial.
      tell: what the evaluations of a trial gave, NaN if it died.
    """
    plan, loop, lay = made.plan, made.driver.loop, made.lay
    each = lay.runs // together
    seeds = np.tile(made.config.seed + np.arange(each), together)
    rungs = -(-plan.chunks // plan.eval_every)
    keep = devices.mapped(lay, lambda new, a, b: jax.tree.map(lambda x, y: jnp.where(new, x, y), a, b), donate=(2,))
    lanes: list[Any] = [None] * together
    ages = np.zeros(together, int)
    values: dict[str, np.ndarray] = {}
    state: Any = None
    while True:
        fresh = np.zeros(together, bool)
        for lane in range(together):
            found = ask() if lanes[lane] is None else None
            if found is not None:
                lanes[lane], own = found
                fresh[lane], ages[lane] = True, 0
                for name, value in own.items():
                    values.setdefault(name, np.full(together, value, np.float32))[lane] = value
        if all(trial is None for trial in lanes):
            return
        if fresh.any():
            begun = loop.init(keys.key(seeds), {name: np.repeat(x, each) for name, x in values.items()})
            state = begun if state is None else keep(devices.place(lay, np.repeat(fresh, each)), begun, state)
        for _ in range(plan.eval_every):
            state, _ = loop.step(state)
        ages += 1
        which = jax.vmap(jax.random.fold_in)(keys.key(seeds), 1_000_003 + np.repeat(ages, each))
        returns = np.float64(loop.evaluate(loop.actor(state), which)["eval_return"])
        scores = returns.reshape(together, -1).mean(axis=1)
        for lane, trial in enumerate(lanes):
            steps, last = plan.env_steps(int(ages[lane]) * plan.eval_every), bool(ages[lane] >= rungs)
            if trial is not None and (not tell(trial, steps, float(scores[lane]), last) or last):
                lanes[lane] = None
