"""The run folder: where it is, and how it is made."""

import datetime
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from experiments.run import records

if TYPE_CHECKING:
    from experiments.run.experiment import Experiment
    from experiments.run.flags import Common

    class _Placed(Protocol):
        """Flags of what has a folder."""

        @property
        def env(self) -> str: ...

        @property
        def out(self) -> str: ...

        @property
        def resume(self) -> str: ...


def folder_of(experiment: str, config: "_Placed") -> Path:
    """The run folder, which need not exist yet.

    Raises:
      ValueError: it exists and holds something, or is in no folder that can be written to.
    """
    if config.resume:
        return Path(config.resume)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = Path(config.out or f"runs/{experiment}-{re.sub('[/:]', '-', config.env)}-{stamp}")
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise ValueError(f"--out {folder}: cannot be written ({nearest} is not a folder)")
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError(f"--out {folder}: cannot be written ({nearest} does not permit it)")
    # A start that was killed may have left config.tmp.
    if nearest == folder and {path.name for path in folder.iterdir()} - {"config.tmp"}:
        raise ValueError(f"--out {folder}: already exists; give a new folder, or --resume {folder} to go on with it")
    return folder


def check_links(folder: Path, trust: bool) -> None:
    """Refuses links in a run folder, which may lead anywhere, unless it is trusted.

    Raises:
      ValueError: naming the first.
    """
    link = None if trust else next((path for path in sorted(folder.rglob("*")) if path.is_symlink()), None)
    if link:
        raise ValueError(f"{folder}: {link.relative_to(folder)} in it is a link; --trust follows it")


def make_folder(folder: Path, experiment: "Experiment", config: "Common") -> None:
    """Makes the run folder if it is new. From here on the run can be resumed: its config.json comes first, and whole.

    Raises:
      ValueError: it cannot be written, or is being written by another process.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with records.locked(folder, "--out"):
            if (folder / "config.json").exists():  # another process, which looked for the folder when this one did
                raise ValueError(f"--out {folder}: a run has begun in it meanwhile; give a new folder")
            records.write_json(folder / "config.json", records.describe(experiment, config))
    except OSError as error:
        name = "--resume" if config.resume else "--out"
        raise ValueError(f"{name} {folder}: cannot be written ({error.strerror})") from None
