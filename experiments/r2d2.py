"""R2D2: `python -m experiments.r2d2 --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.recurrent.Learning):
    """Flags of the agent."""

    adam_eps: run.Positive = 1e-3
    max_grad_norm: run.Limit = 40.0
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step; 0.997 in the paper."""
    head: tuple[run.Count, ...] = (64,)
    dueling: bool = True
    recall: bool = True
    burn_in: run.Whole = 10
    """Transitions at the start of a window that only bring the memory up to date; 40 in the paper."""
    length: run.Count = 20
    """Transitions of a window that are learned from, after its burn-in; 80 in the paper."""
    stride: run.Count = 10
    """Rows between the starts of windows; half of `length` in the paper."""
    start: Literal["stored", "zero"] = "stored"
    n_step: run.Count = 5
    """Rewards summed in each target."""
    rescale: bool = True
    """Learn values that are rescaled by h(x) = sign(x) (√(|x| + 1) - 1) + εx, as the paper does."""
    alpha: run.NonNegative = 0.9
    """Exponent of the priorities by which the replay draws."""
    beta: run.Unit = 0.6
    """Exponent of the importance weights of drawn windows."""
    initial_priority: Literal["acting", "largest"] = "acting"
    """Priority with which windows enter the replay: what the values that were acted with tell, as in the paper, or the
    largest seen so far."""
    eta: run.Unit = 0.9
    """Weight of the largest error of a window in its priority, against the mean one."""
    target_period: run.Count = 100
    """Updates between moves of the target network; 2500 in the paper."""
    epsilon_start: run.Unit = 1.0
    """The ε at the start: environment i of N explores with probability ε^(1 + ladder · i / (N - 1))."""
    epsilon_end: run.Unit = 0.4
    epsilon_fraction: run.Unit = 0.1
    ladder: run.NonNegative = 7.0
    """How much less the last environment explores than the first; 0 for all alike."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train R2D2 (Kapturowski et al., 2019) on a task with discrete actions."""

    env: str = "bellmax/memory-chain"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    rows = config.burn_in + config.length + config.frames + config.stride - 1
    parts.recurrent.check(config, spec, size, -(-rows // config.stride) * config.stride)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax.numpy as jnp

    import replay
    from agents import losses
    from agents.common import optimisers
    from agents.r2d2 import acting_priority, r2d2

    per_iteration = config.unroll * size.num_envs * size.devices
    updates = size.steps / per_iteration * config.updates
    rate = parts.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    pair = losses.SIGNED_HYPERBOLIC_PAIR if config.rescale else losses.IDENTITY_PAIR
    acting = config.initial_priority == "acting"
    agent = r2d2(
        parts.recurrent.recurrent(config, spec),
        optimisers.adam(rate, config.max_grad_norm, config.adam_eps),
        discount=config.discount,
        n_step=config.n_step,
        burn_in=config.burn_in,
        eta=config.eta,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * updates),
        ladder=config.ladder,
        target_period=config.target_period,
        target_rate=config.target_rate,
        tx_pair=pair,
        values=acting,
    )
    told = acting_priority(
        discount=config.discount, n_step=config.n_step, burn_in=config.burn_in, eta=config.eta, tx_pair=pair,
        rewrite=lambda reward: jnp.clip(reward, -1.0, 1.0) if config.clip_rewards else reward,
    )  # fmt: skip
    buffer, batch = parts.shares(config, size)
    sizes = (buffer, batch, config.burn_in + config.length, config.frames)
    storage = replay.prioritised(
        *sizes,
        alpha=config.alpha,
        beta=config.beta,
        stride=config.stride,
        initial=told if acting else None,
    )
    schedule = run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration))
    return run.Parts(parts.recurrent.wrapped(agent, config, spec), storage, schedule)


PRESETS: run.Presets = {
    name: parts.merge(
        parts.presets.RUN | {"num_envs": 64, "env_options": options},
        learning_rate=1e-4,
        anneal=False,
        adam_eps=1e-3,
        discount=0.997,
        hidden=(512,),
        memory_size=512,
        head=(512,),
        burn_in=40,
        length=80,
        stride=40,
        n_step=5,
        batch_size=64,
        buffer_size=500_000,
        frames=4,
        warmup=50_000,
        unroll=40,
        updates=1,
        target_period=2_500,
        epsilon_start=0.4,
        epsilon_end=0.4,
    )
    for name, options in (
        ("atari", ("protocol=sticky",)),
        ("atari-classic", ("protocol=classic", "zero_discount_on_life_loss=false", "full_action_space=true")),
    )
}
"""The paper's protocol is the classic one without the loss of lives. It has 256 actors and 4 M frames, and does not say
how often it learns: here each step is replayed twice. `atari` is the same under the sticky protocol."""

experiment = run.Experiment("r2d2", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
