"""How a finished bundle comes to its place: at once, and in the place of another bundle only.

The new bundle is made beside its target, as `.NAME.XXXXXXXX.partial`. A rename brings it to its place; where an old
one stands there, the two are exchanged. What is deleted is deleted by its name, and only a bundle's files are.
"""

import contextlib
import ctypes
import errno
import glob
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from macgen.bundle.manifest import MANIFEST, bundle_paths, name_of_bundle
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
    files, folders = _own(name)
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


def _own(name: str) -> tuple[tuple[str, ...], set[str]]:
    """Return the files of a bundle and their folders."""
    paths = bundle_paths(name)
    return (*paths, MANIFEST), {str(PurePosixPath(path).parent) for path in paths} - {"."}


def _remove(directory: Path, name: str) -> None:
    """Delete the files of a bundle of this name, or of the one that its manifest says, and folders left empty.

    The manifest goes last, so that what an interrupt leaves is known for a bundle's.
    """
    files: list[str] = []
    folders: set[str] = set()
    for each in {name, name_of_bundle(directory) or name}:
        own = _own(each)
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
    """Where a bundle goes, and where it is made.

    Attributes:
        target: the final name.
        staging: the new bundle's directory until it is put in its place.
    """

    def __init__(self, target: Path, name: str) -> None:
        text = target.name.encode(errors="surrogatepass")
        stem = target.name if len(text) <= _MOST_BYTES else hashlib.sha256(text).hexdigest()[:16]
        self._name, self._stem = name, f".{stem}"
        self.target = target
        self.staging = target.parent / f".{stem}.{secrets.token_hex(4)}{_PARTIAL}"
        self._aside = self.staging.with_suffix(_ASIDE)
        self._made: list[Path] = []

    def prepare(self, force: bool) -> None:
        """Mend what a killed replacement left, look at what stands at the target, and make the parents and `staging`.

        Raises:
            MacgenError: what stands there must not be replaced.
            OSError: nothing can be written.
        """
        self._recover()
        check_target(self.target, self.target, force)
        self._made = [parent for parent in self.target.parents if not parent.exists()]
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.staging.mkdir()

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
        try:
            check_target(self.staging, self.target, force)  # nobody writes into it any more
        except BaseException:
            self._exchange()
            raise
        _remove(self.staging, self._name)

    def _exchange(self) -> None:
        try:
            exchange(self.staging, self.target)
        except OSError:
            self.target.rename(self._aside)
            self.staging.rename(self.target)
            self._aside.rename(self.staging)  # else it could be recovered while it is being deleted

    def clean_up(self) -> None:
        """After a stop at any moment: remove what was begun; the old bundle is back unless the new one is there."""
        with contextlib.suppress(OSError, ValueError):
            if self._aside.exists():
                self._aside.rename(self.staging if self.target.exists() else self.target)
        with contextlib.suppress(OSError, ValueError):
            _remove(self.staging, self._name)
        for parent in self._made:  # deepest first; those that hold something stay
            with contextlib.suppress(OSError, ValueError):
                parent.rmdir()

    def _recover(self) -> None:
        """Where two renames replaced the bundle, they may have been killed between: give the old one its name back."""
        for aside in self.target.parent.glob(f"{glob.escape(self._stem)}.????????{_ASIDE}"):
            if name_of_bundle(aside) is None:
                continue
            there, rest = os.path.lexists(self.target), aside.with_suffix(_PARTIAL)
            with contextlib.suppress(OSError):  # others may do the same
                aside.rename(rest if there else self.target)
            if there:
                _remove(rest, self._name)


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
