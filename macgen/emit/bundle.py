"""The bundle on disk: written whole or not at all."""

import errno
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from macgen.emit.constraints import constraint_files
from macgen.emit.fusesoc import core_file
from macgen.emit.manifest import MANIFEST, Manifest, file_hash
from macgen.emit.names import check_name
from macgen.emit.verilog import to_verilog
from macgen.errors import MacgenError, shown
from macgen.spec import MacSpec


def build(spec: MacSpec, directory: Path | str, *, name: str | None = None, force: bool = False) -> Manifest:
    """Generate an array and write its bundle.

    Everything is written into a temporary directory beside the target, which is then renamed: an interrupted build
    leaves nothing under the final name, a forced one the old bundle or the new.

    Parameters:
        spec: the array.
        directory: where the bundle goes; missing parents are made.
        name: of the top module; default: the directory's.
        force: replace an existing bundle (only a bundle: never another directory).

    Returns:
        The manifest written.

    Raises:
        MacgenError: the name is refused, the directory exists or cannot be written.
        ToolError: Yosys failed.
    """
    target = Path(directory)
    name = check_name(target.name if name is None else name)
    try:
        _check_target(target, force)
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from None
    try:
        manifest = _write(spec, name, staging)
        staging.chmod(0o777 & ~_umask())
        _put_in_place(staging, target, force)
    except OSError as error:
        raise _unwritable(target, error) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


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
    if not target.is_dir() or (any(target.iterdir()) and not (target / MANIFEST).is_file()):
        raise MacgenError(f"output {shown(str(target))} exists and is no bundle; accepted is a new directory")
    if any(target.iterdir()) and not force:
        raise MacgenError(
            f"output {shown(str(target))} exists; accepted is a new directory, or --force to replace a bundle"
        )


def _put_in_place(staging: Path, target: Path, force: bool) -> None:
    """Rename the finished bundle to its name; a replaced one is moved aside first and deleted last."""
    try:
        staging.rename(target)  # also replaces an empty directory
        return
    except OSError as error:
        if not force or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    target.rename(aside / "bundle")
    try:
        staging.rename(target)
    except OSError:
        (aside / "bundle").rename(target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(target: Path, error: OSError) -> MacgenError:
    return MacgenError(
        f"output {shown(str(target))} cannot be written ({error.strerror}); accepted is a writable directory"
    )
