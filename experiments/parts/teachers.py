"""Teachers that commands read from the folders of earlier runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from experiments import run

if TYPE_CHECKING:
    from experiments.run.results import Policy, Run


def of_run(flag: str, folder: str, spec: "run.Spec", found: "Callable[[Run], Policy]") -> "Policy":
    """A policy of a run folder.

    Args:
      flag: that names the folder.
      folder: of a run.
      spec: the task, whose observations and actions must be those of the run.
      found: the run that was read -> its policy.

    Raises:
      ValueError: it is no such folder, or knows other observations or actions.
    """
    try:
        loaded = run.load(folder)
        policy = found(loaded)
    except ValueError as error:
        raise ValueError(f"{flag} {error}") from None
    theirs = loaded.env.spec
    if (str(theirs.observation), str(theirs.action)) != (str(spec.observation), str(spec.action)):
        raise ValueError(
            f"{flag} {folder}: knows {theirs.observation} and {theirs.action} of {theirs.name}; "
            f"must be as in {spec.name}, {spec.observation} and {spec.action}"
        )
    return policy
