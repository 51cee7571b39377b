"""What the learners that take rows and those that take gradients share: how they and their actors work together."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import numpy as np

from agents.base import Array, Key, Tree
from experiments.drivers.crew import Crew
from experiments.drivers.engines import Engine
from experiments.drivers.lanes import key_words

if TYPE_CHECKING:
    from experiments.drivers.collecting import Message
    from experiments.drivers.grading import Gradient

Order = Literal["fixed", "arrival"]
Ratio = Literal["exact", "free"]


class Terms(NamedTuple):
    """How a learner and its actors work together."""

    actors: int = 1
    ahead: int = 0
    """Rounds that actors may be ahead of learning: so many updates of rounds their parameters lack."""
    order: Order = "fixed"
    """Whose messages make a round: one of each actor in their order, or whichever come first."""
    publish_every: int = 1
    """Rounds between new parameters."""
    patience: float = 60.0
    """Seconds that an actor may take for a message before another takes its place."""
    priorities: bool = False
    """Whether actors say with what priorities their windows enter the replay."""
    eval_actors: int = 1
    """Actors that share an evaluation."""
    ratio: Ratio = "exact"
    """Whether there are as many updates for each row as the schedule says, or as many as the learner finds time for."""
    learner: int = 0
    """Which of the learners that train a run together this is."""


def shipped(x: Array) -> Array | np.ndarray:
    """A copy in numpy, since what it is of may be donated; keys are no numbers, and stay."""
    return x if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else np.array(x)


def evaluate_by(
    crew: Crew, engine: Engine, actors: Tree, keys: Key, terms: Terms, episodes: int
) -> dict[str, np.ndarray]:
    """A greedy evaluation that the first actors of a crew share; `[1, episodes]` each."""
    sharers = terms.eval_actors
    handle, words = engine.publish((jax.tree.map(shipped, actors), ())), key_words(keys[0])
    for actor in range(sharers):
        number = actor + terms.learner * sharers
        own = words if number == 0 else key_words(jax.random.fold_in(keys[0], number))
        crew.ask(actor, "evaluate", handle, own, episodes // sharers)
    found = [crew.answer("evaluate", actor) for actor in range(sharers)]
    return {name: np.concatenate([each[name] for each in found], axis=1) for name in found[0]}


def finished(messages: Sequence["Message | Gradient"]) -> np.ndarray:
    """Of the episodes that ended: their number and the sums of their returns and lengths, `[3]`."""
    return np.sum([message.finished for message in messages], axis=0)


def episodes_of(sums: np.ndarray) -> dict[str, float]:
    """Number, mean return and mean length of the episodes that ended, of what `finished` gives; NaN where none did."""
    episodes, returns, lengths = sums
    with np.errstate(invalid="ignore"):
        return {
            "episodes": float(episodes),
            "episode_return": float(np.divide(returns, episodes)),
            "episode_length": float(np.divide(lengths, episodes)),
        }


class Feed:
    """What goes with each round, counted from where the process began: of a warm-up, then chunk after chunk."""

    def __init__(self, chunk: Callable[[Any], tuple[Any, Sequence[Tree]]]):
        """`chunk` gives, of a run's key, that after a chunk and what goes with each of its rounds."""
        self._chunk, self.begun = chunk, False
        self._held: deque[Any] = deque()
        self._first, self._key = 0, None

    def begin(self, key: Any, before: Sequence[Tree] = ()) -> None:
        """From a run's key on, after the rounds `before`."""
        self._held, self._first, self._key, self.begun = deque(before), 0, key, True

    def words(self, number: int) -> Tree:
        """What goes with a round that is not forgotten."""
        while number >= self._first + len(self._held):
            self._key, more = self._chunk(self._key)
            self._held.extend(more)
        return self._held[number - self._first]

    def forget(self, number: int) -> None:
        """No round before this one is asked for any more."""
        while self._first < number and self._held:
            self._held.popleft()
            self._first += 1
