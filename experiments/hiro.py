"""HIRO, a hierarchy of two TD3s with off-policy correction: `python -m experiments.hiro --help`.

The defaults are those of the paper (appendix C) and its released code for AntMaze; `--preset point` is for point mazes.
Units are the task's: noise on actions and goals is given in them, as there, and not in halves of their range.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    import flax.linen as nn

    from agents.base import Array, Tree
    from agents.hierarchy import Subgoals

ANT = (10.0, 10.0, 0.5, 1.0, 1.0, 1.0, 1.0, *(0.5, 0.3) * 4)
"""How far a goal may be from where the ant is: x, y, z, orientation, joints."""


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    period: run.Count = 10
    """Number c of steps for which a goal is followed."""
    goal_range: tuple[run.Real, ...] = ANT
    """Largest goal in each of the first entries of the observation: goals lie between minus that and that."""
    embedding: run.Whole = 0
    """Size of a learned representation that goals lie in (within ±1, whatever `goal_range` says) as FuN's do: the first
    layer of the higher level's policy. 0 for the observation's own first entries."""
    hidden_entries: run.Whole = 2
    """First entries of the observation, x and y, that the lower level does not see."""
    correction: bool = True
    """Correct old goals off-policy; if not, they are learned from as they were set."""
    moving: bool = True
    """Let goals move with the state, as h does; if not, each is the same displacement for all of its period."""
    reward: Literal["distance", "direction"] = "distance"
    """Reward of the lower level: minus the distance to the goal, or FuN's cosine, for goals that do not move."""
    reward_scale: run.Positive = 0.1
    """Factor β of the rewards that the higher level sums."""
    discount: run.Unit = 0.99
    """Discount γ of a step in the lower level, and of a whole period in the higher."""
    low_sigma: run.NonNegative = 1.0
    """Standard deviation of the noise on actions."""
    high_sigma: run.NonNegative = 1.0
    """Standard deviation of the noise on goals."""
    high_epsilon: run.Unit = 0.0
    """Probability of a goal that is drawn uniformly."""
    smoothing: run.NonNegative = 0.2
    """Standard deviation of the noise on target actions and goals."""
    smoothing_limit: run.Limit = 0.5
    """Bound that the smoothing noise is clipped to."""
    policy_learning_rate: run.Positive = 1e-4
    """Adam's step size for the policies."""
    learning_rate: run.Positive = 1e-3
    """Adam's step size for the critics."""
    target_rate: run.Share = 0.005
    """Share τ by which target networks follow at each update."""
    delay: run.Count = 2
    """Critic steps per step of a policy."""
    hidden: tuple[run.Count, ...] = (300, 300)
    """Sizes of the dense layers of all networks."""
    batch_size: run.Count = 100
    """Transitions per critic step of each level."""
    buffer_size: run.Count = 200_000
    """Environment steps that the replay keeps."""
    warmup: run.Whole = 2_500
    """Environment steps of random goals and actions before learning."""
    unroll: run.Count = 20
    """Steps in each environment between learning phases."""
    updates: run.Whole = 0
    """Updates per learning phase, each of `delay` x `period` critic steps of the lower level and `delay` of the higher;
    0 for one critic step of the lower level per environment step, the paper's."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train HIRO (Nachum et al., 2018) on a task with goals and continuous actions."""

    env: str = "mujoco/AntMaze"
    """Task, as suite/id, whose observation is a dict with a vector `observation`."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and a task that is not for a hierarchy.

    Raises:
      ValueError: naming the flag.
    """
    parts.unit_box(spec, "hiro")
    seen = spec.observation.get("observation") if isinstance(spec.observation, dict) else None
    shape: tuple[int, ...] = getattr(seen, "shape", ())
    if config.embedding and len(shape) != 1:
        raise ValueError(
            f"--agent.embedding is of a vector `observation`; --env {spec.name} observes {spec.observation}"
        )
    if not config.embedding and (len(shape) != 1 or shape[0] < len(config.goal_range) or not config.goal_range):
        raise ValueError(
            f"--agent.goal-range has {len(config.goal_range)} entries, and as many first entries of a vector "
            f"`observation` have goals; --env {spec.name} observes {seen or spec.observation}"
        )
    if any(bound <= 0 for bound in config.goal_range):
        raise ValueError(f"--agent.goal-range {' '.join(map(str, config.goal_range))}: must be positive")
    if config.hidden_entries > shape[0]:
        raise ValueError(f"--agent.hidden-entries {config.hidden_entries}: must be 0 to {shape[0]}")
    steps, each = config.unroll * size.num_envs * size.devices, config.period * config.delay
    if not config.updates and steps % each:
        raise ValueError(
            f"--agent.period {config.period}: an update takes period x delay = {each} environment steps, which must "
            f"divide the {steps} of a learning phase (unroll x --num-envs); or give --agent.updates"
        )
    parts.check_replay(config, size, config.period + 1)


def td3(
    config: Config, spec: Any, sigma: float, epsilon: float = 0.0, embedding: "nn.Module | None" = None
) -> "run.Agent":
    """One level: TD3 within the bounds of `spec.action`, with noise in its units; `embedding` begins its policy."""
    import jax.numpy as jnp

    import networks
    from agents.common import action_noise, optimisers, wrappers
    from agents.ddpg import Params, ddpg
    from envs.base import Box

    half = (jnp.asarray(spec.action.high) - jnp.asarray(spec.action.low)) / 2
    half = jnp.broadcast_to(half, spec.action.shape)
    seen = parts.torso(spec, config.hidden, "nature")
    if embedding:
        known = spec._replace(observation={**spec.observation, "observation": Box((config.embedding,))})
        seen = networks.Represented(embedding, parts.torso(known, config.hidden, "nature"))
    agent = ddpg(
        networks.q_network(seen, networks.DeterministicPolicy(spec.action.shape[0])),
        parts.critics(spec, 2, config.hidden, "nature"),
        Params(optimisers.adam(config.policy_learning_rate), optimisers.adam(config.learning_rate)),
        discount=config.discount,
        noise=action_noise.gaussian((sigma / half)[None]),
        epsilon=epsilon,
        target_rate=config.target_rate,
        smoothing=(config.smoothing / half)[None, None],
        smoothing_limit=(config.smoothing_limit / half)[None, None],
        delay=config.delay,
    )
    return wrappers.unit_actions(agent, spec.action)


def subject(config: Config) -> "tuple[Subgoals, nn.Module | None]":
    """What goals are about, and the layer that represents it, if it is learned."""
    import flax.linen as nn

    import networks
    from agents.hierarchy import Subgoals

    if not config.embedding:
        return Subgoals(tuple(-x for x in config.goal_range), config.goal_range, config.hidden_entries), None
    # Softsign has a gradient at inputs of 15 m, where tanh has none.
    layer = networks.MLP((config.embedding,), nn.soft_sign)

    def embed(actor: "Tree", observation: "Array") -> "Tree":
        return layer.apply({"params": actor.params["torso"]["embedding"]}, observation)

    bound = (1.0,) * config.embedding
    return Subgoals(tuple(-x for x in bound), bound, config.hidden_entries, embed), layer


def make(config: Config, spec: "run.Bounded", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.hierarchy import hierarchy

    buffer, batch = parts.shares(config, size)
    subgoals, embedding = subject(config)
    agent = hierarchy(
        td3(config, subgoals.higher(spec), config.high_sigma, config.high_epsilon, embedding),
        td3(config, subgoals.lower(spec), config.low_sigma),
        subgoals,
        spec.action,
        period=config.period,
        reward_scale=config.reward_scale,
        correction=config.correction,
        moving=config.moving,
        reward=config.reward,
    )
    memory = replay.mapped(replay.uniform(buffer, batch * config.delay), replay.segments(config.period))
    steps = config.unroll * size.num_envs * size.devices
    schedule = run.Schedule(
        config.unroll, config.updates or steps // (config.period * config.delay), -(-max(config.warmup, 1) // steps)
    )
    return run.Parts(agent, memory._replace(minimum=config.period + 1), schedule)


PRESETS: run.Presets = {
    "point": {
        "env": "bellmax/point-maze",
        "env_options": ("goal=any",),
        "eval_env_options": ("goal=far",),
        "num_envs": 8,
        "steps": 80_000,
        "eval_episodes": 32,
        "agent.discount": 0.95,
        "agent.goal_range": (2.0, 2.0),
        "agent.low_sigma": 0.2,
        "agent.high_sigma": 0.5,
        "agent.high_epsilon": 0.5,
        "agent.smoothing": 0.1,
        "agent.smoothing_limit": 0.2,
        "agent.policy_learning_rate": 3e-4,
        "agent.target_rate": 0.01,
        "agent.hidden": (64, 64),
        "agent.warmup": 4_000,
        "agent.unroll": 10,
        "agent.updates": 8,
    },
}
"""`point` is a point maze, in whose units are goals and noise; as in the paper's AntMaze training has goals anywhere,
and evaluation the far one."""

experiment = run.Experiment("hiro", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
