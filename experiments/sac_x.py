"""Scheduled auxiliary control: `python -m experiments.sac_x --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from envs.base import Auxiliaries

    class Rewarded(run.Either):
        """Of a task that has the auxiliary rewards that the flags ask for."""

        auxiliaries: Auxiliaries


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    scheduler: Literal["q", "uniform"] = "q"
    """Which intention acts: SAC-Q learns it from the task's returns, SAC-U draws it uniformly."""
    auxiliaries: bool = True
    """Learn and follow the auxiliary rewards of the task; if not, there is its own intention alone."""
    auxiliary_scale: run.Positive = 0.05
    """Factor of the auxiliary rewards, which can be paid in every step: 1 - γ brings their returns to at most 1."""
    slot: run.Count = 25
    """Steps ξ for which an intention acts."""
    slots: run.Count = 8
    """Slots H of an episode; the last goes on to its end."""
    prefix: run.Whole = 1
    """Number of earlier slots by which SAC-Q's table is indexed; the paper has H - 1, for (intentions + 1)^(H - 1)
    entries."""
    schedule_temperature: run.Positive = 0.1
    """Temperature η of SAC-Q's choice."""
    schedule_episodes: run.Count = 50
    """Last episodes M with the same prefix whose mean return SAC-Q goes by."""
    schedule_discount: run.Unit = 0.99
    """Discount of the task's return in SAC-Q's table."""
    learning_rate: run.Positive = 1e-3
    """Adam's step size for the values."""
    policy_learning_rate: run.Positive = 1e-3
    """Adam's step size for the policies, of continuous actions."""
    discount: run.Unit = 0.95
    """Discount γ of later rewards, per step."""
    temperature: run.Positive = 0.001
    """Temperature α of the intentions' entropy."""
    epsilon: run.Unit = 0.1
    """Probability of a random action, of discrete ones."""
    trace: run.Unit = 1.0
    """How much λ of Retrace's traces to keep."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the dense layers that intentions share."""
    target_rate: run.Share = 0.02
    """How far the target moves towards what is learned after each gradient step; 1 is no target network."""
    unroll: run.Count = 10
    """Steps in each environment between learning phases, and of a window that is learned from."""
    updates: run.Count = 8
    """Gradient steps of a learning phase."""
    batch_size: run.Count = 32
    """Windows of a gradient step."""
    buffer_size: run.Count = 100_000
    """Environment steps that the replay keeps."""
    warmup: run.Whole = 2_000
    """Environment steps of random actions before learning."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train SAC-X (Riedmiller et al., 2018) on a task with auxiliary rewards."""

    env: str = "bellmax/lid-box"
    """Task with auxiliary rewards, as suite/id."""
    num_envs: run.Count = 8
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


MOST = 100_000
"""Prefixes that a table may have."""


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and a task without auxiliary rewards.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete

    if config.auxiliaries and spec.auxiliaries is None:
        such = "bellmax/lid-box and bellmax/continuous-lid-box have some; or --agent.no-auxiliaries"
        raise ValueError(f"--env {spec.name}: sac_x needs a task with auxiliary rewards; {such}")
    if config.prefix >= config.slots:
        raise ValueError(f"--agent.prefix {config.prefix}: must be less than --agent.slots {config.slots}")
    if (entries := (intentions(config, spec) + 1) ** config.prefix) > MOST:
        raise ValueError(f"--agent.prefix {config.prefix}: makes {entries} prefixes; at most {MOST} are allowed")
    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "sac_x")
    parts.check_replay(config, size, config.unroll + 1)


def intentions(config: Config, spec: "run.Spec") -> int:
    """How many there are, the task's own among them."""
    return 1 + (len(spec.auxiliaries.names) if config.auxiliaries and spec.auxiliaries else 0)


def make(config: Config, spec: "Rewarded", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers, wrappers
    from agents.common.critics import with_action
    from agents.common.scheduling import Scheduler
    from agents.ddpg import Params
    from agents.sac_x import sac_x
    from envs.base import Box, Discrete
    from networks.initializers import orthogonal

    number = intentions(config, spec)
    torso = lambda space: parts.torso(spec._replace(observation=space), config.hidden, "auto")  # noqa: E731
    apart = lambda x: x.reshape(*x.shape[:-1], number, -1)  # noqa: E731
    policy, discrete = None, isinstance(spec.action, Discrete)
    if discrete:
        every = networks.q_network(
            torso(spec.observation), networks.QValues(number * spec.action.num, orthogonal(0.01))
        )
        critic = networks.view(every, apart)
    else:
        (actions,) = spec.action.shape
        joined = with_action(spec.observation, Box((actions,), -1.0, 1.0))
        critic = networks.q_network(torso(joined), networks.Values(number, orthogonal(0.01)))
        head = networks.TanhGaussianPolicy(number * actions)
        several = lambda policy: networks.TanhGaussian(*map(apart, policy))  # noqa: E731
        policy = networks.view(networks.q_network(torso(spec.observation), head), several)
    scaled = lambda seen: config.auxiliary_scale * spec.auxiliaries.rewards(seen)  # noqa: E731
    buffer, batch = parts.shares(config, size)
    agent = sac_x(
        critic,
        policy,
        Params(optimisers.adam(config.policy_learning_rate), optimisers.adam(config.learning_rate)),
        Scheduler(
            number,
            config.slots,
            config.slot,
            config.prefix,
            config.scheduler == "q",
            config.schedule_temperature,
            config.schedule_episodes,
            config.schedule_discount,
        ),
        scaled if config.auxiliaries else None,
        replayed=batch * config.updates,
        passes=config.updates,
        discount=config.discount,
        temperature=config.temperature,
        epsilon=config.epsilon,
        lambda_=config.trace,
        target_rate=config.target_rate,
    )
    agent = agent if discrete else wrappers.unit_actions(agent, spec.action)
    memory = replay.fresh_and_replayed(
        replay.on_policy(config.unroll), replay.uniform(buffer, batch * config.updates, config.unroll)
    )
    warmup = -(-config.warmup // (config.unroll * size.num_envs * size.devices))
    return run.Parts(agent, memory, run.Schedule(config.unroll, 1, warmup))


PRESETS: run.Presets = {
    "lid-box": {"steps": 300_000, "eval_every": 20_000},
    "continuous": {"env": "bellmax/continuous-lid-box", "steps": 300_000, "eval_every": 20_000},
}
"""`lid-box` is the grid, an episode of which has 200 steps at most; `continuous` is the same task in a square."""

experiment = run.Experiment("sac_x", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
