"""Modulated locomotor ("spinal-cortical") controllers: `python -m experiments.spinal --help`.

A run begins with the practice of the low level, which takes place in the graph that sets the run up.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from envs.base import Environment


@dataclass(frozen=True)
class Config(parts.actor_critics.Layers):
    """Flags of the agent; those of the network are for the high level."""

    period: run.Count = 10
    """Steps K for which a modulation is held, in practice and after it."""
    modulation: run.Count = 2
    """Size of a modulation."""
    low_hidden: tuple[run.Count, ...] = (32, 32)
    """Sizes of the low level's dense layers."""
    practice: run.Whole = 400_000
    """Environment steps in which the low level practises before the task; 0 leaves it untrained."""
    practice_options: tuple[str, ...] = ("distance=1", "sparse=false", "time_limit=50")
    """Options of the task that the low level practises, as name=value; the task is that of --env."""
    practice_discount: run.Unit = 0.95
    """Discount γ of later rewards in practice."""
    flat: bool = False
    """Do without levels: a policy over actions learns from scratch."""
    unroll: run.Count = 128
    """Steps in each environment per rollout."""
    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser."""
    max_grad_norm: run.Limit = 0.5
    """Global norm that gradients are clipped to."""
    gae_lambda: run.Unit = 0.95
    """The λ of the generalised advantage."""
    clip: run.Limit = 0.2
    """Bound ε on how far PPO's ratios may be from 1."""
    value_cost: run.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: run.NonNegative = 0.0
    """Weight of the entropy bonus."""
    normalise_advantages: bool = False
    """Normalise advantages in each minibatch, as practice does. Where nothing is paid that makes a policy drift."""
    epochs: run.Count = 4
    """Passes of learning over each rollout."""
    minibatches: run.Count = 4
    """Gradient steps per pass, each on a minibatch."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train a high level (Heess et al., 2016) that modulates a low one, which knows the body alone and is frozen."""

    env: str = "bellmax/unicycle"
    """Task in graph, as suite/id, whose observation has an entry `proprioception`."""
    num_envs: run.Count = 64
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def near(config: Config, spec: "run.Spec") -> "Environment":
    """The task of the practice.

    Raises:
      ValueError: there is no such option, or the task is not in graph, or sees or does something else.
    """
    import envs

    try:
        env = envs.make(spec.name, **envs.parse_options(config.practice_options))
    except ValueError as error:
        raise ValueError(f"--agent.practice-options {' '.join(config.practice_options)}: {error}") from error
    if not isinstance(env, envs.Environment):
        raise ValueError(f"--env {spec.name}: spinal needs a task in graph, for the practice")
    return env


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and a task that does not tell the body apart.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_entries(spec, ("proprioception",), "bellmax/unicycle")
    parts.unit_box(spec, "spinal")
    parts.check_passes(config, size)
    parts.actor_critics.check_network(config, spec)
    near(config, spec)


PRACTICE = {"lanes": 64, "unroll": 50}
"""Of the low level: environments side by side and steps of a rollout."""


def make(config: Config, spec: "run.Bounded", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers, wrappers
    from agents.ppo import ppo
    from agents.spinal import BODY, both, held, practised, spinal
    from envs.base import Box

    def learner(network: "run.Network", discount: float, normalise: bool = config.normalise_advantages) -> "run.Agent":
        return ppo(
            network,
            optimisers.adam(config.learning_rate, config.max_grad_norm, eps=1e-5),
            discount=discount,
            lambda_=config.gae_lambda,
            clip=config.clip,
            value_cost=config.value_cost,
            entropy_cost=config.entropy_cost,
            epochs=config.epochs,
            minibatches=config.minibatches,
            normalise=normalise,
        )

    finished = lambda agent: wrappers.centred_actions(parts.clipped(agent, config), spec.action)  # noqa: E731
    end = replay.on_policy(config.unroll), run.Schedule(config.unroll)
    if config.flat:
        return run.Parts(finished(learner(parts.actor_critics.network(config, spec), config.discount)), *end)
    (actions,), wide = spec.action.shape, Box((config.modulation,))
    dense = lambda space, sizes: parts.torso(spec._replace(observation=space), sizes, "none", config.activation)  # noqa: E731
    below = {BODY: spec.observation[BODY], "modulation": wide}
    low = networks.q_network(dense(below, config.low_hidden), networks.GaussianPolicy(actions))
    whole = spec.observation
    first = networks.q_network(dense(whole, config.hidden), networks.Values(config.modulation))
    judge = networks.q_network(dense(whole, config.hidden), networks.Value())
    levels = learner(both(low, first, judge, config.modulation), config.practice_discount, True)
    practice = practised(
        wrappers.centred_actions(levels, spec.action),
        near(config, spec),
        config.period,
        **PRACTICE,
        rollouts=-(-config.practice // (PRACTICE["lanes"] * PRACTICE["unroll"])),
    )
    above = parts.actor_critics.network(config, spec._replace(action=wide))
    agent = spinal(low, learner(held(above), config.discount), practice, config.modulation, period=config.period)
    return run.Parts(finished(agent), *end)


PRESETS: run.Presets = {
    "far": {
        "env_options": ("distance=10", "sparse=true", "time_limit=300"),
        "steps": 1_500_000,
        "eval_every": 150_000,
        "agent.discount": 0.99,
    }
}
"""`far` has the goal ten times as far as in practice, and pays nothing on the way."""

experiment = run.Experiment("spinal", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
