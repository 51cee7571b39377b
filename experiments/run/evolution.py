"""What happens to the numbers that agents carry between two chunks: turns of a population, steps of a schedule."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from agents.base import Tree
from agents.common import populations
from envs import keys
from experiments.drivers import members
from experiments.reports import lineage
from experiments.run import population
from experiments.run.prepare import Prepared, run_seeds


class Evolution(NamedTuple):
    """The turns of a run, or the steps of its schedule; of most runs there is none."""

    begin: Callable[[Any, int | None], None]
    """`(agents, env steps of the state that was restored or None)`: makes or mends what is reported."""
    turn: Callable[[Any, np.ndarray, int], tuple[Any, np.ndarray]]
    """`(agents, scores [R, E], env steps) -> (agents, whether each has copied [R])`."""
    follow: Callable[[Any, int, int], Any]
    """`(agents, env steps before the chunk, and now) -> agents` along the schedule."""
    finish: Callable[[], None]
    """Draws the lineage."""


def evolution(prepared: Prepared) -> Evolution:
    """The evolution of a run."""
    config, lay = prepared.config, prepared.lay
    seeds, path = run_seeds(config, prepared.points), prepared.folder / population.LINEAGE
    bounds = {name: populations.Bounds(*pair) for name, pair in population.bounds(config).items()}
    table = population.timetable(config)
    key = jax.random.fold_in(keys.key(config.seed), 4_000_037)
    how = populations.Explore(config.pbt_factors, config.pbt_resample)
    turns = (
        members.turner(lay, config.population, bounds, rule=config.pbt_rule, share=config.pbt_share, how=how)
        if config.population
        else None
    )

    def begin(agents: Tree, at: int | None) -> None:
        if turns is None:
            return
        lineage.begin(path, list(bounds), at)
        if at is None:
            told(agents, 0, np.full(lay.runs, np.nan), seeds)

    def told(agents: Tree, steps: int, scores: np.ndarray, parents: np.ndarray) -> None:
        values = members.values_of(lay, agents)
        lineage.append(path, steps, seeds.tolist(), parents.tolist(), scores, {name: values[name] for name in bounds})

    def turn(agents: Tree, scores: np.ndarray, steps: int) -> tuple[Tree, np.ndarray]:
        if turns is None:
            return agents, np.zeros(lay.runs, bool)
        own = jax.random.fold_in(jax.random.fold_in(key, steps & 0x7FFFFFFF), steps >> 31)
        agents, parents = turns(agents, np.asarray(scores, np.float32), own)
        told(agents, steps, scores.mean(axis=1), seeds[parents])
        return agents, parents != np.arange(lay.runs)

    def follow(agents: Tree, before: int, steps: int) -> Tree:
        now = population.at(table, steps)
        if now == population.at(table, before):
            return agents
        return members.with_values(lay, agents, {name: np.full(lay.runs, value) for name, value in now.items()})

    def finish() -> None:
        if turns is not None:
            axis = "environment steps per seed" if config.counted == "steps" else "updates per seed"
            title = f"{prepared.experiment.name} on {config.env}, population of {config.population}"
            lineage.draw(lineage.read(path), prepared.folder / population.PICTURE, title, axis)

    return Evolution(begin, turn, follow, finish)
