"""TensorBoard event files, written at once and without threads, so that an error is met where it is made."""

import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.reports import files
from experiments.reports.sinks.logger import Kind, Metrics
from experiments.reports.sinks.tags import tag


class TensorBoard:
    """TensorBoard event files: `folder/mean` over the runs, and `folder/seed_N` for each of up to `MOST` of them.

    No file is kept open: a process may hold few at a time, and a folder that was removed is noticed.
    """

    MOST = 32

    def __init__(self, folder: str | Path, seeds: Sequence[object], resume_at: int | None = None):
        """Makes the event files.

        Args:
          folder: of the events.
          seeds: label of each run.
          resume_at: env steps of the state restored; TensorBoard then hides points logged beyond them before.

        Raises:
          files.UnwritableError: they cannot be made.
        """
        names = [f"seed_{seed}" for seed in seeds] if 1 < len(seeds) <= self.MOST else []
        files.make_folder(Path(folder))
        self._mean, *self._each = [begin(Path(folder) / name, resume_at) for name in ["mean", *names]]

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Adds the numbers that are not NaN, under the names of `sinks.tags`.

        Raises:
          files.UnwritableError: a file cannot be written.
        """
        known = {name: value for name, value in metrics.items() if not np.isnan(value).all()}
        add(self._mean, env_steps, {tag(kind, name): float(np.nanmean(value)) for name, value in known.items()})
        for i, path in enumerate(self._each):
            own = {tag(kind, name): float(value[i]) for name, value in known.items() if not np.isnan(value[i])}
            add(path, env_steps, own)

    def close(self) -> None:
        """Nothing is open."""


def begin(folder: Path, resume_at: int | None) -> Path:
    """Makes a new event file. TensorBoard reads those of a folder in the order of their names, which begin with a time.

    Raises:
      files.UnwritableError: it cannot be made.
    """
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    files.make_folder(folder)
    with files.writing(folder):
        before = [path.name.split(".")[3:4] for path in folder.glob("events.out.tfevents.*")]
    # The clock may have been set back, or have the second of the file before.
    stamp = max([int(time.time()), *(int(word) + 1 for (word,) in before if word.isdecimal() and len(word) <= 10)])
    path = folder / f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}"
    opening = [Event(wall_time=time.time(), file_version="brain.Event:2")]
    if resume_at is not None:
        start = SessionLog(status=SessionLog.START)
        opening.append(Event(wall_time=time.time(), step=resume_at + 1, session_log=start))
    files.append(path, b"".join(record(event.SerializeToString()) for event in opening), new=True)
    return path


def add(path: Path, step: int, values: Mapping[str, float]) -> None:
    """Appends numbers to an event file.

    Raises:
      files.UnwritableError: it cannot be written.
    """
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    if values:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        event = Event(wall_time=time.time(), step=step, summary=summary)
        files.append(path, record(event.SerializeToString()))


def record(data: bytes) -> bytes:
    """An event as it stands in a file: its length and itself, each with a checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))
