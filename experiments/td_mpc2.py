"""TD-MPC2: `python -m experiments.td_mpc2 --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser; 3e-4 in the paper."""
    encoder_rate: run.Positive = 0.3
    """Factor of the encoder's step size."""
    max_grad_norm: run.Limit = 20.0
    """Global norm that the gradient of each network is clipped to."""
    discount: run.Unit = 0.975
    """Discount γ of later rewards, per step; for episodes of T steps the paper has (T/5 - 1) / (T/5), cut to 0.95 and
    0.995."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the dense layers of each network; two of 512 in the paper."""
    cnn: parts.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size."""
    width: run.Count = 64
    """Numbers of a latent; 512 in the paper."""
    group: run.Count = 8
    """Numbers of a latent that SimNorm makes a distribution of."""
    latents: Literal["simplicial", "plain"] = "simplicial"
    """What latents are: normalised and made distributions by SimNorm, or, as an ablation, numbers without bounds."""
    critics: run.Pair = 5
    """Number of critics, of which two are drawn for each use."""
    support: run.Positive = 10.0
    """Rewards and values are distributions over symlog values from minus this to this."""
    atoms: run.Pair = 101
    """Number of atoms of the distributions of rewards and values."""
    planner: Literal["mppi", "none"] = "mppi"
    """How actions are found: by MPPI, or, as an ablation, by the policy alone."""
    horizon: run.Count = 3
    """Steps H of a plan, and of the windows that are learned from."""
    population: run.Count = 128
    """Plans of an iteration; 512 in the paper."""
    proposals: run.Count = 12
    """Plans of an iteration that are the policy's; 24 in the paper."""
    elites: run.Count = 24
    """Plans of an iteration that the next one begins from; 64 in the paper."""
    iterations: run.Count = 4
    """Iterations of MPPI for each action; 6 in the paper."""
    temperature: run.Positive = 0.5
    """Factor τ of the returns of the best plans in their weights; the greater, the more the best of them counts."""
    entropy_cost: run.NonNegative = 1e-4
    """Weight β of the policy's entropy."""
    target_rate: run.Share = 0.01
    """How far the average critics move towards what is learned with each update."""
    batch_size: run.Count = 128
    """Windows of the replay that an update learns from; 256 in the paper."""
    buffer_size: run.Count = 100_000
    """Environment steps that the replay keeps."""
    warmup: run.Whole = 1_000
    """Environment steps of random actions before learning."""
    unroll: run.Count = 1
    """Steps in each environment between learning phases."""
    updates: run.Count = 1
    """Updates that are made in a learning phase."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train TD-MPC2 (Hansen et al., 2024) on a task with continuous actions."""

    env: str = "bellmax/pendulum"
    """Task with bounded continuous actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, actions without bounds, and replays without room for a window.

    Raises:
      ValueError: naming the flag.
    """
    parts.unit_box(spec, "td_mpc2")
    parts.check_images(spec, config.cnn)
    parts.check_replay(config, size, config.horizon + 1)
    if config.width % config.group:
        raise ValueError(f"--agent.width {config.width}: must be a multiple of --agent.group {config.group}")
    if config.proposals > config.population:
        raise ValueError(
            f"--agent.proposals {config.proposals}: must be at most --agent.population {config.population}"
        )
    if config.elites > config.population:
        raise ValueError(f"--agent.elites {config.elites}: must be at most --agent.population {config.population}")


def make(config: Config, spec: "run.Bounded", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from functools import partial

    import jax.numpy as jnp

    import networks
    import replay
    from agents.common import optimisers, wrappers
    from agents.td_mpc2 import Coefficients, td_mpc2
    from agents.world.proposals import Mppi

    actions = spec.action.shape[0]
    squash = partial(networks.simplicial, group=config.group) if config.latents == "simplicial" else lambda x: x
    network = networks.control(
        parts.torso(spec, config.hidden[:-1], config.cnn, "silu", layer_norm=True),
        actions, config.atoms, config.width, config.hidden, config.critics, squash,
        config.latents == "simplicial",
    )  # fmt: skip
    adam = lambda factor=1.0: optimisers.adam(factor * config.learning_rate, config.max_grad_norm)  # noqa: E731
    agent = td_mpc2(
        network,
        optimisers.apart(
            encoder=adam(config.encoder_rate), dynamics=adam(), reward=adam(), policy=adam(), critics=adam()
        ),
        actions=actions,
        atoms=jnp.linspace(-config.support, config.support, config.atoms),
        mppi=Mppi(
            config.horizon, config.population, config.proposals, config.elites, config.iterations, config.temperature
        ),
        planning=config.planner == "mppi",
        discount=config.discount,
        coefficients=Coefficients(entropy=config.entropy_cost),
        target_rate=config.target_rate,
    )
    buffer, batch = parts.shares(config, size)
    warmup = -(-config.warmup // (config.unroll * size.num_envs * size.devices))
    schedule = run.Schedule(config.unroll, config.updates, warmup)
    return run.Parts(wrappers.unit_actions(agent, spec.action), replay.uniform(buffer, batch, config.horizon), schedule)


PRESETS: run.Presets = {
    "dm-control": parts.merge(
        {
            "env": "envpool/CartpoleSwingup-v1",
            "steps": 100_000,
            "num_envs": 1,
            "eval_every": 10_000,
            "eval_episodes": 10,
        },
        learning_rate=3e-4,
        hidden=(512, 512),
        width=512,
        population=512,
        proposals=24,
        elites=64,
        iterations=6,
        batch_size=256,
        discount=0.995,
        warmup=5_000,
    )
}
"""`dm-control` has the paper's sizes, on `envpool/CartpoleSwingup-v1` or the task of the suite given by `--env`, and
does not repeat actions as the paper does."""

experiment = run.Experiment("td_mpc2", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
