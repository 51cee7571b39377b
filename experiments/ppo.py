"""PPO: `python -m experiments.ppo --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import parts, run

if TYPE_CHECKING:
    from agents.common.lessons import Lesson
    from agents.common.streams import Stream


@dataclass(frozen=True)
class Config(parts.actor_critics.Body):
    """Flags of the agent."""

    learning_rate: run.Positive = 2.5e-4
    """Step size of the Adam optimiser."""
    adam_eps: run.Positive = 1e-5
    """The ε that Adam adds to the root of the second moment."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 0.5
    """Global norm that gradients are clipped to."""
    gae_lambda: run.Unit = 0.95
    """The λ of the generalised advantage."""
    clip: run.Limit = 0.2
    """Bound ε on how far the surrogate's ratios may be from 1; inf for no clipping, with `kl_cost` instead."""
    anneal_clip: bool = False
    """Let the surrogate's clipping ε fall linearly to 0 over the run."""
    kl_cost: run.NonNegative | None = None
    """Weight β of KL(old policy ‖ policy); none by default."""
    kl_target: run.Positive | None = None
    """Divergence per rollout that `kl_cost` is adapted to; by default `kl_cost` stays fixed."""
    value_clip: run.Positive | None = None
    """Bound on how far a value may profit from leaving its old one; none by default."""
    value_cost: run.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: run.NonNegative = 0.01
    """Weight of the entropy bonus."""
    normalise_advantages: bool = True
    """Normalise advantages in each minibatch."""
    epochs: run.Count = 4
    """Passes of learning over each rollout."""
    minibatches: run.Count = 4
    """Gradient steps per pass, each on a minibatch."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train PPO (Schulman et al., 2017) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_passes(config, size)
    if config.kl_target is not None and config.kl_cost is None:
        raise ValueError(f"--agent.kl-target {config.kl_target}: needs --agent.kl-cost to begin with")
    parts.actor_critics.check(config, spec)


def make(
    config: Config, spec: "run.Spec", size: run.Size, second: "Stream | None" = None, lesson: "Lesson | None" = None
) -> run.Parts:
    """The parts of one run, of flags that `check` accepts; with a `second` stream of rewards, or a `lesson`."""
    from agents.common import optimisers
    from agents.ppo import ppo

    rollouts = parts.actor_critics.iterations(config, size)
    rate = parts.actor_critics.annealed(
        config.learning_rate, config.anneal, rollouts * config.epochs * config.minibatches
    )
    clip = parts.linear(config.clip, 0.0, rollouts) if config.anneal_clip else config.clip
    agent = ppo(
        parts.actor_critics.network(config, spec, 1 if second is None else 2),
        optimisers.adam(rate, config.max_grad_norm, config.adam_eps),
        discount=config.discount,
        lambda_=config.gae_lambda,
        clip=clip,
        kl_cost=config.kl_cost,
        kl_target=config.kl_target,
        value_clip=config.value_clip,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
        epochs=config.epochs,
        minibatches=config.minibatches,
        normalise=config.normalise_advantages,
        second=second,
        lesson=lesson,
    )
    return parts.actor_critics.parts(agent, config, spec)


MUJOCO: dict[str, Any] = {
    "env": "envpool/HalfCheetah-v4",
    "steps": 1_000_000,
    "num_envs": 8,
    "agent.unroll": 256,
    "agent.epochs": 10,
    "agent.minibatches": 32,
    "agent.learning_rate": 3e-4,
    "agent.value_clip": 0.2,
    "agent.entropy_cost": 0.0,
    "agent.normalise_observations": True,
    "agent.normalise_rewards": True,
}
PRESETS: run.Presets = {
    "cartpole": {
        "env": "gymnax/CartPole-v1",
        "steps": 100_000,
        "num_envs": 8,
        "agent.unroll": 32,
        "agent.epochs": 20,
        "agent.minibatches": 1,
        "agent.learning_rate": 1e-3,
        "agent.anneal_clip": True,
        "agent.discount": 0.98,
        "agent.gae_lambda": 0.8,
        "agent.entropy_cost": 0.0,
    },
    "acrobot": {
        "env": "gymnax/Acrobot-v1",
        "steps": 1_000_000,
        "num_envs": 16,
        "agent.unroll": 256,
        "agent.epochs": 4,
        "agent.minibatches": 32,
        "agent.learning_rate": 3e-4,
        "agent.gae_lambda": 0.94,
        "agent.entropy_cost": 0.0,
        "agent.normalise_observations": True,
    },
    "pendulum": {
        "env": "bellmax/pendulum",
        "steps": 100_000,
        "num_envs": 4,
        "agent.unroll": 512,
        "agent.epochs": 10,
        "agent.minibatches": 32,
        "agent.learning_rate": 1e-3,
        "agent.anneal": False,
        "agent.discount": 0.9,
        "agent.entropy_cost": 0.0,
        "agent.normalise_observations": True,
        "agent.normalise_rewards": True,
    },
    "mujoco": MUJOCO,
    "dm-control": MUJOCO | {"env": "envpool/CheetahRun-v1"},
    "atari": parts.presets_policy.ATARI
    | {
        "num_envs": 8,
        "agent.unroll": 128,
        "agent.clip": 0.1,
        "agent.value_clip": 0.1,
    },
}
"""`cartpole`, `acrobot` and `pendulum` start from the tuned settings of Stable-Baselines3's zoo; what differs, on some
of them, is the size of minibatches, normalised observations or rewards, and the annealing. `mujoco` and `atari` are
those of Schulman et al. (2017) as CleanRL has them, values clipped like the policy, with `mujoco`'s 2048 steps shared
out over 8 environments. `dm-control` is `mujoco` on the DeepMind Control Suite.
"""

experiment = run.Experiment("ppo", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
