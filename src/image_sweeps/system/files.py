"""Files that are either complete or absent, whatever happens to the process, disk or power while they are written.

The source for renaming over the old file, and for when to sync: T. S. Pillai et al., "All File Systems Are Not Created
Equal", OSDI 2014.
"""

import errno
import fcntl
import glob
import io
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from filelock import FileLock, Timeout

UNFINISHED = ".unfinished"
"""The suffix of the names of temporary files."""

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
NOT_OURS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)

OF_TORCH = ("iostream error", "inline_container", "PytorchStreamWriter")
"""Texts of torch's errors for a file that it opened itself and could not write; they do not tell the reason."""

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class DiskError(OSError):
    """The disk refuses a write. The message names the file and the disk, the reason, and what the user can do."""

    @classmethod
    def at(cls, path: Path, error: OSError) -> Self:
        """Return the DiskError of `error` for the file at `path`."""
        return cls(error.errno, f"{path}: could not be written: {_reason(path, error)}. {_next_step(error)}")

    def __str__(self) -> str:
        return str(self.args[1])


def disk_trouble(error: BaseException, path: Path) -> DiskError | None:
    """Return the DiskError that caused `error`, or a new one if a full or read-only disk caused it, else None.

    Libraries report such a disk in their own words or not at all, and cleanup after the first error may cause a second.

    Args:
        error: the exception that was caught.
        path: the path that was being written, for errors that do not name it.
    """
    chain = list(_chain(error))
    if told := [cause for cause in chain if isinstance(cause, DiskError)]:
        return told[-1]
    raw = [cause for cause in chain if isinstance(cause, OSError) and cause.errno in (*FULL, errno.EROFS)]
    if not raw:
        silent = any(words in str(cause) for cause in chain for words in OF_TORCH)
        return DiskError.at(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) if silent and _full(path) else None
    return DiskError.at(Path(raw[-1].filename) if isinstance(raw[-1].filename, str) else path, raw[-1])


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError that is raised while `path` is written into a `DiskError`."""
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        raise DiskError.at(path, error) from error


Place = Callable[[Path, Path], object]
"""A function that gives a finished temporary file (first argument) its final name (second argument)."""


def write_whole(path: Path, write: Callable[[BinaryIO], object], place: Place = Path.replace) -> None:
    """Let `write` fill a temporary file beside `path`, and put it in place in one step.

    A reader of `path` finds the old or the new contents, at any moment and after any crash. After this function has
    returned, `path` holds the new contents even after a power failure. Temporary files that killed writers left in the
    folder are removed.

    Raises:
        DiskError: if the disk refuses the write. `path` holds the old contents or, if only the last step failed, the
            new ones.
    """
    with disk_errors(path):
        make_folder(path.parent)
        folder = os.open(path.parent, os.O_RDONLY)
    try:
        _clear(path.parent, folder)
        with suppress(OSError):  # some network file systems have no locks: there, leftovers stay
            fcntl.flock(folder, fcntl.LOCK_SH)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_unfinished()}")
        try:
            _fill(temporary, path, write)
            with disk_errors(path):
                place(temporary, path)
                _sync(folder)
        finally:
            with suppress(OSError):  # it is removed next time; the error of the write matters more
                temporary.unlink(missing_ok=True)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with `write_whole`."""
    write_whole(path, lambda file: file.write(text.encode()))


def write_first(path: Path, text: str) -> bool:
    """Write `text` as `write_text` does, unless this or another machine that shares the folder has written the file.

    Returns: whether this call wrote the file.

    Raises:
        DiskError: if the disk refuses the write.
    """
    try:
        write_whole(path, lambda file: file.write(text.encode()), _link)
    except _TakenError:
        return False
    return True


class _TakenError(Exception):
    """The file exists already."""


def _link(temporary: Path, path: Path) -> None:
    """Give the temporary file its final name if the name is free; on a network file system the server decides."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise _TakenError from None
    except OSError:  # a file system without links
        if path.exists():
            raise _TakenError from None
        temporary.replace(path)


@contextmanager
def locked(path: Path, timeout_s: float = -1) -> Iterator[None]:
    """Hold the lock at `path` while the block runs; the lock ends with the process.

    Some shared file systems have no locks; there the block runs without one. `image_sweeps.cell.claim.Claim` prevents
    what must not happen even there.

    Args:
        path: the path of an empty file, which is not removed afterwards.
        timeout_s: seconds to wait for the present holder of the lock; -1 waits without limit.

    Raises:
        filelock.Timeout: if the lock could not be acquired in time.
        DiskError: if the file cannot be created.
    """
    with disk_errors(path):
        make_folder(path.parent)
        there_are = has_locks(path)
    if not there_are:
        yield
        return
    lock = FileLock(path, timeout=timeout_s)
    try:
        lock.acquire()
    except Timeout:
        raise
    except OSError as error:
        raise DiskError.at(path, error) from error
    try:
        yield
    finally:
        lock.release()


def has_locks(path: Path) -> bool:
    """Return whether the file system of `path` has locks; without them, FileLock's fallback outlives its process."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            raise
    return True


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, so that they exist even after a power failure."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder to the disk; otherwise a power failure may remove a new file."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        _sync(opened)
    finally:
        os.close(opened)


def folder_problem(key: str, folder: Path) -> str | None:
    """Return why nothing can be written into `folder`, as a problem of the configuration key `key`, else None."""
    try:
        reason = why_not_writable(folder)
    except (OSError, ValueError) as error:  # too long to be a path, or with a NUL in it
        reason = str(error)
    return f"{key} = {str(folder)!r}: {reason}; mend that, or name another place with {key}=..." if reason else None


def why_not_writable(folder: Path) -> str | None:
    """Return why nothing can be written into `folder`, which need not exist yet; None if no obstacle is known."""
    there = _there(folder)
    if not there.is_dir():
        return f"{there} is a file"
    state = os.statvfs(there)
    if state.f_flag & os.ST_RDONLY:
        return f"the disk at {_disk(there)} is read-only"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"there is no permission to write into {there}"
    if _full(there):
        return f"the disk at {_disk(there)} is full"
    try:
        Path(tempfile.mkdtemp(prefix=".", dir=there)).rmdir()
    except OSError as error:  # as in /proc, where the superuser has all permissions and can make nothing
        return f"no folder can be made in {there} ({error.strerror})"
    return None


class _File(io.FileIO):
    """A file that remembers why a write failed: writers such as `torch.save` report the error in other words."""

    trouble: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.trouble = error
            raise


def _fill(temporary: Path, path: Path, write: Callable[[BinaryIO], object]) -> None:
    with disk_errors(path):
        raw = _File(temporary, "xb")
    try:
        with io.BufferedWriter(raw) as file:
            write(file)
            file.flush()
            with disk_errors(path):
                os.fsync(raw.fileno())  # or a power cut could leave an empty file under the new name
    except Exception as error:
        if raw.trouble is None:
            raise
        raise DiskError.at(path, raw.trouble) from error


def _clear(folder: Path, opened: int) -> None:
    """Remove the files that killed writers left in `folder`, unless a writer is active: every writer locks the folder.

    The operating system ends the lock with the process. Locks of other machines that share the folder may be invisible
    to this machine, so it removes only its own files.
    """
    with suppress(OSError):
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for leftover in folder.glob(f".*{glob.escape(_unfinished())}"):
            leftover.unlink(missing_ok=True)


def _unfinished() -> str:
    """Return the suffix of the names of this machine's temporary files."""
    return f".{os.uname().nodename}{UNFINISHED}"


def _sync(folder: int) -> None:
    """Sync the entries of an open folder to the disk; some network file systems do not support that."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, the root cause last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _reason(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno not in FULL:
        elsewhere = (
            error.filename is not None and path.is_relative_to(str(error.filename)) and Path(error.filename) != path
        )
        return f"{reason}: {error.filename}" if elsewhere else reason
    there = _there(path)
    state = os.statvfs(there)
    free, total = (_size(blocks * state.f_frsize) for blocks in (state.f_bavail, state.f_blocks))
    files = ", and no more files fit" if state.f_files and not state.f_favail else ""
    return f"{reason} (the disk at {_disk(there)} has {free} of {total} free{files})"


def _there(path: Path) -> Path:
    """Return the path, or the nearest existing folder above it."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if os.access(place, os.F_OK))


def _full(path: Path) -> bool:
    state = os.statvfs(_there(path))
    return state.f_blocks > 0 and state.f_bavail == 0


def _next_step(error: OSError) -> str:
    if error.errno in FULL:
        return "Make room there; a sweep then goes on with resume=last"
    if error.errno in NOT_OURS:
        return "Make it writable, or name another place with outputs_dir=..."
    if error.errno == errno.EFBIG:
        return "Raise the limit that ulimit -f sets"
    return "Look after the disk; a sweep then goes on with resume=last"


def _disk(folder: Path) -> Path:
    """Return the mount point of the disk that `folder` is on."""
    resolved = folder.resolve()
    return next(path for path in (resolved, *resolved.parents) if path.is_mount())


def _size(num_bytes: float) -> str:
    for unit in UNITS[:-1]:
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.0f} {UNITS[-1]}"
