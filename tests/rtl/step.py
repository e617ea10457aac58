"""Dot products through emitted Verilog, very many at a time: as steps of a PE, and as streams through an array.

Verilator and g++ make a shared library of the Verilog, which takes NumPy arrays. Nothing here computes: numbers come
from the emitted modules alone, so that an oracle outside the project can judge them.
"""

import atexit
import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macgen import MacSpec, tools
from macgen.bundle.verilog import to_verilog
from macgen.prove.exhaustive.step_wrapper import StepWrapper, step_wrapper
from macgen.rtl import Design
from tests.mutants import edit

NAME = "dut"
TIMEOUT_S = 300
_OPTIONS = ("-std=gnu++17", "-w", "-fPIC", "-fno-gnu-unique", "-pthread", "-DVERILATOR=1", "-DVM_TRACE=0")

Result = tuple[NDArray[np.uint64], NDArray[np.uint8]]
"""Codes and flags of T dot products."""


class RtlStep:
    """The combinational modules of a PE's loop, with the loop's registers and control outside of the Verilog.

    Parameters:
        spec: the array; its accumulator has up to 64 bits.
        edit: changes the array's Verilog before it is compiled.
    """

    def __init__(self, spec: MacSpec, edit: Callable[[str], str] = lambda verilog: verilog) -> None:
        assert spec.acc.width <= 64
        self.spec = spec
        wrapper = step_wrapper(Design(spec), NAME)
        self._random_bits = wrapper.inner.random_bits
        texts = [edit(to_verilog(spec, NAME)), wrapper.verilog, _loop_verilog(spec, wrapper)]
        self._library = _library(texts, f"{NAME}_loop", _LOOP_CPP.replace("@WORDS@", _words(wrapper)))

    def sums(self, a: ArrayLike, b: ArrayLike, random: ArrayLike | None = None) -> Result:
        """Return T dot products, chunks and folds included, each from the empty accumulator on.

        Parameters:
            a: (T, K) codes of left operands.
            b: (T, K) codes of right operands.
            random: with stochastic rounding (T, additions) random numbers, in the order of the additions
                (docs/arithmetic.md section 7).
        """
        a, b = np.ascontiguousarray(a, np.uint32), np.ascontiguousarray(b, np.uint32)
        count, length = a.shape
        assert b.shape == a.shape
        numbers = np.zeros((count, 0), np.uint32) if random is None else np.ascontiguousarray(random, np.uint32)
        assert numbers.shape == (count, additions(self.spec, length) if self._random_bits else 0)
        return _call(self._library, count, length, self.spec.chunk or 0, a, b, numbers)


class RtlArray:
    """A whole array of one PE, with its registers, control, streams and random numbers.

    Parameters:
        spec: the array, of one row and one column.
    """

    def __init__(self, spec: MacSpec) -> None:
        assert (spec.rows, spec.cols) == (1, 1)
        assert spec.acc.width <= 64
        self.spec = spec
        wide = {"a_data": spec.a.width, "b_data": spec.b.width, "c_data": spec.acc.width}
        self._library = _library([to_verilog(spec, NAME), _stream_verilog(wide)], f"{NAME}_stream", _STREAM_CPP)

    def sums(self, a: ArrayLike, b: ArrayLike) -> Result:
        """Return T dot products of (T, K) operand codes, computed one after the other from a reset on."""
        a, b = np.ascontiguousarray(a, np.uint32), np.ascontiguousarray(b, np.uint32)
        assert a.shape == b.shape
        return _call(self._library, *a.shape, 0, a, b, np.zeros((a.shape[0], 0), np.uint32))


def additions(spec: MacSpec, length: int) -> int:
    """Return how many additions a dot product takes: a step for each product, a fold for each chunk but the first."""
    return length + -(-length // (spec.chunk or length)) - 1


# -- Verilog -----------------------------------------------------------------------------------------------------------


def _words(wrapper: StepWrapper) -> str:
    """Return the empty state as the 32-bit words of a port, at least three: Verilator holds shorter ones otherwise."""
    count = max(3, -(-wrapper.inner.state_bits // 32))
    return ", ".join(f"{wrapper.inner.zero >> 32 * place & 0xFFFFFFFF:#x}u" for place in range(count))


def _loop_verilog(spec: MacSpec, wrapper: StepWrapper) -> str:
    """Return a module that does one addition: of a product, or with `fold` of a total; with `load` the product is
    loaded beside the adder, where the array does that."""
    port_bits = 32 * len(_words(wrapper).split(","))
    state, random_bits = wrapper.inner.state_bits, wrapper.inner.random_bits
    units = wrapper.modules
    body = [
        f"wire [{wrapper.inner.operand_bits - 1}:0] product, operand;",
        f"wire [{state - 1}:0] added, after;",
        "wire [2:0] adder_flags;",
        f"{units['product']} multiply(.a(a[{spec.a.width - 1}:0]), .b(b[{spec.b.width - 1}:0]), .present(~fold), "
        ".operand(product));",
        f"{units['step']} add(.state(acc[{state - 1}:0]), .operand(operand), .result(added), .flags(adder_flags)"
        + (f", .random(random[{random_bits - 1}:0])" if random_bits else "")
        + ");",
        f"{units['code']} convert(.state(after), .code(code[{spec.acc.width - 1}:0]));",
        f"assign result = {{{port_bits - state}'d0, after}};",
    ]
    if spec.acc.width < 64:
        body.append(f"assign code[63:{spec.acc.width}] = 0;")
    if "folded" in units:
        body += [
            f"wire [{wrapper.inner.operand_bits - 1}:0] from_total;",
            f"{units['folded']} fold_total(.state(total[{state - 1}:0]), .present(present), .operand(from_total));",
            "assign operand = fold ? from_total : product;",
        ]
    else:
        body.append("assign operand = product;")
    if "loaded" in units:
        body += [
            f"wire [{state - 1}:0] loaded;",
            "wire [2:0] loaded_flags;",
            f"{units['loaded']} load_product(.operand(product), .state(loaded), .flags(loaded_flags));",
            "assign after = load ? loaded : added;",
            "assign flags = load ? loaded_flags : adder_flags;",
        ]
    else:
        body += ["assign after = added;", "assign flags = adder_flags;"]
    ports = [
        f"input [{port_bits - 1}:0] acc, input [{port_bits - 1}:0] total",
        "input [31:0] a, input [31:0] b, input [31:0] random, input fold, input present, input load",
        f"output [{port_bits - 1}:0] result, output [63:0] code, output [2:0] flags",
    ]
    return _module("loop", ports, body)


def _stream_verilog(wide: dict[str, int]) -> str:
    """Return a module around the array with operands of 32 bits and codes of 64."""
    ports = [
        "input clk, input rst, input valid, input first, input last, input [31:0] a, input [31:0] b",
        "output a_ready, output b_ready, output c_valid, output [63:0] code, output [2:0] flags",
    ]
    same = ["clk", "rst", "a_ready", "b_ready", "c_valid"]
    connections = {name: name for name in same} | {
        "a_valid": "valid",
        "b_valid": "valid",
        "a_first": "first",
        "a_last": "last",
        "a_data": f"a[{wide['a_data'] - 1}:0]",
        "b_data": f"b[{wide['b_data'] - 1}:0]",
        "c_ready": "1'b1",
        "c_data": f"code[{wide['c_data'] - 1}:0]",
        "c_flags": "flags",
    }
    body = [f"{NAME} array({', '.join(f'.{port}({net})' for port, net in connections.items())});"]
    if wide["c_data"] < 64:
        body.append(f"assign code[63:{wide['c_data']}] = 0;")
    return _module("stream", ports, body)


def _module(kind: str, ports: list[str], body: list[str]) -> str:
    lines = "\n".join(f"  {line}" for line in body)
    return f"module {NAME}_{kind} ({', '.join(ports)});\n{lines}\nendmodule\n"


# -- C++ ---------------------------------------------------------------------------------------------------------------

_HEAD_CPP = """
#include <cstring>
#include "Vtop.h"
double sc_time_stamp() { return 0; }
using u32 = uint32_t;
using u64 = uint64_t;
extern "C" int sums(long count, long length, long chunk, const u32* a, const u32* b, long numbers, const u32* random,
                    u64* codes, uint8_t* flags) {
    VerilatedContext context;
    Vtop top{&context};
"""

_LOOP_CPP = (
    _HEAD_CPP
    + """
    static const u32 ZERO[] = {@WORDS@};
    const size_t bytes = sizeof ZERO;
    u32 acc[sizeof ZERO / 4], total[sizeof ZERO / 4];
    static_assert(sizeof ZERO == sizeof top.acc, "the state's words");
    for (long row = 0; row < count; ++row, a += length, b += length, random += numbers) {
        long taken = 0;
        unsigned acc_flags = 0, all_flags = 0;
        auto add = [&](bool fold, bool present, bool load) {
            std::memcpy(&top.acc, acc, bytes);
            std::memcpy(&top.total, total, bytes);
            top.fold = fold, top.present = present, top.load = load;
            const bool counts = !fold || present;
            top.random = numbers && counts ? random[taken++] : 0;
            top.eval();
        };
        std::memcpy(acc, ZERO, bytes);
        std::memcpy(total, ZERO, bytes);
        for (long k = 0; k < length; ++k) {
            top.a = a[k], top.b = b[k];
            add(false, false, chunk && k % chunk == 0);
            std::memcpy(acc, &top.result, bytes);
            acc_flags |= top.flags;
            if (chunk && ((k + 1) % chunk == 0 || k + 1 == length)) {
                add(true, k >= chunk, false);
                std::memcpy(total, &top.result, bytes);
                all_flags |= acc_flags | top.flags;
                acc_flags = 0;
                std::memcpy(acc, ZERO, bytes);
            }
        }
        codes[row] = top.code;
        flags[row] = static_cast<uint8_t>(all_flags | acc_flags);
        if (taken != numbers) return 1;
    }
    return 0;
}
"""
)

_STREAM_CPP = (
    _HEAD_CPP
    + """
    auto clock = [&] {
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
    };
    top.clk = 0, top.valid = 0, top.rst = 1;
    clock();
    top.rst = 0;
    long sent = 0, received = 0, idle = 0;
    while (received < count) {
        const bool more = sent < count * length;
        top.valid = more;
        if (more) top.a = a[sent], top.b = b[sent];
        top.first = sent % length == 0;
        top.last = (sent + 1) % length == 0;
        top.eval();
        const bool accepted = more && top.a_ready;
        if (accepted && !top.b_ready) return 1;
        idle = accepted || top.c_valid ? 0 : idle + 1;
        if (idle > 1000) return 2;
        sent += accepted;
        if (top.c_valid) codes[received] = top.code, flags[received] = top.flags, ++received;
        clock();
    }
    return 0;
}
"""
)


def _library(texts: list[str], top: str, driver: str) -> Any:
    """Return the function `sums` of a shared library made of Verilog and of the C++ that drives it."""
    verilator = tools.require("verilator")
    with tempfile.TemporaryDirectory(prefix="macgen-oracle-") as name:
        directory = Path(name)
        (directory / "top.v").write_text("\n".join(texts))
        options = ["--cc", "--top-module", top, "--prefix", "Vtop", "--Mdir", ".", "-Wno-fatal", "-O3", "top.v"]
        _run([*verilator.command, *options], directory)
        parts = [f'#include "{path.name}"' for path in sorted(directory.glob("Vtop*.cpp"))]
        (directory / "driver.cpp").write_text("\n".join([*parts, driver]))
        (directory / "runtime.o").write_bytes(_runtime())
        header = _parsed_header()
        command = [*tools.require("g++").command, *_OPTIONS, "-O1", "-include", header, *_includes(), "-I.", "-shared"]
        _run([*command, "driver.cpp", "runtime.o", "-o", "sums.so"], directory)
        return ctypes.CDLL(str(directory / "sums.so")).sums


def _call(function: Any, count: int, length: int, chunk: int, *inputs: NDArray[np.uint32]) -> Result:
    assert length > 0
    a, b, random = inputs
    codes, flags = np.empty(count, np.uint64), np.empty(count, np.uint8)
    numbers = [ctypes.c_long(number) for number in (count, length, chunk, random.shape[1])]
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (a, b, random, codes, flags)]
    error = function(*numbers[:3], *pointers[:2], numbers[3], *pointers[2:])
    assert error == 0, f"the driver of the Verilog ended with {error}"
    return codes, flags


def _run(command: list[Any], directory: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=directory,
        env=tools.require("verilator").environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@cache
def _root() -> Path:
    output = _run([*tools.require("verilator").command, "--getenv", "VERILATOR_ROOT"], Path.cwd())
    return Path(output.splitlines()[-1]) / "include"


def _includes() -> list[str]:
    return [f"-I{_root()}", f"-I{_root() / 'vltstd'}"]


@cache
def _runtime() -> bytes:
    """Return Verilator's own part of each library as an object."""
    with tempfile.TemporaryDirectory(prefix="macgen-oracle-") as name:
        directory = Path(name)
        sources = [f'#include "{source}.cpp"' for source in ("verilated", "verilated_threads")]
        (directory / "runtime.cpp").write_text("\n".join([*sources, ""]))
        command = [*tools.require("g++").command, *_OPTIONS, "-O0", *_includes(), "-c", "runtime.cpp"]
        _run(command, directory)
        return (directory / "runtime.o").read_bytes()


@cache
def _parsed_header() -> Path:
    """Return Verilator's header, beside what g++ made of it: a library takes a quarter less time with it."""
    directory = tempfile.TemporaryDirectory(prefix="macgen-oracle-")
    atexit.register(directory.cleanup)
    path = Path(directory.name)
    (path / "verilated.h").write_text(f'#include "{_root() / "verilated.h"}"\n')
    command = [*tools.require("g++").command, *_OPTIONS, "-O1", *_includes(), "-x", "c++-header", "verilated.h"]
    _run([*command, "-o", "verilated.h.gch"], path)
    return path / "verilated.h"


@cache
def rtl_step(spec: MacSpec) -> RtlStep:
    """Return a spec's steps, compiled once for all tests."""
    return RtlStep(spec)


def ties_to_odd(verilog: str) -> str:
    """Return an array's Verilog with the tie rule of `rne` reversed: the smallest mistake that an oracle has to see.

    Raises:
        LookupError: the Verilog does not round up by `below & (rest | last place)`.
    """
    return edit(verilog, "result__round_up", r"\| ([\w\[\]]+)\)$", r"| ~\1)", module=f"{NAME}_rounder").verilog
