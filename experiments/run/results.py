"""What a run folder holds, for notebooks and scripts: summary, metrics, and policies to act with."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import reports
from experiments.run import evaluation, flags, policies, prepare

if TYPE_CHECKING:
    from agents.base import Agent, Key, Step, TimeStep, Tree
    from envs.base import Environment, HostEnvironment
    from experiments.run.experiment import Experiment


class Policy(NamedTuple):
    """One trained policy."""

    env: Any
    """The task of its evaluations."""

    begin: Callable[[int], Any]
    """`(B) -> carry`: the memory of B fresh streams."""

    act: Callable[..., tuple[Any, Any]]
    """`(key, carry, timestep[B]) -> (action[B], carry)`, jitted."""

    def episode(self, seed: int = 0, most: int = 100_000) -> "Step":
        """Plays one episode.

        Args:
          seed: of the episode and of the policy's draws.
          most: rows after which an episode without a time limit is left.

        Returns:
          Rows `Step[T+1]` as numpy arrays, from FIRST to LAST; the last row's action is not taken.
        """
        import jax

        from agents.base import Step
        from envs import keys
        from envs.base import Environment
        from envs.host import pool_of
        from experiments.drivers.base import env_action

        pool = (pool_of(self.env) if isinstance(self.env, Environment) else self.env).pool(1, seed)
        timestep, carry, rows = pool.reset(), self.begin(1), []
        key = keys.key(seed)
        for t in range(most):
            action, carry = self.act(jax.random.fold_in(key, t), carry, timestep)
            rows.append(jax.tree.map(lambda x: np.asarray(x)[0], Step(timestep, action)))
            if rows[-1].timestep.last():
                break
            pool.send(np.asarray(env_action(self.env.spec, action)))
            timestep = pool.recv()
        pool.close()
        return jax.tree.map(lambda *x: np.stack(x), *rows)


class Run(NamedTuple):
    """A run folder that has been read."""

    folder: Path
    experiment: "Experiment"
    flags: Any
    """What the run was started with, a dataclass."""

    summary: dict[str, Any]
    """summary.json; `{}` of a run that has not finished."""

    metrics: dict[str, tuple[np.ndarray, np.ndarray]]
    """Each metric over time: `(env_steps [points], values [seeds, points])`, NaN where a seed did not report."""

    trust: bool = False
    """Whether code that lies in the folder, or is only named there, may be run."""

    @property
    def env(self) -> "Environment | HostEnvironment":
        """The task that policies are evaluated on."""
        return prepare.evaluation_task(self.flags, prepare.environment(self.flags, self.folder, self.trust))

    @property
    def points(self) -> dict[str, "Run"]:
        """The runs of a sweep by what they were swept over, such as `learning-rate=0.001`; `{}` of a plain run."""
        found = sorted(path.parent for path in self.folder.glob("*/config.json"))
        return {path.name: load(path, trust=self.trust, experiment=self.experiment) for path in found}

    def policy(self, seed: int = 0, which: str = "best", explore: bool = False) -> Policy:
        """A trained policy, greedy unless it is to explore as in training.

        Args:
          seed: which of the run's seeds, counted from 0.
          which: "best", of the seed's best evaluation, or "last".
          explore: act as in training.

        Raises:
          ValueError: the run has no such seed, or no policies yet.
        """
        import jax

        agent, actor = self._acting(seed, which)
        play = lambda actor, key, carry, timestep: agent.act(actor, key, carry, timestep, explore)[:2]  # noqa: E731
        return Policy(self.env, agent.begin, partial(jax.jit(play), actor))

    def distributions(self, seed: int = 0, which: str = "best") -> Policy:
        """A trained policy that gives distributions of actions in place of actions.

        Args:
          seed: which of the run's seeds, counted from 0.
          which: "best", of the seed's best evaluation, or "last".

        Raises:
          ValueError: the run has no such seed, no policies yet, or is of an agent that tells no distribution.
        """
        import jax

        from envs import keys
        from envs.base import blank

        agent, actor = self._acting(seed, which)

        def play(actor: "Tree", key: "Key", carry: "Tree", timestep: "TimeStep") -> "tuple[Tree, Tree]":
            _, carry, extras = agent.act(actor, key, carry, timestep, False)
            if "policy" not in extras:
                told = f"is a run of {self.experiment.name}, which tells no distribution of its actions"
                raise ValueError(
                    f"{self.folder}: {told}; allowed: a2c, impala, ppo, trpo, vpg and others of their kind"
                )
            return extras["policy"], carry

        jax.eval_shape(play, actor, keys.key(0), agent.begin(1), blank(self.env.spec, 1))
        return Policy(self.env, agent.begin, partial(jax.jit(play), actor))

    def _acting(self, seed: int, which: str) -> "tuple[Agent, Tree]":
        """The agent, and what it acts by."""
        import jax

        if not 0 <= seed < self.flags.seeds:
            raise ValueError(f"seed {seed}: the run has {self.flags.seeds}, counted from 0")
        saved = policies.saved(self.folder, which, self.experiment, self.trust)
        return saved.make({}).agent, jax.tree.map(lambda x: jax.numpy.asarray(x[seed]), saved.actors)

    def actors(self, which: str = "last") -> "Tree":
        """What the policies of all seeds act by, arrays `[seeds, ...]`, with what their agents keep beside.

        Args:
          which: "best", of each seed's best evaluation, or "last".

        Raises:
          ValueError: there are no policies yet.
        """
        return policies.saved(self.folder, which, self.experiment, self.trust).actors

    def evaluate(self, **options: Any) -> dict[str, Any]:
        """Plays fresh episodes: `run.evaluate(episodes=100, which="last")`; options and result of `evaluation.play`."""
        return evaluation.play(evaluation.Flags(self.folder, **{"trust": self.trust, **options}), self.experiment)


def load(folder: str | Path, *, trust: bool = False, experiment: "Experiment | None" = None) -> Run:
    """Reads the folder of a run, finished or not.

    Args:
      folder: of the run.
      trust: whether code and links that lie in the folder may be followed.
      experiment: of the run, where it is known.

    Raises:
      ValueError: it is no run folder, a file of it is damaged, or what it was made by is not here.
    """
    path = Path(folder)
    experiment = experiment or policies.experiment_of(path, trust)
    config = flags.load(experiment.flags, path)
    metrics: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if (path / "metrics.csv").exists():
        try:
            table = reports.sinks.read_metrics(path / "metrics.csv")
        except OSError as error:
            raise ValueError(f"{path}: cannot read metrics.csv ({error.strerror})") from None
        names = [name for name in table if name not in ("seed", "kind", "env_steps")]
        metrics = {name: reports.sinks.series(table, name) for name in names}
    summary = reports.files.read_json(path, "summary.json") if os.path.lexists(path / "summary.json") else {}
    return Run(path, experiment, config, summary, metrics, trust)
