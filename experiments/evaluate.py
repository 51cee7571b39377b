"""Plays the policies of a run: `python -m experiments.evaluate RUN [--episodes 100] [--video out.mp4]`."""

import importlib
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from experiments import flags, runs


@dataclass(frozen=True)
class Flags:
    """Evaluate the greedy policies of a run folder, one per seed, on fresh episodes."""

    run: tyro.conf.Positional[Path]
    """The run folder; of a sweep, the folder of one of its points."""
    episodes: int = 100
    """Episodes per seed."""
    which: Literal["best", "last"] = "best"
    """The policy of each seed's best evaluation, or of the last one."""
    env_options: tuple[str, ...] = ()
    """Options that the task has besides, or instead of, those of its evaluations in training, as name=value."""
    seed: int = 1_000_000
    """Seed of the episodes, apart from those of training."""
    video: str = ""
    """Also film an episode of the best seed into this file (.mp4 or .gif)."""


def play(arguments: Flags) -> dict[str, Any]:
    """Evaluates a run.

    Returns:
      What was played (`experiment`, `env`, `seeds`, `policy`, `at_steps`, `episodes`), and `eval_returns` (mean of each
      seed), `eval_iqm` and `eval_ci95`; for a task with goals also `eval_success`, the share of each seed's episodes.

    Raises:
      ValueError: the folder holds no policies, or the flags do not make sense.
    """
    runs.use_cores()
    import jax
    import numpy as np

    from agents import keys
    from experiments import devices, stats

    folder, video = arguments.run, Path(arguments.video) if arguments.video else None
    if arguments.episodes < 1:
        raise ValueError(f"--episodes {arguments.episodes}: must be at least 1")
    if arguments.seed < 0:
        raise ValueError(f"--seed {arguments.seed}: must not be negative")
    if video and video.suffix not in (".mp4", ".gif"):
        raise ValueError(f"--video {video}: must end in .mp4 or .gif")
    experiment, config, env, make, at_steps, chosen = saved(folder, arguments.which)
    lay = devices.layout(config.seeds)
    hypers = {"run": np.arange(config.seeds)}
    seeds = arguments.seed + np.arange(config.seeds)
    env = runs.judged(config, env, arguments.env_options)
    driver = runs.drive(env, make, hypers, lay, seeds, num_envs=1, iterations=1, eval_episodes=arguments.episodes)
    episodes = driver.loop.evaluate(devices.place(lay, chosen), keys.key(seeds))
    driver.close()
    reached = {"eval_success": np.asarray(episodes["eval_success"]).mean(axis=1).tolist()} if env.spec.goals else {}
    returns = np.asarray(episodes["eval_return"]).mean(axis=1)
    if video:
        best = int(np.nanargmax(returns))
        try:
            film(env, make({}).agent, jax.tree.map(lambda x: x[best], chosen), arguments.seed, video)
        except OSError as error:
            raise ValueError(f"--video {video}: cannot be written ({error})") from None
    return {
        "experiment": experiment,
        "env": config.env,
        "seeds": list(range(config.seed, config.seed + config.seeds)),
        "policy": arguments.which,
        "at_steps": at_steps,
        "episodes": arguments.episodes,
        "eval_returns": [float(x) for x in returns],
        "eval_iqm": stats.iqm(returns),
        "eval_ci95": stats.interval(returns),
        **reached,
    }


def saved(folder: Path, which: str) -> tuple[str, Any, Any, Any, int, Any]:
    """The policies of a run folder.

    Args:
      folder: of a run, or of one point of a sweep.
      which: "best" or "last".

    Returns:
      Experiment, its flags, the task, what makes the run's parts, the steps that were trained, and the actors
      `[seeds, ...]` as numpy arrays.

    Raises:
      ValueError: it is no such folder, or holds no policies.
    """
    import jax
    import numpy as np

    from agents import keys
    from envs.base import blank
    from experiments.checkpoint import Checkpointer

    experiment = flags.contents(folder)["experiment"]
    try:
        module = importlib.import_module(f"experiments.{experiment}")
    except ModuleNotFoundError:
        raise ValueError(f"{folder}: is a run of experiments.{experiment}, which is not here") from None
    config = flags.load(module.Flags, folder)
    if len(flags.grid(config)) > 1:
        points = ", ".join(sorted(path.parent.name for path in folder.glob("*/config.json")))
        raise ValueError(f"{folder}: is a sweep; give the folder of one of its points: {points}")
    env = runs.environment(config)
    make = runs.maker(config, env.spec, module.make)
    agent = make({}).agent

    def actors(key: Any) -> Any:
        return agent.actor(agent.init(key, blank(env.spec, config.num_envs)))

    shape = jax.eval_shape(jax.vmap(actors), keys.key(np.arange(config.seeds)))
    on_host = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shape)
    with Checkpointer(folder / "policies") as policies:
        found = policies.restore({"best": on_host, "last": on_host}, {})
    if found is None:
        raise ValueError(f"{folder}: holds no policies yet; they are saved with every evaluation")
    return experiment, config, env, make, found[0], found[1][which]


def film(env: Any, agent: Any, actor: Any, seed: int, path: Path, most: int = 5_000) -> None:
    """Films one greedy episode.

    Raises:
      ValueError: the task cannot draw itself.
    """
    import imageio.v3 as iio
    import jax
    import numpy as np

    from agents import keys
    from envs.base import Environment
    from envs.host import pool_of
    from experiments.loops import env_action

    lane = (pool_of(env) if isinstance(env, Environment) else env).pool(1, seed)
    if lane.frame is None:
        raise ValueError(f"--video {path}: {env.spec.name} has no frames to film")
    act = jax.jit(lambda key, carry, timestep: agent.act(actor, key, carry, timestep, False)[:2])
    timestep, carry, frames = lane.reset(), agent.begin(1), [lane.frame()]
    for key in jax.random.split(keys.key(seed), most):
        action, carry = act(key, carry, timestep)
        lane.send(np.asarray(env_action(env.spec, action)))
        timestep = lane.recv()
        frames.append(lane.frame())
        if timestep.last()[0]:
            break
    lane.close()
    # Video codecs want even sides.
    even = [np.asarray(f)[: f.shape[0] // 2 * 2, : f.shape[1] // 2 * 2] for f in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    mp4: dict[str, Any] = {"macro_block_size": 2, "fps": 30}
    gif: dict[str, Any] = {"loop": 0, "duration": 1000 / 30}
    with warnings.catch_warnings():
        # The encoder is another program; what runs between fork and exec touches no lock of JAX's.
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        iio.imwrite(path, np.stack(even), **(mp4 if path.suffix == ".mp4" else gif))
    print(f"filmed {len(frames)} frames: {path}")


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Reads flags, evaluates, prints a line per seed."""
    arguments = tyro.cli(Flags, args=sys.argv[1:] if argv is None else argv, prog="python -m experiments.evaluate")
    try:
        result = play(arguments)
    except ValueError as error:
        flags.fail(error)
    print(f"{result['experiment']} on {result['env']}, {result['policy']} policy of {result['at_steps']:,} steps")
    success = result.get("eval_success", [])
    for i, (seed, value) in enumerate(zip(result["seeds"], result["eval_returns"], strict=True)):
        print(f"{seed:>8} {value:>10.1f}" + (f"   success {success[i]:.1%}" if success else ""))
    low, high = result["eval_ci95"]
    print(f"{'IQM':>8} {result['eval_iqm']:>10.1f}   95 % interval {low:.1f} to {high:.1f}")
    from envs import atari

    game = atari.game_of(result["env"])
    if game:
        normalised, low, high = (atari.human_normalised(game, x) for x in (result["eval_iqm"], low, high))
        print(f"{'human':>8} {normalised:>10.1%}   normalised; 95 % interval {low:.1%} to {high:.1%}")
    return result


if __name__ == "__main__":
    main()
