"""Demonstrations that commands imitate: by the task's analytic expert, by one who plans, or from a file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import run

if TYPE_CHECKING:
    from agents.base import Array, Step, Tree
    from envs.base import Key, Rules
    from replay.dataset import Dataset

    class Tabled(run.Counted):
        """Of a task that is a table with known rules."""

        rules: Rules


PLANNERS = ("optimal", "soft")
KNOWN = ("analytic", *PLANNERS)


@dataclass(frozen=True)
class Shown:
    """Flags of demonstrations."""

    expert: str = "analytic"
    """Who is imitated: the task's analytic expert; of tasks that are tables with known rules, one who plans, `optimal`
    or `soft`; or a file of experiments.collect or minari/ID."""
    temperature: run.Positive = 0.2
    """How far a soft expert errs: its policy is soft-optimal for the task's reward divided by this."""
    demonstrations: run.Count = 5
    """Episodes that are shown; of a file, its first ones."""


def check(config: Shown, spec: "run.Spec", size: run.Size) -> None:
    """Refuses experts that there are not, and files that do not fit the task.

    Raises:
      ValueError: naming the flag.
    """
    import envs
    from envs.base import Environment
    from envs.experts import expert_of

    told = f"--agent.expert {config.expert}"
    if config.expert in PLANNERS:
        check_table(told, spec, size)
    elif config.expert == "analytic":
        if expert_of(spec.name) is None:
            raise ValueError(f"{told}: {spec.name} has no analytic expert; give a file of experiments.collect")
        if not isinstance(envs.make(spec.name), Environment) or not spec.time_limit:
            raise ValueError(f"{told}: {spec.name} is no task in graph with a time limit; give a file instead")
    else:
        recorded(config, spec)


def check_table(told: str, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that nobody can plan on.

    Raises:
      ValueError: beginning with `told`.
    """
    from experiments import parts

    try:
        parts.check_tabular(spec, size)
    except ValueError as error:
        raise ValueError(f"{told}: {error}") from None
    if spec.rules is None or not spec.time_limit:
        raise ValueError(f"{told}: {spec.name} has no rules to plan with, or no time limit; allowed: bellmax/grid")


def recorded(config: Shown, spec: "run.Spec") -> "Dataset":
    """The dataset of a file.

    Raises:
      ValueError: it is no file, cannot be read, is of another task, or has too few episodes.
    """
    from replay import dataset

    told = f"--agent.expert {config.expert}"
    if not config.expert.startswith("minari/") and not Path(config.expert).is_file():
        raise ValueError(f"{told}: is no file; allowed: {', '.join(KNOWN)}, or a file of experiments.collect")
    found = run.data.loaded("--agent.expert", config.expert)
    with run.data.naming("--agent.expert"):
        dataset.fits(found, spec, config.expert)
    if found.episodes < config.demonstrations:
        told = f"--agent.demonstrations {config.demonstrations}"
        raise ValueError(f"{told}: {config.expert} has {found.episodes} episodes")
    return found


def episodes(config: Shown, spec: Any, key: "Key", steps: int | None, discount: "float | Array") -> "Step":
    """Demonstrations `[steps + 1, N]`, each from its first row; rows after an end are FIRST.

    Args:
      config: the flags.
      spec: the task.
      key: of the episodes.
      steps: of each; None for all there are.
      discount: that experts plan with.
    """
    if config.expert == "analytic":
        return analytic(config, spec, key, steps or spec.time_limit)
    if config.expert in PLANNERS:
        return planned(config, spec, key, steps or spec.time_limit, discount)
    import jax
    import jax.numpy as jnp
    import numpy as np

    from envs.base import FIRST

    found = recorded(config, spec)
    begins = found.begins[: config.demonstrations + 1]
    time = np.arange(1 + (steps or int(np.diff(begins).max()) - 1))[:, None]
    rows = np.minimum(begins[:-1] + time, begins[1:] - 1)
    step = jax.tree.map(lambda x: jnp.asarray(x[rows]), found.rows)
    kinds = jnp.where(begins[:-1] + time < begins[1:], step.timestep.step_type, FIRST).astype(jnp.int8)
    return step._replace(timestep=step.timestep._replace(step_type=kinds))


def transitions(config: Shown, spec: "run.Spec", every: int, discount: "float | Array") -> "Callable[[Key], Step]":
    """`(key) -> demonstrations` as single transitions `[2, M]`: every so many of an episode, from one that is drawn."""

    def shown(key: "Key") -> "Step":
        import jax
        import jax.numpy as jnp

        k_play, k_thin = jax.random.split(key)
        rows = episodes(config, spec, k_play, None, discount)
        last, lanes = rows.timestep.reward.shape[0] - 1, jnp.arange(config.demonstrations)
        offset = jax.random.randint(k_thin, lanes.shape, 0, min(every, last))
        time = offset[None] + jnp.arange(0, max(1, last - every + 1), every)[:, None]
        return jax.tree.map(lambda x: jnp.stack([x[time + i, lanes].reshape(-1, *x.shape[2:]) for i in (0, 1)]), rows)

    return shown


def analytic(config: Shown, spec: "run.Spec", key: "Key", steps: int) -> "Step":
    """Rows `[steps + 1, N]` of the task's analytic expert, on the task as its name alone makes it."""
    import jax

    import envs
    from agents.base import Step
    from envs.experts import expert_of

    env: Any = envs.make(spec.name)
    act: Any = getattr(expert_of(spec.name), "act", None)

    def one(key: "Key") -> "Step":
        def step(state: "Tree", _: None) -> "tuple[Tree, Step]":
            inner, timestep = state
            action = act(timestep.observation)
            return env.step(inner, action), Step(timestep, action)

        return jax.lax.scan(step, env.reset(key), None, steps + 1)[1]

    return jax.vmap(one, out_axes=1)(jax.random.split(key, config.demonstrations))


def planned(config: Shown, spec: "Tabled", key: "Key", steps: int, discount: "float | Array") -> "Step":
    """Rows `[steps + 1, N]` of an expert who plans with the task's rules, from states that are drawn."""
    import jax

    from agents.world import tables

    states, actions = spec.observation.num, spec.action.num
    k_task, k_show = jax.random.split(key)
    model, pays = tables.drawn(spec.rules, states, actions, k_task)
    if config.expert == "optimal":
        policy = tables.plan(model, pays, discount=discount).policy
    else:
        policy = tables.soft_plan(model, pays / config.temperature, discount=discount).policy
    return tables.demonstrated(spec.rules, model.initial, policy, k_show, config.demonstrations, steps)
