"""Ctrl-C and SIGTERM, at any moment of a command: the first is heard, the second ends the process at once."""

import contextlib
import os
import signal
import threading
import time
from types import FrameType

END = b"\0"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = b"\nstopped at once; the last checkpoint is kept\n"
UNSAVED = b"\nstopped at once; nothing was saved\n"
STOPPING = b"\nstopping after this chunk; once more to stop at once\n"


class Interrupt:
    """While open, the first Ctrl-C or SIGTERM only sets `raised`, to be seen between chunks; the next one ends the
    process at once, with exit code 130. What was saved is complete: a save under way leaves the one before.

    Python runs signal handlers between its own instructions, hence not while XLA compiles. So a thread is told of
    signals as well, which answers at once. Outside of the main thread, which alone handles signals, it does nothing.
    """

    def __init__(self, early: bool = False):
        """With `early`, for what comes before training, the first signal raises KeyboardInterrupt."""
        self.raised = False
        self.early = early
        self._handled = 0
        self._first, self._last = ([], [UNSAVED]) if early else ([STOPPING], [AGAIN])

    def __enter__(self) -> "Interrupt":
        self._on = threading.current_thread() is threading.main_thread()
        if self._on:
            self._ear, self._mouth = os.pipe()
            os.set_blocking(self._mouth, False)
            self._outer = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._on:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._outer)
            os.write(self._mouth, END)
            self._listener.join()
            os.close(self._mouth)
            os.close(self._ear)

    def _listen(self) -> None:
        heard, numbers = 0, b""
        while END not in numbers:
            numbers = os.read(self._ear, 64)
            heard += sum(number in SIGNALS for number in numbers)
            if heard:
                self._answer(heard)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._handled += 1
        self._answer(self._handled)
        if self.early:
            raise KeyboardInterrupt

    def _answer(self, times: int) -> None:
        """Says what happens, once, though both the listener and the handler hear of a signal.

        Neither print nor an exception: both can fail or be caught within what was interrupted.
        """
        self.raised = True
        _say(self._first)
        if times > 1:
            if not _say(self._last):
                time.sleep(0.1)  # the other one is at it
            os._exit(130)


def _say(lines: list[bytes]) -> bool:
    with contextlib.suppress(IndexError, OSError):
        os.write(2, lines.pop())
        return True
    return False


def _deafen() -> None:
    """What a fork is told is not for the process that made it."""
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_deafen)
