"""The bundle on disk: written whole or not at all."""

import contextlib
import errno
import os
import secrets
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from macgen.bundle.constraints import constraint_files
from macgen.bundle.fusesoc import core_file
from macgen.bundle.manifest import MANIFEST, Manifest, file_hash, is_bundle
from macgen.bundle.names import check_name
from macgen.bundle.verilog import to_verilog
from macgen.errors import MacgenError, check_flag, check_path, shown_path
from macgen.spec import MacSpec, check_spec


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk; whatever takes the directory of one takes this, too.

    Attributes:
        directory: where it is.
        manifest: what it holds.
    """

    directory: Path
    manifest: Manifest = field(repr=False)

    def __fspath__(self) -> str:
        return str(self.directory)

    @property
    def verilog(self) -> Path:
        """The Verilog file."""
        return self.directory / self.manifest.verilog


def build(spec: MacSpec, directory: str | os.PathLike[str], *, name: str | None = None, force: bool = False) -> Bundle:
    """Generate an array and write its bundle.

    Everything is written into a temporary directory beside the target, which is then renamed: an interrupted build
    leaves nothing under the final name, a forced one the old bundle or the new.

    Parameters:
        spec: the array.
        directory: where the bundle goes; missing parents are made.
        name: of the top module; default: the directory's.
        force: replace an existing bundle (only a bundle: never another directory).

    Returns:
        The bundle written.

    Raises:
        MacgenError: the name is refused, the directory exists or cannot be written.
        ToolError: Yosys failed.
    """
    check_spec(spec)
    target, force = check_path("output", directory), check_flag("force", force)
    name = check_name(target.name if name is None else name)
    staging = target.parent / f".{target.name[:64]}.{secrets.token_hex(4)}.partial"
    aside = staging.with_suffix(".old")
    made: list[Path] = []
    try:
        _check_target(target, force)
        made += [parent for parent in target.parents if not parent.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
        manifest = _write(spec, name, staging)
        _put_in_place(staging, target, aside, force)
    except BaseException as error:
        _clean_up(target, staging, aside, made)
        if isinstance(error, OSError):
            raise _unwritable(target, error.strerror or str(error)) from None
        if isinstance(error, ValueError) and not isinstance(error, MacgenError):
            raise _unwritable(target, "no path of this system") from None
        raise
    return Bundle(target, manifest)


def _write(spec: MacSpec, name: str, directory: Path) -> Manifest:
    manifest = Manifest.of(spec, name)
    texts = {manifest.verilog: to_verilog(spec, name), **constraint_files(name), f"{name}.core": core_file(manifest)}
    for path, text in texts.items():
        file = directory / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    manifest = replace(manifest, files={path: file_hash(directory / path) for path in texts})
    (directory / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _check_target(target: Path, force: bool) -> None:
    if not target.exists() and not target.is_symlink():
        return
    empty = target.is_dir() and not any(target.iterdir())
    if target.is_symlink() or not (empty or is_bundle(target)):
        raise MacgenError(f"output {shown_path(target)} exists and is no bundle; accepted is a new directory")
    if not empty and not force:
        raise MacgenError(
            f"output {shown_path(target)} exists; accepted is a new directory, or --force to replace a bundle"
        )


def _put_in_place(staging: Path, target: Path, aside: Path, force: bool) -> None:
    """Rename the finished bundle to its name; a replaced one is moved aside first and deleted last."""
    try:
        staging.rename(target)  # also replaces an empty directory
        return
    except OSError as error:
        if not force or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    target.rename(aside)
    staging.rename(target)
    shutil.rmtree(aside, ignore_errors=True)


def _clean_up(target: Path, staging: Path, aside: Path, made: list[Path]) -> None:
    """After a stop at any moment: remove what was begun; the old bundle goes back unless the new one is there."""
    with contextlib.suppress(OSError, ValueError):
        if aside.exists() and not target.exists():
            aside.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(staging, ignore_errors=True)
    for parent in made:  # deepest first; those that hold something stay
        with contextlib.suppress(OSError, ValueError):
            parent.rmdir()


def _unwritable(target: Path, reason: str) -> MacgenError:
    return MacgenError(f"output {shown_path(target)} cannot be written ({reason}); accepted is a writable directory")
