"""What commands share that put a bonus around an agent: flags, refusals, and the building of both."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_type_hints

from experiments import run

if TYPE_CHECKING:
    import optax

    from agents.common.curiosity import Module

    class _Within(Protocol):
        """Flags of an agent within another."""

        @property
        def around(self) -> str: ...

        @property
        def inner(self) -> tuple[str, ...]: ...


Around = Literal["ppo", "a2c", "trpo", "dqn", "sac", "r2d2"]
TWO_VALUES = ("ppo", "a2c")
FOLDED = ("dqn", "sac")
"""Agents whose replay folds n steps into one, which a model of single steps cannot learn from."""


@dataclass(frozen=True)
class Bonus:
    """Flags of an agent within, and of a bonus around it."""

    around: Around = "ppo"
    """Agent that the bonus is paid to, by the name of its command."""
    inner: tuple[str, ...] = ()
    """Flags of the agent that `around` names, as name=value, such as learning-rate=1e-3 hidden=64,64; the `--help` of
    its own command shows them as `--agent.`. DQN and SAC have n-step=1 here unless told otherwise."""
    apart: bool = False
    """Learn from bonuses as a second stream of rewards with a value of its own, of which ppo and a2c are capable."""
    ends: bool = False
    """Let the stream of bonuses end where an episode ends."""
    coefficient: run.NonNegative = 1.0
    """Factor of the bonus in the reward, or of the second stream's advantages."""
    extrinsic: run.NonNegative = 1.0
    """Factor of the task's reward, or of the first stream's advantages; 0 learns from bonuses alone."""
    normalise_bonus: bool = True
    """Divide the bonus by the standard deviation of its discounted sums."""
    bonus_discount: run.Unit = 0.99
    """Discount γ of bonuses, in the sums that normalise them and in the stream of bonuses."""
    bonus_learning_rate: run.Positive = 1e-4
    """Step size of the bonus's networks."""
    bonus_hidden: tuple[run.Count, ...] = (64, 64)
    """Units of each layer of the bonus's networks; at least one layer."""
    bonus_features: run.Count = 32
    """Features that the bonus's networks compute."""
    newest: run.Whole = 0
    """Channels of the newest frame of image observations, which the bonus's networks see alone, less its mean and over
    its deviation; 0 for images as they are."""
    settle: run.Whole = 0
    """Transitions at first, of those that updates are shown, from which nobody learns, so that the statistics of the
    bonus are of random play; with a replay, of what was drawn from it."""


def inner(config: "_Within") -> tuple[run.Experiment, Any]:
    """The experiment of the agent within, and that agent's flags, by `around` and `inner` of a command's.

    Raises:
      ValueError: naming what is wrong in `--agent.inner`.
    """
    experiment = import_module(f"experiments.{config.around}").experiment
    own = experiment.flags().agent
    hints = get_type_hints(type(own), include_extras=True)
    values: dict[str, Any] = {"n_step": 1} if config.around in FOLDED else {}
    for word in config.inner:
        name, equals, text = word.partition("=")
        field = name.replace("-", "_")
        if not equals or field not in hints:
            near = f"{config.around} has no such flag{run.flags.closest(field, hints)}"
            raise ValueError(f"--agent.inner {word}: {near if equals else 'write NAME=VALUE'}")
        try:
            values[field] = _read(hints[field], text)
        except ValueError as error:
            raise ValueError(f"--agent.inner {word}: must be {error}") from None
        wrong = run.ranges.fault(values[field], run.ranges.declared(hints[field])[1])
        if wrong:
            raise ValueError(f"--agent.inner {word}: {wrong}")
    return experiment, replace(own, **values)


def check_inner(config: "_Within", spec: "run.Spec", size: run.Size) -> tuple[run.Experiment, Any]:
    """What `inner` gives, after refusing what the agent within refuses.

    Raises:
      ValueError: naming the flag in `--agent.inner`.
    """
    experiment, own = inner(config)
    try:
        experiment.check(own, spec, size)
    except ValueError as error:
        raise ValueError(re.sub(r"--agent\.([a-z])", r"--agent.inner \1", str(error))) from None
    return experiment, own


def check(
    config: Bonus, spec: "run.Spec", size: run.Size, module: Callable[[], object], consecutive: bool = False
) -> None:
    """Refuses what the agent within refuses, and a bonus that does not go with it.

    Args:
      config: the flags.
      spec: the task.
      size: of the run.
      module: makes the module; what it refuses is refused.
      consecutive: whether the module learns what a single action leads to.

    Raises:
      ValueError: naming the flag.
    """
    _, own = check_inner(config, spec, size)
    if not config.bonus_hidden:
        raise ValueError("--agent.bonus-hidden (empty): must be one layer or more")
    if config.apart and config.around not in TWO_VALUES:
        told = f"--agent.around {config.around} has one value; allowed: {', '.join(TWO_VALUES)}"
        raise ValueError(f"--agent.apart: {told}")
    if consecutive and config.around in FOLDED and own.n_step > 1:
        raise ValueError(f"--agent.inner n-step={own.n_step}: the bonus learns what one action leads to; must be 1")
    try:
        module()
    except ValueError as error:
        raise ValueError(f"--env {spec.name}: {error}") from None


def make(config: Bonus, spec: "run.Spec", size: run.Size, module: "Module") -> run.Parts:
    """The agent within, with the module around it, and its replay."""
    from agents.common import curiosity
    from agents.common.streams import Stream

    experiment, own = inner(config)
    options: dict[str, Any] = {
        "discount": config.bonus_discount,
        "normalise": config.normalise_bonus,
        "settle": config.settle,
    }
    if config.apart:
        stream = Stream(config.bonus_discount, config.coefficient, config.extrinsic, config.ends)
        made = experiment.make(own, spec, size, second=stream)
        return made._replace(agent=curiosity.curious(made.agent, module, spec, apart=True, **options))
    clipped = getattr(own, "clip_rewards", False)
    made = experiment.make(replace(own, clip_rewards=False) if clipped else own, spec, size)
    options |= {"coefficient": config.coefficient, "extrinsic": config.extrinsic, "clip": 1.0 if clipped else None}
    agent, replay = curiosity.rewarded(made.agent, made.replay, module, spec, **options)
    return made._replace(agent=agent, replay=replay)


def networks(config: Bonus, cnn: str) -> dict[str, Any]:
    """The arguments that all modules with networks have in common, with these convolutions for images."""
    return {"hidden": config.bonus_hidden, "features": config.bonus_features, "cnn": cnn}


def optimiser(config: Bonus) -> "optax.GradientTransformation":
    """Of the bonus's networks."""
    from agents.common import optimisers

    return optimisers.adam(config.bonus_learning_rate)


def _read(kind: object, text: str) -> Any:
    """A flag's value as `name=value` has it: numbers, true and false, null, words, and lists with commas.

    Raises:
      ValueError: it is of another type; the text says what is allowed.
    """

    def word(text: str) -> object:
        if text == "inf":
            return None  # as in JSON, where a limit may be infinite
        try:
            return json.loads(text)
        except ValueError:
            return text

    try:
        return run.ranges.fitted(kind, word(text))
    except ValueError:
        return run.ranges.fitted(kind, [word(each) for each in text.split(",") if each])
