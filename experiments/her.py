"""Hindsight experience replay over DQN, DDPG, TD3 or SAC: `python -m experiments.her --help`.

The defaults are those of the released code for the robotics tasks (Plappert et al., 2018): a cycle is two episodes and
40 updates, the targets move once in a cycle, values are clipped to what -1 per step can sum to, and what the networks
see is normalised with statistics of relabelled samples. That code runs 19 such workers side by side, and pools their
gradients: for the harder tasks give `--num-envs 38`.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import ddpg, parts, run, sac


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
    target_low: run.Real = -50.0
    target_high: run.Real = 0.0
    action_cost: run.NonNegative = 1.0
    normalise_observations: bool = True
    clip_observations: run.Limit = 5.0
    """What normalised observations are clipped to."""
    least_deviation: run.Positive = 0.01
    """Least standard deviation that they are divided by."""
    rank: run.Whole = 0
    """With DQN, that of a network in two streams, of states and of goals, joined by a dot product; 0 for one stream."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train with hindsight experience replay (Andrychowicz et al., 2017) on a task with goals."""

    env: str = "envpool/FetchReach-v4"
    """Task with goals, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 2
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def learner(config: Config, spec: Any, scale: run.Size) -> Any:
    """The agent that the flags describe, without normalisation."""
    import networks
    from agents.common import optimisers
    from agents.dqn import dqn
    from envs.base import Discrete

    kind = config.learner
    if kind == "auto":
        kind = "dqn" if isinstance(spec.action, Discrete) else "ddpg"
    plain = dataclasses.replace(config, normalise_observations=False)
    if kind == "ddpg":
        return ddpg.make(plain, spec, scale).agent
    if kind == "sac":
        shared: dict[str, Any] = {
            field.name: getattr(plain, field.name) for field in dataclasses.fields(parts.off_policy.Learning)
        }
        shared |= {name: getattr(plain, name) for name in ("policy_learning_rate", "critics", "delay")}
        shared["target_rate"] = plain.target_rate / plain.target_period
        return sac.make(sac.Config(**shared), spec, scale).agent
    actions = parts.discrete_actions(spec, "dqn")
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


def make(config: Config, spec: Any, scale: run.Size) -> Any:
    """The parts of one run.

    Raises:
      ValueError: a task without goals, or flags that do not go together.
    """
    import replay
    from agents import uvfa
    from agents.common import wrappers

    parts.off_policy.check(config, ("critics", "delay", "target_period"))
    if spec.goals is None:
        raise ValueError(
            f"--env {spec.name}: her needs a task with goals whose reward can be computed anew, such as "
            "envpool/FetchReach-v4 or bellmax/bit-flip"
        )
    if isinstance(config.k, float | int) and not config.k >= 0:
        raise ValueError(f"--agent.k {config.k}: must not be negative")
    if config.rank < 0:
        raise ValueError(f"--agent.rank {config.rank}: must not be negative")
    rules = spec.goals
    buffer = scale.per_device(config.buffer_size, "agent.buffer_size")
    batch = scale.per_device(config.batch_size, "agent.batch_size")
    parts.check_buffer(buffer, scale.num_envs, config.n_step + 1)
    horizon = min(spec.time_limit or 1_000, buffer // scale.num_envs)
    ends = rules.reached if rules.terminates else None
    relabels: list[Any] = [replay.hindsight(config.strategy, config.k, rules.reward, horizon, ends)]
    if config.n_step > 1:
        relabels.append(replay.n_step(config.n_step, config.discount))
    memory = replay.mapped(replay.uniform(buffer, batch * config.delay, config.n_step), *relabels)
    seen = spec._replace(observation={name: spec.observation[name] for name in uvfa.SEEN})
    agent = uvfa.goal_conditioned(learner(config, seen, scale))
    if config.normalise_observations:
        agent = wrappers.normalise_observations(
            agent, spec.observation, config.clip_observations, config.least_deviation
        )
    warmup = -(-config.warmup // (config.unroll * scale.num_envs * scale.devices))
    return run.Parts(agent, memory, run.Schedule(config.unroll, config.updates, warmup))


experiment = run.Experiment("her", Flags, run.accept, make, parts.presets_goals.HER)
main = experiment.main

if __name__ == "__main__":
    main()
