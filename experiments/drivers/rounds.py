"""What a learner of rows asks its actors for, round by round, and in what order it takes their answers.

A round is as many messages as there are actors. In fixed order it has one of each; in order of arrival any that come
first; and a learner that runs freely takes those that are there, and does not wait for others.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from agents.base import Array, Tree
from experiments.drivers.collecting import Message
from experiments.drivers.crew import Crew
from experiments.drivers.engines import Engine
from experiments.drivers.terms import Feed, Terms, shipped

if TYPE_CHECKING:
    from envs.base import Key


class Rounds:
    """The actors of one learner."""

    def __init__(self, engine: Engine, terms: Terms, chunk: "Callable[[Key], tuple[Key, Sequence[np.ndarray]]]"):
        """Behind an engine, on such terms; `chunk` is as of `terms.Feed`, and gives the words of keys of rounds."""
        self.crew, self.feed = Crew(engine, terms.actors, terms.patience), Feed(chunk)
        self.updates = 0
        """Made by this process."""
        self._engine, self._terms = engine, terms
        self._number = self._asked = self._published = self._taken = self._version = 0
        self._handle: Any = None
        self._repeats: dict[tuple[int, int], int] = {}

    def begin(self, key: "Key", generation: int, before: Sequence[np.ndarray] = ()) -> None:
        """Starts the actors; the first rounds are those of `before`, then come those of a run's key."""
        self.feed.begin(key, before)
        self.crew.begin(generation)

    def publish(self, agent: Sequence[Array], actor: Tree) -> None:
        """Makes parameters known, if it is time; before each round, or each learning phase of one that runs freely.

        Args:
          agent: the leaves of the agent's state that actors need.
          actor: what acting needs.
        """
        if self._handle is None or self._published % self._terms.publish_every == 0:
            self._handle = self._engine.publish(jax.tree.map(shipped, (actor, list(agent))))
            self._version = self.updates
        self._published += 1

    def messages(self) -> Iterator[tuple[int, Message]]:
        """A round: who sent each message, and itself."""
        self._ask_all()
        for slot in range(self._terms.actors):
            found = self.crew.take("collect", [slot] if self._terms.order == "fixed" else None)
            assert found
            if self._terms.order == "arrival" and self._terms.ahead:
                self._ask(found[0], self._number)
            yield found
        self._end()

    def ready(self, most: int) -> Iterator[tuple[int, Message]]:
        """The same of messages that are there, at most so many and perhaps none."""
        self._ask_all()
        for _ in range(min(most, self._terms.actors * (self._terms.ahead + 1))):
            found = self.crew.take("collect", wait=False)
            if found is None:
                return
            self._taken += 1
            if self._terms.ahead:
                self._ask(found[0], self._number)
            if self._taken % self._terms.actors == 0:
                self._end()
            yield found

    def _end(self) -> None:
        self._number += 1
        self.feed.forget(self._number)

    def _ask(self, actor: int, number: int) -> None:
        repeats = self._repeats.get((actor, number), 0)
        self._repeats[actor, number] = repeats + 1
        self.crew.ask(actor, "collect", self._handle, self._version, self.feed.words(number), repeats)

    def _ask_all(self) -> None:
        """Asks each actor for what it may be ahead with."""
        number, ahead = self._number, self._terms.ahead
        if self._terms.order == "fixed":
            for later in range(self._asked, number + ahead + 1):
                for actor in range(self._terms.actors):
                    self._ask(actor, later)
            self._asked = number + ahead + 1
        else:
            for actor in range(self._terms.actors):
                for _ in range(self.crew.pending(actor, "collect"), ahead + 1):
                    self._ask(actor, number)
        for stale in [key for key in self._repeats if key[1] < number]:
            del self._repeats[stale]
