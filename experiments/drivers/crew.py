"""The actors of a learner: what each was asked for, whose answer is waited for, and who replaces a lost one."""

import itertools
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.drivers.engines import Engine, LostError

GRACE = 600.0
"""Seconds, beside its patience, for which an actor may start and compile, or play an evaluation."""
HOPELESS = 3
"""Times the number of actors that may be lost without a message between them before the run is given up."""


class Call(NamedTuple):
    """What an actor was asked for."""

    number: int
    method: str
    arguments: tuple
    ticket: Any


class Crew:
    """Actors behind an engine. A lost or overdue one is begun anew and asked again for all that it has not answered."""

    def __init__(self, engine: Engine, actors: int, patience: float):
        """Of so many actors, which may take `patience` seconds for an answer."""
        self.engine, self.actors, self.patience = engine, actors, patience
        self.lost, self.lost_since, self.waited = 0, 0, 0.0
        self.generation = [0] * actors
        self.fresh = [True] * actors  # has not answered in this generation
        self._calls: list[deque[Call]] = [deque() for _ in range(actors)]
        self._ready, self._moved = [0] * actors, [0.0] * actors
        self._numbers = itertools.count()

    def begin(self, generation: int) -> None:
        """Starts all actors, as those of that generation or a later one."""
        for actor in range(self.actors):
            self.generation[actor] = generation
            self.engine.start(actor, generation)

    @property
    def alive(self) -> int:
        """Actors that have answered since they began."""
        return self.actors - sum(self.fresh)

    def pending(self, actor: int, method: str) -> int:
        """Calls of a method that have not been taken."""
        return sum(call.method == method for call in self._calls[actor])

    def ask(self, actor: int, method: str, *arguments: object) -> None:
        """Calls a method of an actor, after all that it was asked for before."""
        if not self._calls[actor]:
            self._moved[actor], self._ready[actor] = time.monotonic(), 0
        ticket = self.engine.submit(actor, method, *arguments)
        self._calls[actor].append(Call(next(self._numbers), method, arguments, ticket))

    def take(self, method: str, among: Sequence[int] | None = None, wait: bool = True) -> tuple[int, Any] | None:
        """The first answer of one of the actors, by default of any, to a call of a method.

        Where several have one, the call that was made first is answered first.

        Args:
          method: of the call.
          among: whose answers count.
          wait: for an answer, if there is none.

        Returns:
          The actor, and what the method gave; None if there is none and is not waited for.

        Raises:
          RuntimeError: actors are lost one after the other.
          Exception: what the call raised, if it is not the loss of its actor.
        """
        began = time.monotonic()
        while True:
            self._replace_overdue()
            firsts = {}
            for actor in range(self.actors) if among is None else among:
                call = next((call for call in self._calls[actor] if call.method == method), None)
                if call is not None:
                    firsts[call.number] = actor, call
            tickets = [call.ticket for _, call in firsts.values()]
            done = self.engine.wait(tickets, min(1.0, self.patience / 4) if wait else 0.0)
            if not done:
                if wait:
                    continue
                return None
            actor, call = firsts[min(number for number, (_, call) in firsts.items() if call.ticket in done)]
            try:
                found = self.engine.result(call.ticket)
            except LostError:
                self._replace(actor)
                continue
            self._calls[actor].remove(call)
            self.fresh[actor], self.lost_since = False, 0
            self._moved[actor], self._ready[actor] = time.monotonic(), max(0, self._ready[actor] - 1)
            self.waited += time.monotonic() - began
            return actor, found

    def answer(self, method: str, actor: int) -> Any:
        """Waits for what a method of one actor gives; raises as `take` does."""
        found = self.take(method, [actor])
        assert found
        return found[1]

    def _replace_overdue(self) -> None:
        now = time.monotonic()
        for actor, calls in enumerate(self._calls):
            if not calls or now - self._moved[actor] < self.patience / 2:  # else asking the engine would cost time
                continue
            done = len(self.engine.wait([call.ticket for call in calls], 0.0))
            if done != self._ready[actor]:
                self._moved[actor], self._ready[actor] = now, done
            elif done < len(calls) and now - self._moved[actor] > self._allowed(actor):
                self._replace(actor)

    def _allowed(self, actor: int) -> float:
        slow = self.fresh[actor] or any(call.method != self._calls[actor][0].method for call in self._calls[actor])
        return self.patience + (GRACE if slow else 0.0)

    def _replace(self, actor: int) -> None:
        self.lost, self.lost_since = self.lost + 1, self.lost_since + 1
        if self.lost_since > HOPELESS * self.actors:
            raise RuntimeError(f"{self.lost_since} actors were lost without a message between them; see their logs")
        self.generation[actor] += 1
        self.fresh[actor] = True
        self.engine.start(actor, self.generation[actor])
        self._moved[actor], self._ready[actor] = time.monotonic(), 0
        again, self._calls[actor] = self._calls[actor], deque()
        for call in again:
            ticket = self.engine.submit(actor, call.method, *call.arguments)
            self._calls[actor].append(call._replace(ticket=ticket))

    def metrics(self) -> dict[str, float]:
        """What a log point tells of the actors; begins to count the waiting anew."""
        told = {"actors_alive": float(self.alive), "actors_lost": float(self.lost), "waited_seconds": self.waited}
        self.waited = 0.0
        return told
