"""A2C: `python -m experiments.a2c --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import parts, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    import optax

    from agents.common.lessons import Lesson
    from agents.common.streams import Stream


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Body):
    """Flags of the agent."""

    gae_lambda: run.Unit = 0.95
    """The λ of the generalised advantage; 1 for the paper's n-step returns."""
    unroll: run.Count = 16
    """Steps in each environment per update."""
    meta_learning_rate: run.NonNegative | None = None
    """Step size by which discount and λ are learned from a gradient of what the next rollout says of an update (Xu et
    al., 2018); both begin at their flags. By default they stay what they are."""
    meta_discount: run.Unit = 0.99
    """Discount γ of the judgement of an update by the next rollout."""
    meta_lambda: run.Unit = 1.0
    """The λ of the returns by which a meta-gradient judges an update."""
    meta_trace: run.Unit = 0.0
    """Decay of the trace of how discount and λ have changed the parameters; with 0 the last update alone counts."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train A2C (Mnih et al., 2016, in its synchronous form) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    parts.actor_critics.check(config, spec)
    if config.meta_learning_rate is None:
        for name in ("meta_discount", "meta_lambda", "meta_trace"):
            if getattr(config, name) != getattr(Config, name):
                value = f"{run.flag('agent.' + name)} {getattr(config, name):g}"
                raise ValueError(f"{value}: of use only with --agent.meta-learning-rate")


def make(
    config: Config,
    spec: "run.Spec",
    size: run.Size,
    learner: "optax.GradientTransformation | None" = None,
    second: "Stream | None" = None,
    lesson: "Lesson | None" = None,
) -> run.Parts:
    """The parts of one run, of flags that `check` accepts.

    A `learner` takes the place of the flags' optimiser, and there may be a `second` stream of rewards, or a `lesson`.
    """
    from agents.a2c import a2c
    from agents.meta_gradient import meta_gradient

    network = parts.actor_critics.network(config, spec, 1 if second is None else 2)
    optimiser = learner or parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, size))
    rate = config.meta_learning_rate
    meta = rate is not None
    if meta and second is not None:
        raise ValueError("--agent.inner meta-learning-rate: needs one stream of rewards")

    def agent(values: "Mapping[str, Any]") -> "run.Agent":
        costs = {"value_cost": config.value_cost, "entropy_cost": config.entropy_cost}
        return a2c(network, optimiser, **values, **costs, second=second, through=meta, lesson=lesson)

    start = {"discount": config.discount, "lambda_": config.gae_lambda}
    if rate is None:
        return parts.actor_critics.parts(agent(start), config, spec)
    judged = {"discount": config.meta_discount, "lambda_": config.meta_lambda}
    learned = meta_gradient(agent, start, judged, learning_rate=rate, trace=config.meta_trace)
    return parts.actor_critics.parts(learned, config, spec)


PRESETS: run.Presets = {
    "cartpole": {
        "env": "gymnax/CartPole-v1",
        "steps": 500_000,
        "num_envs": 8,
        "agent.unroll": 5,
        "agent.learning_rate": 7e-4,
        "agent.anneal": True,
        "agent.gae_lambda": 1.0,
        "agent.entropy_cost": 0.0,
    },
    "atari": parts.presets_policy.ATARI
    | {
        "num_envs": 16,
        "agent.unroll": 5,
        "agent.optimiser": "rmsprop",
        "agent.learning_rate": 7e-4,
        "agent.gae_lambda": 1.0,
    },
}
"""`cartpole` starts from the tuned settings of Stable-Baselines3's zoo, with Adam. `atari` is Stable-Baselines3's, with
the step size falling to 0 as in Mnih et al. (2016); losses there are means, as here.
"""

experiment = run.Experiment("a2c", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
