"""MAESN: `python -m experiments.maesn --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import maml, parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the policy's dense layers."""
    activation: Literal["tanh", "relu"] = "relu"
    """Activation of the dense layers."""
    latent: run.Count = 2
    """Size of the latent that is drawn for each episode."""
    rate: run.Positive = 1.0
    """Size α of the steps of the latents' means at first; it is learned."""
    spread_rate: run.Positive = 0.3
    """Step size at first of the logarithms of the latents' standard deviations; it is learned."""
    kl_cost: run.NonNegative = 0.1
    """Weight of the divergence of the tasks' latents before their step from N(0, 1)."""
    hold: bool = True
    """Draw the latent once for an episode; if not, for every step."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    gae_lambda: run.Unit = 1.0
    """The λ of the generalised advantage."""
    rollouts: run.Count = 50
    """Episodes that each task plays before its step, and after it."""
    learning_rate: run.Positive = 3e-3
    """Step size of the Adam optimiser."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 1.0
    """Global norm that gradients are clipped to."""
    epochs: run.Count = 2
    """Gradient steps on the rollouts of a trial."""
    clip: run.Limit = 0.3
    """Bound ε on how far the ratios after the step may be from 1; inf for none."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train MAESN (Gupta et al., 2018): exploration by a latent of each episode, which tasks adapt."""

    factorises = True
    env: str = "bellmax/point-goals"
    """Task, as suite/id, of a distribution with episodes of one length, whose tasks stay for good (episodes=0)."""
    env_options: tuple[str, ...] = ("goals=half-circle", "horizon=20", "episodes=0")
    """Options that the task is made with, as name=value."""
    eval_env_options: tuple[str, ...] = ("sparse=true",)
    """Options that the task has besides, or instead, when policies are evaluated."""
    steps: run.Steps = 16_800_000
    """Environment steps that each seed trains for."""
    num_envs: run.Count = 40
    """Environments (lanes) per seed: the tasks of training."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that do not stay, and observations that are no vector.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box

    parts.check_lanes_are_tasks(config, spec, 0, "it must for good")
    if not isinstance(spec.observation, Box) or len(spec.observation.shape) != 1:
        raise ValueError(f"--env {spec.name}: needs a vector as observation, but it is {spec.observation}")
    parts.actor_critics.check_actions(spec)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import optimisers
    from agents.maesn import maesn
    from envs.base import Box

    length = config.rollouts * ((spec.time_limit or 0) + 1)
    steps = size.steps // (2 * length * size.num_envs * size.devices) * config.epochs
    rate = parts.linear(config.learning_rate, 0.0, max(1, steps)) if config.anneal else config.learning_rate
    seen = spec._replace(observation=Box((spec.observation.shape[0] + config.latent,)))
    agent = maesn(
        parts.policy(seen, config.hidden, config.activation, gain=1.0),  # by a small one z would change nothing
        optimisers.adam(rate, config.max_grad_norm),
        length,
        config.latent,
        rate=config.rate,
        spread_rate=config.spread_rate,
        kl_cost=config.kl_cost,
        clip=config.clip,
        epochs=config.epochs,
        discount=config.discount,
        lambda_=config.gae_lambda,
        hold=config.hold,
    )
    return run.Parts(parts.centred(agent, spec), replay.on_policy(length), run.Schedule(length))


CHEETAH: dict[str, Any] = {
    "env_options": ("episodes=0",),
    "eval_env_options": (),
    "steps": 64_000_000,
    "agent.rollouts": 20,
    "agent.hidden": (100, 100),
}
PRESETS: run.Presets = {
    "cheetah-velocity": CHEETAH | {"env": "meta/HalfCheetahVelocity"},
    "cheetah-direction": CHEETAH | {"env": "meta/HalfCheetahDirection"},
}
"""The cheetahs of Finn et al. (2017), each lane with a speed or a direction of its own, and the authors' network; no
figures of theirs are recorded here."""

experiment = run.Experiment("maesn", Flags, check, make, PRESETS, alone=maml.ALONE)
main = experiment.main

if __name__ == "__main__":
    main()
