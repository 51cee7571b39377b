"""What runs actors: in this thread one after the other, in a thread each, or (`drivers.on_ray`) in processes of Ray.

An actor is whatever `build(actor, generation)` gives, an object whose methods are called by name and one at a time, in
the order in which they were asked for. A call is a ticket; who holds one asks whether it is done, and for its result.
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

Build = Callable[[int, int], Any]
"""`(actor, generation) -> object`; later generations take the place of an actor that was lost."""


class LostError(Exception):
    """The actor of a ticket is no more, and its answer will not come."""


class Engine(NamedTuple):
    """Where actors are, and how they are asked."""

    start: Callable[[int, int], None]
    """`(actor, generation)`: begins, or begins anew without what the one before was asked for; does not wait."""
    publish: Callable[[Any], Any]
    """`(tree) -> handle`: what many calls are to be given is shipped once; a handle in a call's arguments becomes the
    tree."""
    submit: Callable[..., Any]
    """`(actor, method, *arguments) -> ticket`."""
    wait: Callable[[Sequence[Any], float], list[Any]]
    """`(tickets, seconds) -> tickets` that are done: as soon as one is, and none if time is up."""
    result: Callable[[Any], Any]
    """What the call of a ticket that is done gave, or raises what it raised, or a `LostError`."""
    close: Callable[[], None]
    """Ends all actors."""


def inline(build: Build) -> Engine:
    """Calls are made where they are asked for, in this thread: for tests, and to look for faults."""
    actors: dict[int, Any] = {}
    results: dict[int, Any] = {}
    numbers = itertools.count()

    def start(actor: int, generation: int) -> None:
        if actor in actors:
            actors[actor].close()
        actors[actor] = build(actor, generation)

    def submit(actor: int, method: str, *arguments: object) -> int:
        ticket = next(numbers)
        try:
            results[ticket] = (getattr(actors[actor], method)(*arguments), None)
        except Exception as error:  # told to whoever asks for the result
            results[ticket] = (None, error)
        return ticket

    def result(ticket: int) -> Any:
        value, error = results.pop(ticket)
        if error is not None:
            raise error
        return value

    def close() -> None:
        for each in actors.values():
            each.close()
        actors.clear()

    return Engine(start, lambda tree: tree, submit, lambda tickets, seconds: list(tickets), result, close)


def _close(actors: Sequence[Any]) -> None:
    for each in actors:
        each.close()


def threads(build: Build) -> Engine:
    """A thread for each actor, which makes it and is the only one that calls it: simulators may belong to a thread."""
    crew: dict[int, tuple[ThreadPoolExecutor, list[Any]]] = {}

    def start(actor: int, generation: int) -> None:
        if actor in crew:
            crew.pop(actor)[0].shutdown(wait=False, cancel_futures=True)
        held: list[Any] = []
        thread = ThreadPoolExecutor(1, thread_name_prefix=f"actor{actor}")
        made = thread.submit(lambda: held.append(build(actor, generation)))
        crew[actor] = thread, [held, made]

    def submit(actor: int, method: str, *arguments: object) -> futures.Future[Any]:
        thread, (held, made) = crew[actor]

        def call() -> Any:
            made.result()  # tells why there is no actor
            return getattr(held[0], method)(*arguments)

        return thread.submit(call)

    def wait(tickets: Sequence[futures.Future[Any]], seconds: float) -> list[futures.Future[Any]]:
        done = futures.wait(tickets, seconds, futures.FIRST_COMPLETED).done
        return [ticket for ticket in tickets if ticket in done]

    def result(ticket: futures.Future[Any]) -> Any:
        try:
            return ticket.result()
        except futures.CancelledError:
            raise LostError from None

    def close() -> None:
        for thread, (held, _) in crew.values():
            ending = thread.submit(_close, held)
            thread.shutdown(wait=True, cancel_futures=False)
            ending.result()
        crew.clear()

    return Engine(start, lambda tree: tree, submit, wait, result, close)
