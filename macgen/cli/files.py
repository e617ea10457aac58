"""Files that commands write for the user: whole or not at all."""

import contextlib
import errno
import os
import secrets
import sys
from pathlib import Path

from macgen.errors import MacgenError, shown_path

STANDARD = "-"


def write_file(option: str, path: str, data: bytes) -> None:
    """Write a file under its final name only when it is complete; a device or a pipe as it comes.

    Parameters:
        option: names the path in errors.
        path: where to; `-` is standard output.
        data: the content.

    Raises:
        MacgenError: it cannot be written; what stood there before still does.
    """
    if path == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    try:
        _write(Path(path), data)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no path of this system"
        raise _refused(option, path, str(reason)) from None


def check_writable(option: str, path: str) -> None:
    """Refuse a file that cannot be written before what is to stand in it is computed.

    Raises:
        MacgenError: its directory is not there or not writable, or it is a directory itself.
    """
    target = Path(path)
    folder = target.absolute().parent
    reason = (
        errno.EISDIR if target.is_dir()
        else errno.ENOENT if not folder.exists()
        else errno.ENOTDIR if not folder.is_dir()
        else errno.EACCES if not os.access(folder, os.W_OK)
        else 0
    )  # fmt: skip
    if reason:
        raise _refused(option, path, os.strerror(reason))


def _refused(option: str, path: str, reason: str) -> MacgenError:
    return MacgenError(
        f"{option} {shown_path(path)} cannot be written ({reason}); accepted is a file in a writable directory"
    )


def _write(path: Path, data: bytes) -> None:
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # of a directory, that says so
        return
    target = path.resolve()  # a link stays one
    staging = target.with_name(f".{target.name[:64]}.{secrets.token_hex(4)}.partial")
    try:
        with staging.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            staging.unlink(missing_ok=True)
        raise
