"""Files below a root: of this machine, or at a URL. Neither is left by any name.

A place is a tuple of names, checked one by one. Of this machine each folder is opened within the
one above it, and none that is a link: what somebody puts into a run folder leads nowhere else.
"""

import contextlib
import datetime
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from metaopt.client.models import NAME
from taskset.errors import InputError

Place: TypeAlias = tuple[str, ...]

OWN = re.compile(r"\.service|\.lock")  # names that begin with a dot and are read all the same
_NAME = re.compile(NAME)
MAX_BYTES = 16 * 2**20  # of a file that is read whole
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENXIO)


class Entry(NamedTuple):
    """A file or a folder."""

    name: str
    is_folder: bool
    bytes: int
    written: float  # seconds since 1970
    mark: str  # another one for another content of the same name, as far as can be told


class Files(Protocol):
    """What can be asked of a root. What is not there, or not a plain file or folder, is None.

    All raise `OSError` when the root itself cannot be read.
    """

    def list(self, place: Place) -> list[Entry]:
        """What is in a folder, in no order; nothing when there is none."""
        ...

    def look(self, place: Place) -> Entry | None:
        """A file or a folder."""
        ...

    def read(self, place: Place, start: int = 0, length: int = MAX_BYTES) -> bytes | None:
        """`length` bytes from `start` on; fewer at the end of the file."""
        ...


def is_name(name: str) -> bool:
    """Whether this service opens what goes by `name`."""
    return bool(_NAME.fullmatch(re.sub(r"\.(json|toml)$", "", name)) or OWN.fullmatch(name))


def open_root(root: str) -> Files:
    """The files below `root`. Raises `InputError` when it is no folder, or its URL is unknown."""
    if "://" in root:
        return RemoteFiles(root)
    if not Path(root).is_dir():
        raise InputError(f"{root} is not a folder; give that in which runs are, or make it")
    return LocalFiles(Path(root))


class LocalFiles:
    """Those of this machine."""

    def __init__(self, root: Path):
        self.root = root.resolve()

    def list(self, place: Place) -> list[Entry]:
        try:
            with self._opened(place, os.O_DIRECTORY) as folder, os.scandir(folder) as found:
                entries = [_entry(e.name, e.stat(follow_symlinks=False)) for e in found]
        except OSError as error:
            if error.errno not in GONE:
                raise
            return []
        return [entry for entry in entries if entry is not None]

    def look(self, place: Place) -> Entry | None:
        try:
            with self._opened(place[:-1], os.O_DIRECTORY) as folder:
                return _entry(place[-1], os.lstat(place[-1], dir_fd=folder))
        except OSError as error:
            if error.errno not in GONE:
                raise
            return None

    def read(self, place: Place, start: int = 0, length: int = MAX_BYTES) -> bytes | None:
        try:
            with self._opened(place, os.O_NONBLOCK) as file:  # or a pipe would wait for its writer
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    return None
                return _read_fully(file, start, length)
        except OSError as error:
            if error.errno not in GONE:
                raise
            return None

    @contextlib.contextmanager
    def _opened(self, place: Place, flags: int) -> Iterator[int]:
        """A descriptor of what is at `place`, none of whose names is a link."""
        if not all(map(is_name, place)):
            raise FileNotFoundError(errno.ENOENT, "not a name")
        try:
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:  # which is not the same as that something in it is gone
            raise OSError(errno.EIO, f"{self.root} cannot be read: {error.strerror}") from error
        try:
            for number, name in enumerate(place, 1):
                kind = flags if number == len(place) else os.O_DIRECTORY
                inner = os.open(
                    name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=descriptor
                )
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


class RemoteFiles:
    """Those of any file system that fsspec knows."""

    def __init__(self, url: str):
        import fsspec

        try:
            self._files, root = fsspec.url_to_fs(url.rstrip("/"))
        except (ImportError, ValueError) as error:
            raise InputError(f"cannot reach {url}: {error}") from error
        self._root = root.rstrip("/")

    def list(self, place: Place) -> list[Entry]:
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self._path(place), detail=True)
        except FileNotFoundError:
            return []
        return [_remote_entry(info) for info in found]

    def look(self, place: Place) -> Entry | None:
        self._files.invalidate_cache()
        try:
            return _remote_entry(self._files.info(self._path(place)))
        except FileNotFoundError:
            return None

    def read(self, place: Place, start: int = 0, length: int = MAX_BYTES) -> bytes | None:
        try:
            path = self._path(place)
            content: Any = self._files.cat_file(path, start=start, end=start + length)
        except (FileNotFoundError, IsADirectoryError):
            return None
        return content

    def _path(self, place: Place) -> str:
        if not all(map(is_name, place)):
            raise FileNotFoundError(errno.ENOENT, "not a name")
        return "/".join((self._root, *place))


def _entry(name: str, found: os.stat_result) -> Entry | None:
    is_folder = stat.S_ISDIR(found.st_mode)
    if not is_folder and not stat.S_ISREG(found.st_mode):
        return None
    mark = f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
    return Entry(name, is_folder, found.st_size, found.st_mtime, mark)


def _remote_entry(info: dict[str, Any]) -> Entry:
    times = (
        info.get(key) for key in ("LastModified", "last_modified", "updated", "mtime", "created")
    )
    seconds = _seconds(next((time for time in times if time is not None), 0.0))
    mark = f"{info.get('ETag') or info.get('etag')}-{seconds}-{info.get('size')}"
    name = info["name"].rstrip("/").rpartition("/")[2]
    return Entry(name, info["type"] == "directory", info.get("size") or 0, seconds, mark)


def _seconds(time: Any) -> float:
    """What file systems say of when something was written: a time, a text or a number."""
    if isinstance(time, str):
        time = datetime.datetime.fromisoformat(time)
    return time.timestamp() if isinstance(time, datetime.datetime) else float(time)


def _read_fully(file: int, start: int, length: int) -> bytes:
    parts: list[bytes] = []
    while length > 0:
        part = os.pread(file, min(length, 2**20), start)
        if not part:
            break
        parts.append(part)
        start, length = start + len(part), length - len(part)
    return b"".join(parts)
