"""Files that are whole or not there, whatever befalls the process, the disk or the power while they are written.

Renaming over the old file, and when what has to be synced: T. S. Pillai et al., "All File Systems Are Not Created
Equal", OSDI 2014.
"""

import errno
import fcntl
import glob
import io
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from filelock import FileLock, Timeout

UNFINISHED = ".unfinished"
"""Ends the names of temporary files."""

FULL = (errno.ENOSPC, errno.EDQUOT)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
NOT_OURS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)

OF_TORCH = ("iostream error", "inline_container", "PytorchStreamWriter")
"""What torch says where a file that it has opened itself could not be written, and not why."""

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class DiskError(OSError):
    """The disk does not take what is to be written. Says which file and disk, why, and what can be done."""

    @classmethod
    def at(cls, path: Path, error: OSError) -> Self:
        """What `error` means for the file at `path`."""
        return cls(error.errno, f"{path}: could not be written: {_reason(path, error)}. {_next_step(error)}")

    def __str__(self) -> str:
        return str(self.args[1])


def disk_trouble(error: BaseException, path: Path) -> DiskError | None:
    """What the disk has to do with an error: where it came of a full or read-only one, that, else None.

    Libraries tell it in words of their own or not at all, and cleaning up after the first error may meet a second.

    Args:
        error: that was caught.
        path: what was being written, where the system does not say.
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
    """Turns what the system says while `path` is written into a `DiskError`."""
    try:
        yield
    except DiskError:
        raise
    except OSError as error:
        raise DiskError.at(path, error) from error


Place = Callable[[Path, Path], object]
"""What gives a finished temporary file its name."""


def write_whole(path: Path, write: Callable[[BinaryIO], object], place: Place = Path.replace) -> None:
    """Let `write` fill a temporary file beside `path`, and put it in place in one step.

    Whoever opens `path`, at any moment and after any crash, finds the old contents or the new; once this has returned,
    the new, even where the power goes. Temporary files that killed writers have left in the folder are removed.

    Raises:
        DiskError: where the disk does not take it. `path` holds the old contents, or, where the very last step failed,
            the new.
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
            with suppress(OSError):  # it is removed next time, and why it could not be written is what counts
                temporary.unlink(missing_ok=True)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """`write_whole` for text, as UTF-8."""
    write_whole(path, lambda file: file.write(text.encode()))


def write_first(path: Path, text: str) -> bool:
    """`write_text` where there is no such file yet, of whichever machine that shares the folder.

    Returns: whether the file is this one.

    Raises:
        DiskError: where the disk does not take it.
    """
    try:
        write_whole(path, lambda file: file.write(text.encode()), _link)
    except _TakenError:
        return False
    return True


class _TakenError(Exception):
    """There is such a file already."""


def _link(temporary: Path, path: Path) -> None:
    """Give a file its name where no other has it; the server of a network file system decides."""
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
    """Nobody else has the lock at `path` as long as the block; it falls with the process.

    Where the file system has no locks, as some that are shared have not, nobody is kept out: what must not happen there
    either, a `image_sweeps.cell.claim.Claim` prevents.

    Args:
        path: of an empty file that is left there.
        timeout_s: how long is waited for whoever has it; -1 for as long as it takes.

    Raises:
        filelock.Timeout: where it was not to be had.
        DiskError: where there can be no such file.
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
    """Whether the file system of `path` has locks. FileLock would take one that outlives its process for it."""
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
    """Make a folder, with those above it, so that it is there after a power cut too."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring to the disk which files there are in a folder: a file that is new may be gone after a power cut else."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        _sync(opened)
    finally:
        os.close(opened)


def folder_problem(key: str, folder: Path) -> str | None:
    """Why nothing can be written into the folder that `key` names, as a problem of the configuration."""
    try:
        reason = why_not_writable(folder)
    except (OSError, ValueError) as error:  # too long to be a path, or with a NUL in it
        reason = str(error)
    return f"{key} = {str(folder)!r}: {reason}; mend that, or name another place with {key}=..." if reason else None


def why_not_writable(folder: Path) -> str | None:
    """Why nothing can be written into `folder`, which need not be there yet; None where that can be tried."""
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
    return None


class _File(io.FileIO):
    """Remembers why it could not be written: those who write may tell it in other words, as `torch.save` does."""

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
    """Remove what killed writers have left in `folder`, unless somebody is writing there: whoever writes has it locked.

    The lock is the system's, and ends with the process. Other machines that share the folder may have it locked without
    this one's knowing: what they have left is left to them.
    """
    with suppress(OSError):
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for leftover in folder.glob(f".*{glob.escape(_unfinished())}"):
            leftover.unlink(missing_ok=True)


def _unfinished() -> str:
    """Ends the names of this machine's temporary files."""
    return f".{os.uname().nodename}{UNFINISHED}"


def _sync(folder: int) -> None:
    """Bring to the disk which files there are in an open folder. Some network file systems know no such thing."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of, the first that went wrong last."""
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
    """The path, or the nearest folder above it that there is."""
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
    """Where the disk that `folder` is on is mounted."""
    resolved = folder.resolve()
    return next(path for path in (resolved, *resolved.parents) if path.is_mount())


def _size(num_bytes: float) -> str:
    for unit in UNITS[:-1]:
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.0f} {UNITS[-1]}"
