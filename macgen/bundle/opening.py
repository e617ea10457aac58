"""A bundle is opened before its Verilog is used: all of its files are read once, and looked at first.

To simulate Verilog is to run a program. It may start others, read and write files, and a bundle may come from anyone.
Checksums say what was changed after the build, but whoever writes the Verilog can write the manifest, too. So the
Verilog has to be, byte by byte, what this macgen writes of the manifest's spec and name, or be trusted by the user.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from macgen.bundle.contents import verilog_of
from macgen.bundle.manifest import MANIFEST, Manifest, load_manifest, versions
from macgen.errors import MacgenError, check_flag, check_path, shown_path

MAX_FILE_BYTES = 1 << 28
"""A hundred times the Verilog of the largest arrays; a larger file is not read."""

_CHANGED, _HOW_KNOWN = "was changed after it was built", "its checksum is not the manifest's"


@dataclass(frozen=True)
class OpenBundle:
    """A bundle as it was when it was looked at.

    Attributes:
        directory: where it is.
        manifest: what it holds.
        contents: path and bytes of every file but the manifest.
        notes: sentences (without their full stops) on what is unusual about it.
    """

    directory: Path
    manifest: Manifest
    contents: Mapping[str, bytes] = field(repr=False)
    notes: tuple[str, ...]

    @property
    def verilog(self) -> bytes:
        """The Verilog."""
        return self.contents[self.manifest.verilog]

    def copy(self, directory: Path) -> Path:
        """Write what was looked at into a new directory and return it: that is what a tool is given to run."""
        directory.mkdir(parents=True)
        for path, data in {**self.contents, MANIFEST: self.manifest.to_json().encode()}.items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return directory


def open_bundle(directory: str | os.PathLike[str], *, trust: bool = False) -> OpenBundle:
    """Read a bundle and look at it before anything of it runs.

    Constraints and core are no concern of macgen: that they were changed is noted.

    Parameters:
        directory: of the bundle; only read.
        trust: accept Verilog that macgen did not write; it is then not compared.

    Returns:
        The bundle. Without `trust` its Verilog is what this macgen writes of its spec and its name.

    Raises:
        MacgenError: the directory holds no complete bundle, or Verilog that nobody said to trust.
        ToolError: Yosys failed at the Verilog to compare with.
    """
    directory, trust = check_path("bundle", directory), check_flag("trust", trust)
    manifest = load_manifest(directory)
    contents = {path: _read(directory, path) for path in manifest.files}
    changed = [path for path, data in contents.items() if digest(data) != manifest.files[path]]
    notes = [f"{path} {_CHANGED}: {_HOW_KNOWN}" for path in changed]
    if trust:
        notes.insert(0, f"{manifest.verilog} was not compared with what macgen writes of its spec: it is trusted")
    opened = OpenBundle(directory, manifest, contents, tuple(notes))
    if not trust and (problem := _problem(opened, manifest.verilog in changed)) is not None:
        raise MacgenError(
            f"bundle {shown_path(directory)}: {manifest.verilog} {problem}, and to simulate Verilog is to run whatever "
            f"it says; accepted is what macgen build writes, or with --trust Verilog that you trust"
        )
    return opened


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _problem(opened: OpenBundle, changed: bool) -> str | None:
    """Return what is wrong with Verilog that is not trusted."""
    manifest = opened.manifest
    if changed:
        return f"{_CHANGED} ({_HOW_KNOWN})"
    if opened.verilog == verilog_of(manifest.subject, manifest.name).encode():
        return None
    here = versions()
    others = [f"{tool} {version}" for tool, version in here.items() if manifest.tools.get(tool) != version]
    written = f"; its manifest names other versions than {', '.join(others)}" if others else ""
    return f"is not what this macgen writes of its spec and name{written}"


def _read(directory: Path, path: str) -> bytes:
    try:
        with (directory / path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise MacgenError(
            f"bundle {shown_path(directory)}: {path} cannot be read ({error.strerror}); accepted is a complete bundle"
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise MacgenError(
            f"bundle {shown_path(directory)}: {path} is larger than {MAX_FILE_BYTES} bytes; accepted is what macgen "
            f"build writes"
        )
    return data
