"""Hindsight experience replay over DQN, DDPG, TD3 or SAC: `python -m experiments.her --help`.

The defaults are those of the released code for the robotics tasks (Plappert et al., 2018): a cycle is two episodes and
40 updates, the targets move once in a cycle, values are clipped to what the rewards can sum to, and what the networks
see is normalised with statistics of relabelled samples. That code runs 19 such workers side by side, and pools their
gradients: for the harder tasks give `--num-envs 38`.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import ddpg, parts, run, sac

if TYPE_CHECKING:
    from envs.base import Goals

    class Reaching(run.Either):
        """Of a task with goals."""

        goals: Goals


@dataclass(frozen=True)
class Config(ddpg.Config):
    """Flags of the agent; those of `experiments.ddpg` with other defaults, and of hindsight."""

    learner: Literal["auto", "dqn", "ddpg", "sac"] = "auto"
    """What learns from the relabelled transitions. By default DQN where actions are discrete, and else DDPG, which is
    TD3 with `--agent.critics 2 --agent.smoothing 0.2 --agent.delay 2`. DQN has no use for the flags of policies; SAC's
    targets move in every update, by `target-rate` over `target-period`."""
    strategy: Literal["future", "final", "episode", "random"] = "future"
    """Which state's goal takes the place of the one that was wanted: one that follows in the episode, its last, any of
    it, or any in the replay."""
    k: run.NonNegative = 4.0
    """Relabelled samples for each that is not; 0 is no hindsight."""
    target_period: run.Count = 40
    """Updates between moves of the targets, one cycle."""
    target_rate: run.Share = 0.05
    discount: run.Unit = 0.98
    hidden: tuple[run.Count, ...] = (256, 256, 256)
    batch_size: run.Count = 256
    buffer_size: run.Count = 1_000_000
    warmup: run.Whole = 0
    unroll: run.Count = 51
    """Steps in each environment between learning phases: an episode of 50 and the row that opens the next."""
    updates: run.Count = 40
    sigma: run.NonNegative = 0.2
    epsilon: run.Unit = 0.3
    action_cost: run.NonNegative = 1.0
    normalise_observations: bool = True
    clip_observations: run.Limit = 5.0
    """What normalised observations are clipped to."""
    least_deviation: run.Positive = 0.01
    """Least standard deviation that normalised observations are divided by."""
    rank: run.Whole = 0
    """Rank of DQN's network in two streams, of states and of goals, joined by a dot product; 0 for one stream."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train with hindsight experience replay (Andrychowicz et al., 2017) on a task with goals."""

    env: str = "envpool/FetchReach-v4"
    """Task with goals, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 2
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def bounded(config: Config, rules: "Goals") -> Config:
    """The flags with the bounds of the values that a critic may be taught, from how the goals of a task pay."""
    from envs import goals

    low, high = (config.reward_scale * bound for bound in goals.value_bounds(rules, config.discount))
    return dataclasses.replace(
        config,
        target_low=low if config.target_low is None else config.target_low,
        target_high=high if config.target_high is None else config.target_high,
    )


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and a task without goals or with other actions than the learner's.

    Raises:
      ValueError: naming the flag.
    """
    if spec.goals is None:
        raise ValueError(
            f"--env {spec.name}: her needs a task with goals whose reward can be computed anew, such as "
            "envpool/FetchReach-v4 or bellmax/bit-flip"
        )
    kind = kind_of(config, spec)
    if kind == "ddpg":
        ddpg.check(bounded(config, spec.goals), spec, size)
    elif kind == "sac":
        sac.check(soft(config), spec, size)
    else:
        parts.discrete_actions(spec, "dqn")
        parts.off_policy.check(config, size)
        if config.rank and not config.hidden:
            raise ValueError(f"--agent.hidden (empty): the two streams of --agent.rank {config.rank} need a layer")


def kind_of(config: Config, spec: "run.Spec") -> str:
    """The learner: "dqn", "ddpg" or "sac"."""
    from envs.base import Discrete

    if config.learner != "auto":
        return config.learner
    return "dqn" if isinstance(spec.action, Discrete) else "ddpg"


def soft(config: Config) -> sac.Config:
    """The flags of SAC that these are."""
    shared: dict[str, Any] = {
        field.name: getattr(config, field.name) for field in dataclasses.fields(parts.off_policy.Learning)
    }
    shared |= {name: getattr(config, name) for name in ("policy_learning_rate", "critics", "delay")}
    return sac.Config(**shared | {"target_rate": config.target_rate / config.target_period})


def learner(config: Config, spec: "Reaching", size: run.Size) -> "run.Agent":
    """The agent that the flags describe, without normalisation."""
    import networks
    from agents.common import optimisers
    from agents.dqn import dqn

    kind = kind_of(config, spec)
    plain = dataclasses.replace(bounded(config, spec.goals), normalise_observations=False)
    if kind == "ddpg":
        return ddpg.make(plain, spec, size).agent
    if kind == "sac":
        return sac.make(soft(plain), spec, size).agent
    actions = spec.action.num
    if config.rank:
        streams = networks.Streams(spec.observation, config.hidden)
        network = networks.q_network(streams, networks.DotProduct(actions, config.rank))
    else:
        joined = parts.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)
        network = networks.q_network(joined, networks.QValues(actions))
    agent = dqn(
        network,
        optimisers.adam(config.learning_rate),
        discount=config.discount,
        epsilon=config.epsilon,
        target_period=config.target_period,
        target_rate=config.target_rate,
        double=False,
    )
    return parts.off_policy.scaled(agent, config)


def make(config: Config, spec: "Reaching", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents import uvfa
    from agents.common import wrappers

    rules = spec.goals
    buffer, batch = parts.shares(config, size)
    horizon = min(spec.time_limit or 1_000, buffer // size.num_envs)
    ends = rules.reached if rules.terminates else None
    relabels: list[Any] = [replay.hindsight(config.strategy, config.k, rules.reward, horizon, ends)]
    if config.n_step > 1:
        relabels.append(replay.n_step(config.n_step, config.discount))
    memory = replay.mapped(replay.uniform(buffer, batch * config.delay, config.n_step), *relabels)
    seen = spec._replace(observation={name: spec.observation[name] for name in uvfa.SEEN})
    agent = uvfa.goal_conditioned(learner(config, seen, size))
    if config.normalise_observations:
        agent = wrappers.normalise_observations(
            agent, spec.observation, config.clip_observations, config.least_deviation
        )
    warmup = -(-config.warmup // (config.unroll * size.num_envs * size.devices))
    return run.Parts(agent, memory, run.Schedule(config.unroll, config.updates, warmup))


PRESETS: run.Presets = {
    "bit-flip": {
        "env": "bellmax/bit-flip",
        "num_envs": 16,
        "eval_episodes": 256,
        "agent.hidden": (256,),
        "agent.batch_size": 128,
        "agent.buffer_size": 200_000,
        "agent.unroll": 21,
        "agent.epsilon": 0.2,
        "agent.normalise_observations": False,
    },
    "push": {"env": "envpool/FetchPush-v4", "num_envs": 38, "steps": 2_000_000, "eval_episodes": 64},
}
"""`bit-flip` is section 3.1 of the paper, with DQN. `push` is FetchPush at the scale of the released code, whose 19
workers play two episodes each per cycle."""

experiment = run.Experiment("her", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
