"""MAML and E-MAML: `python -m experiments.maml --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run

ALONE = "the lanes of a trial share the steps that were taken for them"


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the policy's dense layers."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the dense layers."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    gae_lambda: run.Unit = 1.0
    """The λ of the generalised advantage."""
    rollouts: run.Count = 20
    """Episodes that each task plays before every step of its own, and after the last one."""
    inner_steps: run.Count = 1
    """Steps that each task takes for itself."""
    inner_rate: run.Positive = 0.5
    """Size α of the tasks' own steps."""
    surrogate: Literal["plain", "lvc", "dice"] = "plain"
    """What the tasks' own steps descend on; their gradients are alike, and their second derivatives are not."""
    first_order: bool = False
    """Take the gradients of the tasks' own steps for constants."""
    outer: Literal["ppo", "trpo"] = "ppo"
    """How the parameters that tasks begin with are learned."""
    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser, of ppo."""
    max_grad_norm: run.Limit = 1.0
    """Global norm that gradients are clipped to, of ppo."""
    epochs: run.Count = 5
    """Gradient steps on the rollouts of a trial, of ppo."""
    clip: run.Limit = 0.3
    """Bound ε on how far the ratios after the step may be from 1, of ppo; inf for none."""
    kl_cost: run.NonNegative = 0.0
    """Weight of the divergence from the policy that played before the step; ProMP's is above 0."""
    exploration: run.NonNegative = 0.0
    """Weight of E-MAML's credit to what was played before the step."""
    pretrain: bool = False
    """Learn from what was played before the step alone, as if there were none: joint pretraining."""
    radius: run.Positive = 0.01
    """Divergence δ after the step that is allowed, of trpo."""
    damping: run.NonNegative = 0.1
    """Damping η that is added to the Hessian of the divergence, of trpo."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train MAML (Finn et al., 2017) on a distribution of tasks, of which each lane plays one at a time."""

    factorises = True
    env: str = "bellmax/point-goals"
    """Task, as suite/id, of a distribution whose tasks stay for rollouts × (inner steps + 1) episodes of one length."""
    steps: run.Steps = 4_848_000
    """Environment steps that each seed trains for."""
    num_envs: run.Count = 20
    """Environments (lanes) per seed: the tasks of a batch."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that do not stay as long as they have to.

    Raises:
      ValueError: naming the flag.
    """
    wanted = config.rollouts * (config.inner_steps + 1)
    why = f"--agent.rollouts {config.rollouts} x (--agent.inner-steps {config.inner_steps} + 1) are {wanted}"
    parts.check_lanes_are_tasks(config, spec, wanted, why)
    parts.actor_critics.check_actions(spec)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import optimisers
    from agents.maml import Inner, Outer, maml
    from agents.trpo import Region

    length = config.rollouts * ((spec.time_limit or 0) + 1)
    inner = Inner(
        config.inner_rate,
        config.inner_steps,
        config.surrogate,
        config.first_order,
        config.discount,
        config.gae_lambda,
    )
    outer = Outer(
        config.outer,
        config.epochs,
        config.clip,
        config.kl_cost,
        config.exploration,
        config.pretrain,
        Region(config.radius, config.damping),
    )
    optimiser = optimisers.adam(config.learning_rate, config.max_grad_norm)
    network = parts.policy(spec, config.hidden, config.activation)
    agent = parts.centred(maml(network, optimiser, length, inner, outer), spec)
    return run.Parts(agent, replay.on_policy(length), run.Schedule(length))


POINTS: dict[str, Any] = {"env": "bellmax/point-goals"}
HALF_CIRCLE = POINTS | {"env_options": ("goals=half-circle", "sparse=true", "horizon=20"), "steps": 1_600_000}
CHEETAH: dict[str, Any] = {
    "env_options": ("told=false", "episodes=40"),
    "steps": 64_000_000,
    "num_envs": 40,
    "agent.inner_rate": 0.1,
}
CHEETAHS: dict[str, dict[str, Any]] = {
    "cheetah-velocity": CHEETAH | {"env": "meta/HalfCheetahVelocity"},
    "cheetah-direction": CHEETAH | {"env": "meta/HalfCheetahDirection"},
}
PRESETS: run.Presets = {
    "points": POINTS,
    "points-trpo": POINTS | {"agent.outer": "trpo"},
    "half-circle": HALF_CIRCLE | {"agent.exploration": 1.0},
    **{name: task | {"agent.hidden": (100, 100), "agent.outer": "trpo"} for name, task in CHEETAHS.items()},
}
"""`points` are the goals of Finn et al. (2017) with half of their tasks in a batch and PPO's steps in place of TRPO's,
which `points-trpo` has. `half-circle` is E-MAML on rewards close to the goal alone. The cheetahs
are those of the paper's section 5.3; no figures of theirs are recorded here.
"""

experiment = run.Experiment("maml", Flags, check, make, PRESETS, alone=ALONE)
main = experiment.main

if __name__ == "__main__":
    main()
