"""Demonstrations that commands imitate: by the task's analytic expert, by one who plans, or from a file."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import run

PLANNERS = ("optimal", "soft")
KNOWN = ("analytic", *PLANNERS)


@dataclass(frozen=True)
class Shown:
    """Flags of demonstrations."""

    expert: str = "analytic"
    """Who is imitated: the task's analytic expert; of tasks that are tables with known rules, one who plans, `optimal`
    or `soft`; or a file of experiments.collect."""
    demonstrations: run.Count = 5
    """Episodes that are shown; of a file, its first ones."""
    every: run.Count = 1
    """Learn from every so many steps of a demonstration, from a step on that is drawn for each."""


def check(config: Shown, spec: Any, size: run.Size) -> None:
    """Refuses experts that there are not, and files that do not fit the task.

    Raises:
      ValueError: naming the flag.
    """
    import envs
    from envs.base import Environment
    from envs.experts import expert_of

    told = f"--agent.expert {config.expert}"
    if config.expert in PLANNERS:
        parts_of_tables(told, spec, size)
    elif config.expert == "analytic":
        if expert_of(spec.name) is None:
            raise ValueError(f"{told}: {spec.name} has no analytic expert; give a file of experiments.collect")
        if not isinstance(envs.make(spec.name), Environment) or not spec.time_limit:
            raise ValueError(f"{told}: {spec.name} is no task in graph with a time limit; give a file instead")
    else:
        recorded(config, spec)


def parts_of_tables(told: str, spec: Any, size: run.Size) -> None:
    """Refuses tasks that nobody can plan on.

    Raises:
      ValueError: beginning with `told`.
    """
    from experiments.parts import builders

    try:
        builders.check_tabular(spec, size)
    except ValueError as error:
        raise ValueError(f"{told}: {error}") from None
    if spec.rules is None or not spec.time_limit:
        raise ValueError(f"{told}: {spec.name} has no rules to plan with, or no time limit; allowed: bellmax/grid")


def recorded(config: Shown, spec: Any) -> Any:
    """The demonstrations of a file, as single transitions `[2, M]` of numpy arrays, and the episode of each `[M]`.

    Raises:
      ValueError: it is no file, cannot be read, is of another task, or has too few episodes.
    """
    import jax
    import numpy as np

    from replay import dataset, files

    told = f"--agent.expert {config.expert}"
    if not Path(config.expert).is_file():
        raise ValueError(f"{told}: is no file; allowed: {', '.join(KNOWN)}, or a file of experiments.collect")
    try:
        found = files.load(config.expert)
        dataset.fits(found, spec, config.expert)
    except ValueError as error:
        raise ValueError(f"--agent.expert {error}") from None
    if found.episodes < config.demonstrations:
        raise ValueError(
            f"--agent.demonstrations {config.demonstrations}: {config.expert} has {found.episodes} episodes"
        )
    begins = found.begins[: config.demonstrations + 1]
    opens = np.concatenate([np.arange(a, b - 1) for a, b in itertools.pairwise(begins)])
    which = np.searchsorted(begins, opens, side="right") - 1
    return jax.tree.map(lambda x: np.stack([x[opens], x[opens + 1]]), found.rows), which


def shown(config: Shown, spec: Any, discount: Any = 0.9) -> Callable[[Any], Any]:
    """`(key) -> demonstrations` as single transitions `[2, M]`; planners plan with the discount."""

    def transitions(key: Any) -> Any:
        import jax
        import jax.numpy as jnp

        k_play, k_thin = jax.random.split(key)
        if config.expert in KNOWN:
            play = analytic if config.expert == "analytic" else planned
            rows = play(config, spec, k_play, discount)
            length = rows.timestep.reward.shape[0] - 1
            pairs = jax.tree.map(lambda x: jnp.stack([x[:-1], x[1:]]), rows)
            offset = jax.random.randint(k_thin, (config.demonstrations,), 0, config.every)
            time = offset[None] + jnp.arange(0, length - config.every + 1, config.every)[:, None]
            pick = lambda x: x[:, time, jnp.arange(config.demonstrations)[None]]  # noqa: E731
            return jax.tree.map(lambda x: pick(x).reshape(2, -1, *x.shape[3:]), pairs)
        pairs, which = recorded(config, spec)
        keep = max(1, len(which) // config.every)
        order = jnp.linspace(0, len(which) - 1, keep).astype(jnp.int32) if config.every > 1 else jnp.arange(len(which))
        return jax.tree.map(lambda x: jnp.asarray(x)[:, order], pairs)

    return transitions


def analytic(config: Shown, spec: Any, key: Any, discount: Any) -> Any:
    """Rows `[T + 1, N]` of the task's analytic expert, with a task made afresh from its name."""
    import jax

    import envs
    from agents.base import Step
    from envs.experts import expert_of

    del discount
    env: Any = envs.make(spec.name)
    act: Any = getattr(expert_of(spec.name), "act", None)

    def one(key: Any) -> Any:
        def step(state: Any, _: None) -> Any:
            inner, timestep = state
            action = act(timestep.observation)
            return env.step(inner, action), Step(timestep, action)

        return jax.lax.scan(step, env.reset(key), None, spec.time_limit + 1)[1]

    return jax.vmap(one, out_axes=1)(jax.random.split(key, config.demonstrations))


def planned(config: Shown, spec: Any, key: Any, discount: Any) -> Any:
    """Rows `[T + 1, N]` of an expert who plans with the task's rules, from states that are drawn."""
    import jax

    from agents.world import tables

    states, actions = spec.observation.num, spec.action.num
    k_task, k_show = jax.random.split(key)
    model, pays = tables.drawn(spec.rules, states, actions, k_task)
    plan = tables.plan if config.expert == "optimal" else tables.soft_plan
    policy = plan(model, pays, discount=discount).policy
    return tables.demonstrated(spec.rules, model.initial, policy, k_show, config.demonstrations, spec.time_limit)
