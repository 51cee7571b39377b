"""Adversarial inverse reinforcement learning: `python -m experiments.airl --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import gail, parts, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.base import Array, Tree
    from agents.common.adversarial import Judge
    from agents.common.moments import Moments
    from agents.common.moves import Moves


@dataclass(frozen=True)
class Config(gail.Config):
    """Flags of the agent; those of `experiments.gail`, and those of the reward."""

    learner: Literal["ppo", "trpo"] = "ppo"
    """Who learns from what the discriminator pays; flags of others do nothing."""
    form: Literal["logit"] = "logit"
    """What is paid: ln D - ln(1 - D), which is f - ln π."""
    discriminator_hidden: tuple[run.Count, ...] = (32, 32)
    """Sizes of the layers of the reward g and of the potential h; with none they are linear."""
    discriminator_updates: run.Whole = 10
    """Steps of the discriminator per update of the learner; 0 leaves it as it began."""
    of_actions: bool = False
    """Let the reward g be one of states and actions; by default it is of states alone, and outlives other moves."""
    reward: str = ""
    """Run folder of this command whose reward g is learned from, and neither an expert nor the task's reward."""
    reward_seed: run.Whole = 0
    """Which seed of the run that `reward` names, counted from 0."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Learn a reward from an expert, and its policy (AIRL; Fu et al., 2018), or a policy from a reward so learned."""

    env: str = "bellmax/grid"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses what the learner refuses, memory, and rewards that there are not.

    Raises:
      ValueError: naming the flag.
    """
    gail.LEARNERS[config.learner].check(config, spec, size)
    gail.check_rewards(config)
    if config.memory != "none":
        raise ValueError(f"--agent.memory {config.memory}: densities are of policies without memory; allowed: none")
    if config.reward:
        learned(config, spec)
    else:
        parts.experts.check(config, spec, size)


def learned(config: Config, spec: "run.Spec") -> "tuple[Config, Tree]":
    """The flags of the run whose reward is handed on, and what it says, `adversarial.Actor`.

    Raises:
      ValueError: it is no run of this command, has no such seed or no policies yet, or is of another kind of task.
    """
    import jax

    told = f"--agent.reward {config.reward}"
    try:
        found = run.load(config.reward)
        actors, own = found.actors(), found.env.spec
    except (ValueError, OSError) as error:
        raise ValueError(f"--agent.reward: {error}") from None
    if found.experiment.name != "airl":
        raise ValueError(f"{told}: is a run of experiments.{found.experiment.name}; allowed: of experiments.airl")
    if found.flags.agent.reward:
        raise ValueError(f"{told}: learned no reward, but from that of {found.flags.agent.reward}")
    if config.reward_seed >= found.flags.seeds:
        raise ValueError(f"--agent.reward-seed {config.reward_seed}: the run has {found.flags.seeds}, counted from 0")
    if (str(own.observation), str(own.action)) != (str(spec.observation), str(spec.action)):
        raise ValueError(f"{told}: is of {own.name}, which has other observations or actions than {spec.name}")
    return found.flags.agent, jax.tree.map(lambda x: x[config.reward_seed], actors)


def density(config: Config, spec: "run.Spec") -> "Callable[[Tree, Tree, Array], Array]":
    """`(actor, observation[T, N], action[T, N]) -> ln π [T, N]` of the learner."""
    import jax
    import jax.numpy as jnp

    from agents.base import batch_of
    from agents.common import moves, wrappers
    from envs.base import Box

    network = parts.actor_critics.network(config, spec)

    def log_prob(actor: "Tree", observation: "Tree", action: "Array") -> "Array":
        if config.normalise_observations:
            observation = wrappers.standardised(observation, spec.observation, actor.moments, clip=10.0)
            actor = actor.inner
        first = jnp.zeros(jax.tree.leaves(observation)[0].shape[:2], bool)
        (policy, _), _ = network.apply(actor, None, network.begin(batch_of(first.T)), observation, first)
        return policy.log_prob(moves.coded(spec, action) if isinstance(spec.action, Box) else action)

    return log_prob


def judge(config: Config) -> "Judge":
    """The discriminator that the flags describe."""
    from agents import airl

    return airl.judge(config.discriminator_hidden, config.of_actions, config.discount)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.common import adversarial, optimisers

    inner = gail.LEARNERS[config.learner].make(config, spec, size)
    if config.reward:

        def handed() -> "tuple[Callable[[Moves], Array], Moments]":
            flags, said = learned(config, spec)
            return lambda found: judge(flags).lasting(said.judge, found), said.moments

        return inner._replace(agent=adversarial.rewarded(inner.agent, handed, spec))
    agent = adversarial.imitating(
        inner.agent,
        judge(config),
        optimisers.adam(config.discriminator_learning_rate),
        parts.experts.transitions(config, spec, config.every, config.discount),
        spec,
        gail.contest(config),
        density(config, spec),
    )
    return inner._replace(agent=agent)


GRID: dict[str, Any] = {
    "env": "bellmax/grid",
    "steps": 200_000,
    "num_envs": 16,
    "agent.expert": "soft",
    "agent.demonstrations": 200,
    "agent.unroll": 40,
    "agent.discount": 0.9,
    "agent.learning_rate": 3e-3,
    "agent.anneal": False,
    "agent.entropy_cost": 0.0,
    "agent.discriminator_hidden": (),
    "agent.discriminator_learning_rate": 1e-2,
    "agent.discriminator_entropy": 0.0,
}
PRESETS: run.Presets = {"grid": GRID, "grid-transfer": GRID | {"env_options": ("exchange=1",), "steps": 100_000}}
"""`grid` learns a reward on `bellmax/grid`; `grid-transfer`, with `--agent.reward RUN`, learns a policy from it where
actions are exchanged."""

experiment = run.Experiment("airl", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
