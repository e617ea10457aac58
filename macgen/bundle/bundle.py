"""The bundle on disk: written whole or not at all."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from macgen.bundle.contents import texts
from macgen.bundle.manifest import MANIFEST, Manifest
from macgen.bundle.names import check_name
from macgen.bundle.opening import digest
from macgen.bundle.replacing import Place
from macgen.bundle.subject import Subject, check_subject
from macgen.bundle.target import Target
from macgen.errors import MacgenError, check_flag, check_path, shown, shown_path


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


def build(
    spec: Subject,
    directory: str | os.PathLike[str],
    *,
    name: str | None = None,
    force: bool = False,
    clock_mhz: float | None = None,
    io_share: float | None = None,
) -> Bundle:
    """Generate an array, or a unit that compresses gradients, and write its bundle.

    Everything is written into a temporary directory beside the target, which is then renamed, or with `force` exchanged
    with the old bundle. So at every moment, even if the process is killed, the final name has nothing, the old bundle
    or the new one, and never a part of one. Without a kill nothing else is left, unless it cannot be deleted; what a
    killed build left goes with the next one of this name.

    Where the system cannot exchange directories (other than Linux; some network file systems), the old bundle is moved
    aside first. A kill in the very moment between leaves it there, and the next build of this name moves it back first.

    Parameters:
        spec: a MacSpec or a CompressSpec.
        directory: where the bundle goes; missing parents are made.
        name: of the top module; default: the directory's.
        force: replace an existing bundle. Its files go, changed ones too; with any other file in its directory the
            build is refused.
        clock_mhz: the clock that the array is handed over for: constraints ask for it, and LibreLane's configuration
            is among the files. None: constraints start from 100 MHz.
        io_share: with `clock_mhz`, the share of the period that is taken outside before inputs, and again after
            outputs; None: 0.2.

    Returns:
        The bundle written.

    Raises:
        MacgenError: the name is refused, the directory exists or cannot be written.
        ToolError: Yosys failed.
    """
    check_subject(spec)
    target, force = check_path("output", directory), check_flag("force", force)
    name = check_name(target.name if name is None else name)
    handed_over = _target_of(clock_mhz, io_share)
    try:
        with Place(target, name) as place:
            place.prepare(force)
            manifest = _write(Manifest.of(spec, name, handed_over), place.staging)
            place.take(force)
    except OSError as error:
        raise _unwritable(target, error.strerror or str(error)) from None
    except MacgenError:
        raise
    except ValueError:
        raise _unwritable(target, "no path of this system") from None
    return Bundle(target, manifest)


def _target_of(clock_mhz: float | None, io_share: float | None) -> Target | None:
    if clock_mhz is None:
        if io_share is not None:
            raise MacgenError(f"io-share {shown(io_share)} is given without clock-mhz; accepted is it with a clock")
        return None
    return Target(clock_mhz) if io_share is None else Target(clock_mhz, io_share)


def _write(manifest: Manifest, directory: Path) -> Manifest:
    contents = {path: text.encode() for path, text in texts(manifest).items()}
    for path, data in contents.items():
        file = directory / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
    manifest = replace(manifest, files={path: digest(data) for path, data in contents.items()})
    (directory / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _unwritable(target: Path, reason: str) -> MacgenError:
    return MacgenError(f"output {shown_path(target)} cannot be written ({reason}); accepted is a writable directory")
