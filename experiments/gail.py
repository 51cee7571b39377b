"""Generative adversarial imitation learning: `python -m experiments.gail --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, ppo, run, sac, trpo

if TYPE_CHECKING:
    from agents.common.adversarial import Contest

LEARNERS = {"ppo": ppo, "trpo": trpo, "sac": sac}


@dataclass(frozen=True)
class Config(parts.experts.Shown, ppo.Config, trpo.Config, sac.Config):
    """Flags of the agent: those of who learns, of the demonstrations, and of the discriminator."""

    learner: Literal["ppo", "trpo", "sac"] = "ppo"
    """Who learns from what the discriminator pays; flags of the other two do nothing."""
    every: run.Count = 1
    """Learn from every so many steps of a demonstration, from a step on that is drawn for each."""
    form: Literal["positive", "negative", "logit"] = "positive"
    """What is paid: -ln(1 - D), which is at least 0 and pays for staying alive; ln D, which pays for ending; or their
    sum."""
    discriminator_hidden: tuple[run.Count, ...] = (100, 100)
    """Sizes of the discriminator's layers."""
    discriminator_learning_rate: run.Positive = 1e-3
    """Adam's step size for the discriminator."""
    discriminator_updates: run.Whole = 1
    """Steps of the discriminator per update of the learner; 0 leaves it as it began."""
    discriminator_batch: run.Count = 256
    """Transitions of the expert, and as many of the learner, in a step of the discriminator."""
    discriminator_entropy: run.NonNegative = 1e-3
    """Weight of the discriminator's entropy, which is kept up."""
    penalty: run.NonNegative = 0.0
    """Weight of the gradient penalty on the discriminator; 10 in DAC."""
    absorbing: bool = False
    """Let an end of an episode lead into a state where the agent stays and is judged for ever, as in DAC."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Imitate an expert (GAIL; Ho and Ermon, 2016) by PPO, TRPO or SAC, whose reward is to be taken for the expert."""

    env: str = "bellmax/pendulum"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses what the learner refuses, experts that there are not, and rewards that are not rewritten step by step.

    Raises:
      ValueError: naming the flag.
    """
    LEARNERS[config.learner].check(config, spec, size)
    check_rewards(config)
    parts.experts.check(config, spec, size)
    if config.absorbing and config.discount >= 1:
        raise ValueError(f"--agent.discount {config.discount}: must be below 1 with --agent.absorbing")


def check_rewards(config: Config) -> None:
    """Refuses what would learn from the task's reward, or from several steps at once.

    Raises:
      ValueError: naming the flag.
    """
    if config.normalise_rewards and config.learner != "sac":
        raise ValueError("--agent.normalise-rewards: is by the task's reward, which an imitator does not see")
    if config.n_step > 1 and config.learner == "sac":
        raise ValueError(f"--agent.n-step {config.n_step}: single transitions are judged; must be 1")


def contest(config: Config) -> "Contest":
    """How the discriminator learns."""
    from agents.common.adversarial import Contest

    return Contest(
        config.discriminator_updates,
        config.discriminator_batch,
        config.discriminator_entropy,
        config.penalty,
        config.discount if config.absorbing else None,
    )


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents import gail
    from agents.common import adversarial, optimisers

    inner = LEARNERS[config.learner].make(config, spec, size)
    agent = adversarial.imitating(
        inner.agent,
        gail.judge(config.discriminator_hidden, config.form),
        optimisers.adam(config.discriminator_learning_rate),
        parts.experts.transitions(config, spec, config.every, config.discount),
        spec,
        contest(config),
    )
    return inner._replace(agent=agent)


PENDULUM: dict[str, Any] = {
    "env": "bellmax/pendulum",
    "steps": 300_000,
    "num_envs": 4,
    "agent.every": 5,
    "agent.unroll": 512,
    "agent.epochs": 10,
    "agent.minibatches": 32,
    "agent.learning_rate": 1e-3,
    "agent.anneal": False,
    "agent.discount": 0.95,
    "agent.entropy_cost": 0.0,
    "agent.normalise_observations": True,
    "agent.form": "logit",
    "agent.discriminator_learning_rate": 3e-4,
    "agent.discriminator_updates": 10,
    "agent.penalty": 10.0,
}
PRESETS: run.Presets = {
    "pendulum": PENDULUM,
    "pendulum-trpo": PENDULUM
    | {
        "agent.learner": "trpo",
        "num_envs": 2,
        "agent.unroll": 1024,
        "agent.gae_lambda": 0.95,
        "agent.epochs": 15,
        "agent.minibatches": 16,
    },
    "dac": {
        "env": "bellmax/pendulum",
        "steps": 20_000,
        "num_envs": 4,
        "agent.learner": "sac",
        "agent.every": 5,
        "agent.form": "logit",
        "agent.learning_rate": 1e-3,
        "agent.unroll": 1,
        "agent.absorbing": True,
        "agent.penalty": 10.0,
    },
}
"""`pendulum` and `pendulum-trpo` have the learners of these commands' presets with a longer horizon, ten steps of the
discriminator per rollout where the paper takes one, and a gradient penalty. `dac` has SAC in the place of TD3."""

experiment = run.Experiment("gail", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
