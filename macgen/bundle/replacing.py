"""How a finished bundle comes to its place: at once, and in the place of another bundle only.

The new bundle is made beside its target, as `.NAME.XXXXXXXX.partial`. A rename brings it to its place; where an old
one stands there, the two are exchanged. What is deleted is deleted by its name, and only a bundle's files are. While a
build runs, it holds a lock on its directories; so the next one can tell what a killed one left.
"""

import contextlib
import ctypes
import errno
import fcntl
import glob
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Self

from macgen.bundle.manifest import MANIFEST, bundle_paths, has_configuration, name_of_bundle
from macgen.errors import MacgenError, shown, shown_path

_NAMED = 3
"""How many files that are not a bundle's an error names."""

_MOST_BYTES = 200
"""Of a target's name beside which another fits, with what tells it apart."""

_PARTIAL, _ASIDE = ".partial", ".replaced"
"""What the new bundle is called until it is in its place, and the old one between two renames that replace it."""

# Linux: renameat2(2), paths relative to the working directory.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


# -- whose the files are -----------------------------------------------------------------------------------------------


def check_target(place: Path, target: Path, force: bool) -> None:
    """Refuse to replace what is no bundle, or more than one.

    Accepted are nothing, an empty directory and with `force` a bundle, of any version and in any state, if all in its
    directory is the bundle's own.

    Parameters:
        place: where it stands.
        target: what errors call it.
        force: accept a bundle.

    Raises:
        MacgenError: it is refused.
        OSError: it cannot be looked at.
    """
    if not os.path.lexists(place):
        return
    is_directory = place.is_dir() and not place.is_symlink()
    entries = [path.name for path in place.iterdir()] if is_directory else []
    if is_directory and not entries:
        return
    name = name_of_bundle(place) if is_directory else None
    if name is None:
        held = f" (it holds {_named(entries)})" if entries else ""
        raise MacgenError(f"output {shown_path(target)} exists and is no bundle{held}; accepted is a new directory")
    if not force:
        raise MacgenError(
            f"output {shown_path(target)} exists; accepted is a new directory, or --force to replace a bundle"
        )
    if others := list(_others(place, name)):
        raise MacgenError(
            f"output {shown_path(target)} holds {_named(others)} beside the bundle; accepted is a new directory, or one"
            f" with nothing but a bundle"
        )


def _named(paths: Sequence[str]) -> str:
    named = ", ".join(shown(path) for path in sorted(paths)[:_NAMED])
    return named if len(paths) <= _NAMED else f"{named} and {len(paths) - _NAMED} more"


def _others(directory: Path, name: str) -> Iterator[str]:
    """Yield the files in a directory that are not of the bundle of this name: links never are. Folders that are empty
    or cannot be read count, too.
    """
    files, folders = _own(name, has_configuration(directory))
    inside = [directory]
    for folder in inside:  # grows
        path = folder.relative_to(directory).as_posix()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            yield f"{path}/"
            continue
        if not entries and path not in folders:
            yield f"{path}/"
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside.append(Path(entry.path))
                continue
            path = Path(entry.path).relative_to(directory).as_posix()
            if path not in files or not entry.is_file(follow_symlinks=False):
                yield path


def _own(name: str, configuration: bool) -> tuple[tuple[str, ...], set[str]]:
    """Return the files of a bundle and their folders."""
    paths = bundle_paths(name, configuration)
    return (*paths, MANIFEST), {str(PurePosixPath(path).parent) for path in paths} - {"."}


def _remove(directory: Path, name: str) -> None:
    """Delete the files of a bundle of this name, or of the one that its manifest says, and folders left empty.

    The manifest goes last, so that what an interrupt leaves is known for a bundle's.
    """
    files: list[str] = []
    folders: set[str] = set()
    configuration = has_configuration(directory)
    for each in {name, name_of_bundle(directory) or name}:
        own = _own(each, configuration)
        files += own[0]
        folders |= own[1]
    for path in sorted(files, key=MANIFEST.__eq__):
        if not (directory / path).parent.is_symlink():
            with contextlib.suppress(OSError):
                (directory / path).unlink()
    for path in (*sorted(folders), "."):
        with contextlib.suppress(OSError):
            (directory / path).rmdir()


# -- the place ---------------------------------------------------------------------------------------------------------


class Place:
    """Where a bundle goes, and where it is made: a context, which cleans up after a stop at any moment.

    Then the old bundle is back, unless the new one has been put in its place. Directories are known by their inodes, so
    that a second interrupt, or a file system that refuses to go back, cannot have a directory deleted that has not been
    looked at. It then stays as it is, under the name of `staging`.

    Attributes:
        target: the final name.
        staging: the new bundle's directory until it is put in its place.
    """

    def __init__(self, target: Path, name: str) -> None:
        text = target.name.encode(errors="surrogatepass")
        stem = target.name if len(text) <= _MOST_BYTES else hashlib.sha256(text).hexdigest()[:16]
        self.target = target
        self._name, self._stem = name, f".{stem}"
        self.staging = self._fresh()
        self._new: tuple[int, int] | None = None
        self._old_may_go = False
        self._made: list[Path] = []
        self._locks = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self._locks:
            if error is not None:
                self._clean_up()

    def prepare(self, force: bool) -> None:
        """Mend what killed builds left, look at what stands at the target, and make the parents and `staging`.

        Raises:
            MacgenError: what stands there must not be replaced.
            OSError: nothing can be written.
        """
        self._recover()
        check_target(self.target, self.target, force)
        self._made = [parent for parent in self.target.parents if not parent.exists()]
        self.target.parent.mkdir(parents=True, exist_ok=True)
        while self._new is None:
            self.staging = self._fresh()
            self.staging.mkdir()
            # Before it is locked, another build may take it for a killed one's and remove it.
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                self._locks.enter_context(_locked(self.staging))
                self._new = _inode(self.staging)

    def take(self, force: bool) -> None:
        """Give the finished bundle its name, and delete the one that had it.

        Raises:
            MacgenError: something was put there since `prepare` that must not be replaced; it stays.
            OSError: the file system refused.
        """
        try:
            self.staging.rename(self.target)  # also replaces an empty directory
            return
        except OSError as error:
            if not force or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        self._exchange()
        check_target(self.staging, self.target, force)  # nobody writes into it any more
        self._old_may_go = True
        _remove(self.staging, self._name)

    def _fresh(self) -> Path:
        return self.target.parent / f"{self._stem}.{secrets.token_hex(4)}{_PARTIAL}"

    def _exchange(self) -> None:
        try:
            exchange(self.staging, self.target)
        except OSError:
            with contextlib.suppress(OSError):
                self._locks.enter_context(_locked(self.target))
            self.target.rename(self._aside)
            self.staging.rename(self.target)
            self._aside.rename(self.staging)  # else it could be recovered while it is being deleted

    @property
    def _aside(self) -> Path:
        return self.staging.with_suffix(_ASIDE)

    def _clean_up(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if not self._old_may_go:
                self._put_back()
        with contextlib.suppress(OSError, ValueError):
            if self._old_may_go or _inode(self.staging) == self._new:
                _remove(self.staging, self._name)
            else:
                self.staging.rmdir()  # if it is empty
        for parent in self._made:  # deepest first; those that hold something stay
            with contextlib.suppress(OSError, ValueError):
                parent.rmdir()

    def _put_back(self) -> None:
        if self._aside.exists():
            if self.target.exists() and _inode(self.target) == self._new:
                self.target.rename(self.staging)
            self._aside.rename(self.target)
        elif self._new is not None and _inode(self.staging) != self._new:
            self._exchange()

    def _recover(self) -> None:
        """Look for what builds of this name left that were killed: an old bundle gets its name back, the rest goes."""
        siblings = f"{glob.escape(self._stem)}.????????"
        for aside in self.target.parent.glob(siblings + _ASIDE):
            with contextlib.suppress(OSError), _locked(aside):
                if name_of_bundle(aside) is not None:
                    aside.rename(aside.with_suffix(_PARTIAL) if os.path.lexists(self.target) else self.target)
        for rest in self.target.parent.glob(siblings + _PARTIAL):
            with contextlib.suppress(OSError), _locked(rest) as locked:
                name = name_of_bundle(rest) or self._name
                if locked and (not any(rest.iterdir()) or not any(_others(rest, name))):
                    _remove(rest, name)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Lock a directory, under whatever name, until the block or the process ends, however it does.

    Yields:
        Whether it is locked: not every file system can.

    Raises:
        BlockingIOError: another build has locked it.
        OSError: it is not there.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            raise
        except OSError:
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def _inode(path: Path) -> tuple[int, int]:
    status = path.lstat()
    return status.st_dev, status.st_ino


def exchange(one: Path, other: Path) -> None:
    """Exchange two directories in one step of the file system, so that each name always has one of them.

    Raises:
        OSError: the system or the file system does not know how (Linux does on most of its own), or refused.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
