"""Evaluation of the policies of a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.run import cores, episodes, policies, prepare, ranges

if TYPE_CHECKING:
    from experiments.run.experiment import Experiment


@dataclass(frozen=True)
class Flags:
    """Evaluate the policies of a run folder, one per seed, on fresh episodes."""

    run: Path
    """The run folder; of a sweep, the folder of one of its points."""
    episodes: ranges.Count = 100
    """Episodes that the policy of each seed plays."""
    which: Literal["best", "last"] = "best"
    """The policy of each seed's best evaluation, or of the last one."""
    env_options: tuple[str, ...] = ()
    """Options that the task has besides, or instead of, those of its evaluations in training, as name=value."""
    seed: ranges.Whole = 1_000_000
    """Seed of the episodes, apart from those of training."""
    sampled: bool = False
    """Play as in training, exploring, and not greedily."""
    discount: ranges.Share = 1.0
    """Discount γ of the returns that are told and by which the best seed is chosen for the film; for tasks in graph."""
    rewards: ranges.Whole = 0
    """Also tell how many steps it takes to each of this many rewards from the one before; for tasks in graph."""
    trust: bool = False
    """Run code and follow links that lie in the run folder."""
    video: str = ""
    """Also film an episode of the best seed into this file (.mp4 or .gif)."""


def play(arguments: Flags, experiment: "Experiment | None" = None) -> dict[str, Any]:
    """Evaluates a run, of `experiment` where that is known.

    Returns:
      What was played (`experiment`, `env`, `seeds`, `policy`, `at_steps` in what is `counted`, `episodes`), and
      `eval_returns` (mean of each seed), `eval_iqm` and `eval_ci95`; for a task with a time limit `eval_ended`, the
      share of each seed's episodes that ended before it; for one without, `eval_cut`, how many were cut before they
      ended; for a task with goals `eval_success`, the share that reached one; with `rewards`, `eval_steps`, the mean
      steps to each of them, of each seed; `film_error`, why there is no film though one was asked for.

    Raises:
      ValueError: the folder holds no policies, or the flags do not make sense.
    """
    cores.use_cores()
    import jax
    import numpy as np

    from envs import keys, wrappers
    from envs.base import Environment, blank
    from experiments import reports
    from experiments.drivers import devices

    folder, video = arguments.run, Path(arguments.video) if arguments.video else None
    ranges.check(arguments)
    if video and video.suffix not in (".mp4", ".gif"):
        raise ValueError(f"--video {video}: must end in .mp4 or .gif")
    name, config, env, make, at_steps, chosen = policies.saved(folder, arguments.which, experiment, arguments.trust)
    make = episodes.exploring(make) if arguments.sampled else make
    lay = devices.layout(config.seeds)
    hypers = {"run": np.arange(config.seeds)}
    seeds = arguments.seed + np.arange(config.seeds)
    env = prepare.evaluation_task(config, env, arguments.env_options)
    row = sum(x.nbytes for x in jax.tree.leaves(blank(env.spec, 1)))
    prepare.fit(f"--episodes {arguments.episodes}", row * arguments.episodes * config.seeds, config.seeds)
    if arguments.discount < 1:
        if not isinstance(env, Environment):
            raise ValueError(f"--discount {arguments.discount}: needs a task in graph, not {env.spec.name}")
        env = wrappers.discounted(env, arguments.discount)
    driver = prepare.driver_of(
        env, make, hypers, lay, seeds, num_envs=1, iterations=1, eval_episodes=arguments.episodes
    )
    played = driver.loop.evaluate(devices.place(lay, chosen), keys.key(seeds))
    driver.close()
    reached = {"eval_success": np.asarray(played["eval_success"]).mean(axis=1).tolist()} if env.spec.goals else {}
    if env.spec.time_limit:
        in_time = np.asarray(played["eval_length"]) < env.spec.time_limit
        reached["eval_ended"] = in_time.mean(axis=1).tolist()
    if "eval_cut" in played:
        reached["eval_cut"] = np.asarray(played["eval_cut"]).sum(axis=1).astype(int).tolist()
    if arguments.rewards:
        agent, keyed = make({}).agent, keys.key(seeds)
        each = [jax.tree.map(lambda x, i=i: jax.numpy.asarray(x[i]), chosen) for i in range(config.seeds)]
        play_on = episodes.stepping(env, agent, arguments.episodes, arguments.rewards)
        reached["eval_steps"] = [play_on(actor, keyed[i]) for i, actor in enumerate(each)]
    returns = np.asarray(played["eval_return"]).mean(axis=1)
    if video:
        best = int(np.nanargmax(returns))
        try:
            episodes.film(env, make({}).agent, jax.tree.map(lambda x: x[best], chosen), arguments.seed, video)
        except (OSError, RuntimeError, ValueError) as error:  # what was played is worth more than a film of it
            reached["film_error"] = f"--video {video}: {error}"
    return {
        "experiment": name,
        "env": config.env,
        "seeds": list(range(config.seed, config.seed + config.seeds)),
        "policy": arguments.which,
        "at_steps": at_steps,
        "counted": config.counted,
        "episodes": arguments.episodes,
        "eval_returns": [float(x) for x in returns],
        "eval_iqm": reports.stats.iqm(returns),
        "eval_ci95": reports.stats.interval(returns),
        **reached,
    }
