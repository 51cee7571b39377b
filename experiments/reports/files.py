"""Files of a run folder: written whole or not at all, never through a link, and read only if they are files.

A run folder may come from somebody else, lie on a full disk, or be changed while a run trains. What cannot be written
is an `UnwritableError`, whose text is one line that names the file and the reason. Text that anybody may have written
is shown as `plain` has it.
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST = 80
"""Characters to which a text of others is shortened where it is shown."""


class UnwritableError(OSError):
    """A file or folder that cannot be written; the text names it and says why."""

    def __str__(self) -> str:
        return f"{self.filename}: cannot be written ({self.strerror})"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the operating system's errors inside into an `UnwritableError` of `path`.

    Raises:
      UnwritableError: as it says.
    """
    try:
        yield
    except UnwritableError:
        raise
    except OSError as error:
        raise UnwritableError(error.errno, error.strerror or str(error), str(path)) from None


def write(path: Path, content: str | bytes, beside: str = "") -> None:
    """Writes a file whole or not at all: under another name, then renamed. A link in its place is replaced.

    Args:
      path: the file.
      content: of it; text in UTF-8.
      beside: the other name, by default that of the file with ".tmp" behind it. A file or link of that name is removed.

    Raises:
      UnwritableError: there is no room, no permission, no folder for it, or something that is no file in its place.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(beside or f"{path.name}.tmp")
    with writing(path):
        if path.exists() and not path.is_file():
            raise OSError(errno.EISDIR if path.is_dir() else errno.EINVAL, f"{kind(path)} is in its place")
        with writing(temporary):
            temporary.unlink(missing_ok=True)  # what a killed process left, or a link
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        try:
            try:
                _write_all(handle, data)
                os.fsync(handle)
            finally:
                os.close(handle)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def append(path: Path, content: str | bytes, new: bool = False) -> None:
    """Appends to a file that is there, or makes it.

    Raises:
      UnwritableError: the file is not there any more, is a link or no file, or there is no room.
    """
    data = content.encode() if isinstance(content, str) else content
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    with writing(path):
        handle = os.open(path, flags | (os.O_CREAT | os.O_EXCL if new else 0), 0o666)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, f"{kind(path)} is in its place")
            _write_all(handle, data)
        finally:
            os.close(handle)


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def read(path: Path) -> bytes:
    """The content of a file; of a link, that of the file it leads to.

    Raises:
      OSError: it is not there, cannot be read, or is a folder, a pipe or a device, which might never end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(code, f"Is {kind(path)}", str(path))
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a run folder.

    Raises:
      ValueError: the file is missing or holds none.
    """
    try:
        content = json.loads(read(folder / name))
    except OSError as error:
        raise ValueError(f"{folder}: cannot read {name} ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder}: {name} is not JSON ({plain(error)})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{folder}: {name} holds no JSON object")
    return content


def make_folder(path: Path) -> None:
    """Makes a folder if it is not there.

    Raises:
      UnwritableError: a file or a link is in its place, or it cannot be made.
    """
    with writing(path):
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise OSError(errno.ENOTDIR, f"{kind(path)} is in the place of a folder")
        path.mkdir(parents=True, exist_ok=True)


def touch(path: Path) -> None:
    """Makes an empty file unless something is there, be it a link that leads nowhere.

    Raises:
      UnwritableError: it cannot be made.
    """
    if not os.path.lexists(path):
        append(path, b"", new=True)


def kind(path: Path) -> str:
    """What a path is, in words."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return "nothing"
    for test, words in ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISREG, "a file")):
        if test(mode):
            return words
    return "a pipe or a device"


def plain(value: object, most: int = MOST) -> str:
    """A value in one line of printable characters, at most `most` of them.

    Control characters, among them those that move the cursor or colour a terminal, are shown as escapes.
    """
    text = str(value[: 4 * most]) if isinstance(value, str | list | tuple) else str(value)
    text = text[: 4 * most]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
