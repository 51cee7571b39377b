"""Records episodes as a dataset to learn from: `python -m experiments.collect RUN --episodes 100 --out data.npz`.

Who plays is the policy of a run, or without a run `--policy random`, `--policy expert` (the analytic expert of the
task, where there is one) or an expert by its name, on the task of `--env`. `--noise` and `--epsilon` make any of them
worse, and `--mix` puts other sets before what is recorded.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments import run

if TYPE_CHECKING:
    from envs.base import Environment, HostEnvironment
    from envs.experts import Expert
    from replay.dataset import Dataset


@dataclass(frozen=True)
class Config:
    """Records the episodes of a policy as a dataset."""

    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = ""
    """Run folder whose policy plays; of a sweep, the folder of one of its points."""
    out: str = "data.npz"
    """File to write, which ends in .npz, or minari/ID."""
    episodes: run.Whole = 100
    """Episodes to record; 0 to write `mix` alone."""
    policy: str = ""
    """Who plays without a run: `random`, `expert`, or an expert by name."""
    env: str = ""
    """Task, as suite/id; of a run, its own."""
    env_options: tuple[str, ...] = ()
    """Options that the task is made with, as name=value; of a run, besides its own."""
    noise: run.NonNegative = 0.0
    """Standard deviation of what is added to continuous actions, as a share of half their range; of other actions, the
    probability of a random one."""
    epsilon: run.Unit = 0.0
    """Probability of a random action."""
    which: Literal["best", "last"] = "best"
    """The policy of the seed's best evaluation, or of the last one."""
    number: run.Whole = 0
    """Which of the run's seeds plays, counted from 0."""
    replay: bool = False
    """Keep all whole episodes that the run's replay holds in its newest checkpoint, and play none."""
    sampled: bool = False
    """Play as in training, exploring, and not greedily."""
    every: run.Count = 1
    """Keep every so many rows of an episode and its last, with the rewards between added up: for imitation alone."""
    seed: run.Whole = 0
    """Seed of the episodes."""
    num_envs: run.Count = 16
    """Environments (lanes) that play side by side."""
    mix: tuple[str, ...] = ()
    """Datasets of the same task whose episodes come first."""
    references: run.Whole = 0
    """Episodes of random play, and of the task's analytic expert, whose mean returns are kept beside the data."""
    trust: bool = False
    """Run code and follow links that lie in the run folder."""


def collect(config: Config) -> "Dataset":
    """Records, writes and returns the `replay.Dataset`.

    Raises:
      ValueError: naming the flag.
    """
    run.check_ranges(config)
    run.use_cores()
    from replay import dataset

    check(config)
    before = [run.data.loaded("--mix", name, thinned=True) for name in config.mix]
    made = [(held if config.replay else recorded)(config)] if config.episodes else []
    sets = [*before, *made]
    whole = dataset.concatenated(sets, [*config.mix, "what was recorded"][: len(sets)])
    run.data.store("--out", config.out, whole)
    return whole


def check(config: Config) -> None:
    """Refuses flags that do not go together, before anything is played.

    Raises:
      ValueError: naming the flag.
    """
    from envs.experts import EXPERTS

    run.data.check_place("--out", config.out)
    if not config.episodes:
        if not config.mix:
            raise ValueError("--episodes 0: nothing to record, so give sets to join by --mix")
        return
    if config.folder and config.policy:
        raise ValueError(f"--policy {config.policy}: not together with the run {config.folder}, whose policy plays")
    if config.folder and config.env:
        raise ValueError(f"--env {config.env}: not together with the run {config.folder}, which has a task")
    if config.replay and not config.folder:
        raise ValueError("--replay: needs a run folder, whose replay is read")
    if not config.folder and not config.env:
        raise ValueError("--env: needs a task, or a run folder whose policy is to play")
    allowed = ("random", "expert", *EXPERTS)
    if not config.folder and config.policy not in allowed:
        raise ValueError(f"--policy {config.policy!r}: allowed without a run: {', '.join(allowed)}")


def recorded(config: Config) -> "Dataset":
    """The episodes that are played, a `replay.Dataset`.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box
    from replay import dataset

    env, name, options, player, told = who(config)
    noisy = bool(config.noise) and isinstance(env.spec.action, Box)
    epsilon = config.epsilon if noisy or config.epsilon else config.noise
    if noisy or epsilon:
        flag = f"--epsilon {epsilon}" if config.epsilon else f"--noise {config.noise}"
        run.recording.check_bounded(env.spec, flag)
    if epsilon > 1:
        raise ValueError(f"--noise {config.noise}: of actions that are no vector it is a probability, at most 1")
    player = run.recording.disturbed(player, env.spec, config.noise if noisy else 0.0, epsilon)
    episodes = run.recording.record(env, player, config.episodes, config.num_envs, config.seed)
    about = {"policy": told, "noise": config.noise, "epsilon": config.epsilon, "seed": config.seed}
    about |= references(config, env, name) if config.references else {}
    found = dataset.joined(episodes, env=name, env_options=options, about=about)
    return dataset.thinned(found, config.every) if config.every > 1 else found


def held(config: Config) -> "Dataset":
    """The episodes that a run's replay holds, a `replay.Dataset`.

    Raises:
      ValueError: naming the flag.
    """
    import numpy as np

    from envs.base import Box
    from replay import dataset

    found = run.load(config.folder, trust=config.trust)
    if config.number >= found.flags.seeds:
        raise ValueError(f"--number {config.number}: the run has {found.flags.seeds} seeds, counted from 0")
    lanes, shared = found.flags.num_envs // found.flags.devices, found.flags.devices > 1
    episodes = run.recording.replayed(found.folder, config.number, lanes, shared)
    if not episodes:
        raise ValueError(f"--replay {config.folder}: its replay holds no whole episode")
    space = found.env.spec.action
    if isinstance(space, Box):  # the task was given what the agent keeps within its bounds
        low, high = (np.asarray(bound, np.float32) for bound in space[1:3])
        episodes = [each._replace(action=np.clip(each.action, low, high)) for each in episodes]
    known = {"env": found.flags.env, "env_options": found.flags.env_options}
    data = dataset.joined(episodes, about={"policy": f"{found.experiment.name}, replay"}, **known)
    with run.data.naming(f"--replay {config.folder}:"):
        dataset.fits(data, found.env.spec)
    return dataset.thinned(data, config.every) if config.every > 1 else data


def who(config: Config) -> "tuple[Environment | HostEnvironment, str, tuple[str, ...], run.recording.Player, str]":
    """The task, its name and options, who plays, and what to call that.

    Raises:
      ValueError: naming the flag.
    """
    import envs
    from envs.experts import EXPERTS, expert_of

    if config.folder:
        found = run.load(config.folder, trust=config.trust)
        options = (*found.flags.env_options, *found.flags.eval_env_options, *config.env_options)
        policy = found.policy(config.number, config.which, config.sampled)
        env = run.prepare.evaluation_task(found.flags, found.env, config.env_options)
        told = f"{found.experiment.name}, {config.which}" + (", exploring" if config.sampled else "")
        return env, found.flags.env, merged(options), run.recording.Player(policy.begin, policy.act), told
    env = envs.make(config.env, **envs.parse_options(config.env_options))
    if config.policy == "random":
        return env, config.env, config.env_options, run.recording.chance(env.spec, "--policy random"), "random"
    expert = expert_of(config.env) if config.policy == "expert" else EXPERTS[config.policy]
    if expert is None or config.env.rpartition("/")[2] not in expert.tasks:
        known = "; ".join(f"{name} of {', '.join(each.tasks)}" for name, each in EXPERTS.items())
        raise ValueError(f"--policy {config.policy}: no such expert of {config.env}; there are {known}")
    return env, config.env, config.env_options, played_by(expert), config.policy


def played_by(expert: "Expert") -> run.recording.Player:
    """An analytic expert as a player."""
    return run.recording.Player(
        lambda lanes: (), lambda key, carry, timestep: (expert.act(timestep.observation), carry)
    )


def merged(options: tuple[str, ...]) -> tuple[str, ...]:
    """Options, each as it is given last."""
    return tuple({option.partition("=")[0]: option for option in options}.values())


def references(config: Config, env: "Environment | HostEnvironment", name: str) -> dict[str, float]:
    """Mean returns of random play and of the analytic expert, for normalised scores."""
    from envs.experts import expert_of

    players = {"random_return": run.recording.chance(env.spec, "--references")}
    expert = expert_of(name)
    players |= {"expert_return": played_by(expert)} if expert else {}
    return {
        kind: sum(float(each.timestep.reward.sum()) for each in episodes) / len(episodes)
        for kind, player in players.items()
        for episodes in [run.recording.record(env, player, config.references, config.num_envs, config.seed + 1)]
    }


def main(argv: list[str] | None = None) -> "Dataset":
    """Reads flags, records, and says what was written."""
    config = tyro.cli(Config, args=sys.argv[1:] if argv is None else argv, prog="python -m experiments.collect")
    try:
        whole = collect(config)
    except ValueError as error:
        run.fail(error)
    except OSError as error:
        run.fail(f"--out {config.out}: cannot be written ({error.strerror})", code=1)
    returns = whole.returns()
    print(
        f"{whole.episodes:,} episodes of {whole.env or 'a task that is not named'}, {whole.transitions:,} transitions, "
        f"return {returns.mean():.4g} ± {returns.std():.2g}: {Path(config.out)}"
    )
    return whole


if __name__ == "__main__":
    main()
