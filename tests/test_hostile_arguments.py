"""Every public function, with each of its arguments in turn replaced by what it was not made for.

It either accepts the value or raises one sentence (MacgenError); nothing else, whatever the value. An integer or a
real number of NumPy's is one of Python's, and gives the same result.
"""

import datetime
import decimal
import inspect
import math
import pathlib
import tempfile
from fractions import Fraction

import numpy as np
import pytest

import macgen
from macgen import emulate, gate_level, golden, network, numerics, system, width
from macgen.bundle import load_manifest
from macgen.errors import MacgenError
from macgen.network.gemm import contraction_layer
from macgen.numerics import FixedFormat, FloatFormat, ScaleFormat, parse_format
from macgen.prove.exhaustive.prover import exhaustive
from macgen.prove.formal.prover import formal
from macgen.simulate.matmul import run_matmul
from macgen.simulate.verify import verify as simulate_bundle
from macgen.width import (
    automatic,
    bounds,
    exponent,
    flooring,
    goal,
    monte_carlo,
    nsr,
    outer,
    plan_file,
    planning,
    truncation,
    variance,
)
from macgen.width import network_plan as network_plans

SPEC = macgen.MacSpec(a="e5m2", b="int8", acc="e6m5", chunk=2, rounding="stochastic:4", rows=1, cols=1)
OF_LANES = macgen.MacSpec(
    a="e4m3fn", b="e4m3fn", acc="e8m13", lanes=2, lane_sum="exponents:13", scale="e8m0fnu", scale_place="lanes",
    scale_block=2, rows=1, cols=1,
)  # fmt: skip
SCALED = macgen.MacSpec(a="int4", b="int4", acc="int12", chunk=2, outer="fp32", scale="e8m0fnu", rows=1, cols=1)
GOAL, SUM = width.Goal(), width.Sum(length=100)
LAYER = network.linear_layer("fc", batch=2, inputs=8, outputs=4)
NETWORK = network.Network("mine", 2, (LAYER,))
STATISTICS = network.OperandStatistics(0.5, -4.0, 4.0, 1.0, 1.0, "float32")
MEASURED = network.Measurement(STATISTICS, STATISTICS)
OUTLINE = automatic.Outline(
    a="e5m2", b="e5m2", product=None, scale=None, scale_place="outer", outer=None, chunk=64, rounding="rne", lanes=1,
    lane_sum="fused",
)  # fmt: skip
E5M2, INT8, E8M0 = parse_format("e5m2"), parse_format("int8"), ScaleFormat(8)
PLANNED = network_plans.plan_length(100, GOAL)

PRELOADED = SPEC.replace(rounding="rne", preload=True)

PORTS = {"interface": "axi-stream", "reset": "async", "reset_active": "low", "clock_enable": True}

CALLS = [
    # golden
    (golden.step, {"spec": SPEC, "acc_code": 3, "a_code": 60, "b_code": 2, "random": 5}),
    (
        golden.step,
        {"spec": OF_LANES, "acc_code": 3, "a_code": [1, 2], "b_code": [3, 4], "a_scales": [9], "b_scales": [7]},
    ),
    (golden.fold, {"spec": SPEC, "outer_code": 3, "inner_code": 5, "random": 7}),
    (golden.fold, {"spec": SCALED, "outer_code": 3, "inner_code": 5, "a_scale": 127, "b_scale": 126}),
    (golden.convert, {"spec": SPEC, "outer_code": 3, "random": None}),
    (
        golden.convert,
        {
            "spec": SPEC.replace(rounding="rne", chunk=None, out="e5m2", outer_rounding="stochastic:3"),
            "outer_code": 3,
            "random": 2,
        },
    ),
    (golden.dot, {"spec": SPEC, "a_codes": [60, 61, 62], "b_codes": [1, 2, 3], "pe": (0, 0), "start": 1, "turn": 0}),
    (
        golden.dot,
        {"spec": SCALED, "a_codes": [1, 2, 3], "b_codes": [1, 2, 3], "a_scales": [127, 128], "b_scales": [127, 126]},
    ),
    (golden.matmul, {"spec": SPEC, "A": [[60, 61, 62]], "B": [[1], [2], [3]], "start": 2}),
    (
        golden.matmul,
        {"spec": SCALED, "A": [[1, 2, 3]], "B": [[1], [2], [3]], "A_scales": [[127, 1]], "B_scales": [[127], [126]]},
    ),
    (
        golden.dot_counts,
        {"spec": SPEC, "a_codes": [60, 61, 62], "b_codes": [1, 2, 3], "pe": (0, 0), "start": 1, "turn": 0},
    ),
    (
        golden.dot_counts,
        {"spec": SCALED, "a_codes": [1, 2, 3], "b_codes": [1, 2, 3], "a_scales": [127, 128], "b_scales": [127, 126]},
    ),
    (golden.matmul_counts, {"spec": SPEC, "A": [[60, 61, 62]], "B": [[1], [2], [3]], "start": 2}),
    (
        golden.matmul_counts,
        {"spec": SCALED, "A": [[1, 2, 3]], "B": [[1], [2], [3]], "A_scales": [[127, 1]], "B_scales": [[127], [126]]},
    ),
    *(
        (function, {"spec": PRELOADED, "a_codes": [60, 61], "b_codes": [1, 2], "preload": 3})
        for function in (golden.dot, golden.dot_counts)
    ),
    *(
        (function, {"spec": PRELOADED, "A": [[60, 61]], "B": [[1], [2]], "preload": [[3]]})
        for function in (golden.matmul, golden.matmul_counts)
    ),
    (golden.draws, {"spec": SPEC, "length": 3, "complete": True}),
    (golden.Model, {"spec": SPEC}),
    # emulate
    (emulate.matmul, {"spec": SPEC, "A": [[1.0, 2.0]], "B": [[1.0], [2.0]], "threads": 2, "flags": True}),
    (emulate.matmul, {"spec": SPEC, "A": [[1.0, 2.0]], "B": [[1.0], [2.0]], "counts": True, "taken": 3}),
    (
        emulate.matmul,
        {"spec": SCALED, "A": [[1.0, 2.0]], "B": [[1.0], [2.0]], "A_scales": [[1.0]], "B_scales": [[2.0]]},
    ),
    (emulate.dots, {"spec": SPEC, "A": [[1.0, 2.0]], "B": [[1.0, 2.0]], "threads": 2, "flags": True}),
    (emulate.dots, {"spec": SPEC, "A": [[1.0, 2.0]], "B": [[1.0, 2.0]], "counts": True, "taken": 3}),
    (emulate.matmul, {"spec": PRELOADED, "A": [[1.0, 2.0]], "B": [[1.0], [2.0]], "preload": [[3.0]]}),
    (emulate.dots, {"spec": PRELOADED, "A": [[1.0, 2.0]], "B": [[1.0, 2.0]], "preload": [3.0]}),
    (emulate.numbers_taken, {"spec": SPEC, "rows": 2, "cols": 3, "length": 4}),
    (
        emulate.dots,
        {"spec": SCALED, "A": [[1.0, 2.0]], "B": [[1.0, 2.0]], "A_scales": [[1.0]], "B_scales": [[2.0]]},
    ),
    # specs
    (
        macgen.MacSpec,
        {**SCALED.to_dict(), "product": None, "out": "fp32", "outer_rounding": "rne", "outer_cycles": 2, **PORTS},
    ),
    (macgen.MacSpec, {**SPEC.to_dict(), "modes": ["low:acc=e6m3"], "counters": "8/32"}),
    (macgen.MacSpec, PRELOADED.to_dict()),
    (macgen.MacSpec, OF_LANES.to_dict()),
    (OF_LANES.scale_count, {"length": 5}),
    (macgen.MacSpec.from_dict, {"values": SPEC.to_dict()}),
    (macgen.MacSpec.from_json, {"text": SPEC.to_json()}),
    (SPEC.overflow_into, {"fmt": E5M2}),
    (SPEC.replace, {"chunk": 4, "lanes": 2, "acc": "e6m9", "fold": "overlap"}),
    # numerics
    (FloatFormat, {"exp_bits": 5, "man_bits": 2, "bias": 15, "encoding": "ieee", "subnormals": "gradual"}),
    (FloatFormat.parse, {"text": "e5m2"}),
    (FixedFormat, {"int_bits": 4, "frac_bits": 4, "signed": True, "narrow": False}),
    (FixedFormat.parse, {"text": "fix4.4"}),
    (ScaleFormat, {"exp_bits": 8}),
    (ScaleFormat.parse, {"text": "e8m0fnu"}),
    (numerics.parse_format, {"text": "e5m2"}),
    (numerics.as_format, {"field": "a", "value": "e5m2"}),
    (numerics.all_codes, {"fmt": E5M2}),
    (numerics.all_values, {"fmt": E5M2}),
    (numerics.Rounding, {"text": "rne", "field": "rounding"}),
    (numerics.LaneSum, {"text": "fused"}),
    (numerics.Overflow, {"value": "wrap"}),
    (numerics.Encoding, {"value": "ieee"}),
    (numerics.Subnormals, {"value": "none"}),
    *((fmt.number, {"code": 3}) for fmt in (E5M2, INT8, E8M0)),
    *((fmt.decode, {"codes": [3, 4]}) for fmt in (E5M2, INT8, E8M0)),
    *((fmt.encode, {"values": [2.0, 4.0]}) for fmt in (E5M2, INT8, E8M0)),
    *((fmt.ulp, {"values": [2.0, 4.0]}) for fmt in (E5M2, INT8)),
    *((fmt.quantize, {"values": [2.0, 4.1], "rounding": "rne", "overflow": "saturate"}) for fmt in (E5M2, INT8)),
    # system
    (system.MatrixProduct, {"rows": 2, "length": 3, "cols": 4, "count": 5}),
    (system.Tiling, {"spec": SPEC, "product": system.MatrixProduct(2, 3, 4)}),
    (system.cycles, {"tiling": system.Tiling(SPEC, system.MatrixProduct(2, 3, 4))}),
    (system.cycles(system.Tiling(SPEC, system.MatrixProduct(2, 3, 4))).most, {"stalls": 3}),
    (system.Stalls, {"a": 1, "b": 2, "c": 3, "seed": 4}),
    (system.schedule, {"array": SPEC, "gemms": [(2, 3, 4)], "report": None, "mode": 0, "progress": lambda _: None}),
    (system.schedule, {"array": SPEC, "network": "resnet32", "batch": 2, "only": ["forward"]}),
    (system.schedule, {"array": SPEC, "model": "model.onnx", "dims": {"n": 2}}),
    # width
    (
        width.Goal,
        {
            "a": "e5m2",
            "b": "int8",
            "chunk": 64,
            "outer": "fp32",
            "rounding": "rne",
            "nsr": 0.01,
            "limit": 50.0,
            "reading": "total",
        },
    ),
    (width.Goal, {"overflow_probability": 1e-6}),
    (GOAL.chunk_for, {"length": 100}),
    (
        width.Sum,
        {"length": 64, "nzr": 0.5, "rms": 1.0, "weight_l1": 9, "weight_range": (4, 5), "reach": ((-3, 4), None)},
    ),
    (width.plan, {"goal": GOAL, "dot": SUM}),
    (width.plan_network, {"network": NETWORK, "goal": GOAL, "kinds": ("forward",), "progress": None}),
    (network_plans.plan_length, {"length": 100, "goal": GOAL, "nzr": 0.5, "rms": 1.0}),
    (network_plans.measured_sum, {"length": 100, "measured": MEASURED, "goal": GOAL}),
    (network_plans.widest_format, {"formats": [E5M2, parse_format("e4m3")]}),
    (plan_file.load_plan, {"path": "none.json"}),
    (plan_file.parse_plan, {"text": PLANNED.to_json(), "name": "plan"}),
    (plan_file.parse_plan(PLANNED.to_json(), "plan").spec, {"layer": "sum"}),
    (plan_file.parse_plan(PLANNED.to_json(), "plan").sums, {"layer": "sum"}),
    (outer.judge, {"spec": SCALED.replace(scale=None), "dot": SUM}),
    (SUM.weights_fit, {"b": INT8}),
    (width.Sum(length=9, weight_l1=9, weight_range=(4, 5)).range_by_weights, {"a": INT8, "b": INT8}),
    (automatic.choose, {"outline": OUTLINE, "longest": SUM, "acc": True}),
    (variance.vrr, {"m_acc": 7, "m_p": 5, "n": 100, "chunk": 10, "nzr": 0.5}),
    (variance.loss, {"m_acc": 7, "m_p": 5, "n": 100, "chunk": 10, "nzr": 0.5}),
    (variance.ln_v, {"m_acc": 7, "m_p": 5, "n": 100, "chunk": 10, "nzr": 0.5, "reading": "total"}),
    (
        variance.min_man_bits,
        {"n": 100, "m_p": 5, "chunk": 10, "nzr": 0.5, "reading": "total", "limit": 50.0, "least": 2},
    ),
    (variance.knee, {"m_acc": 7, "m_p": 5, "limit": 50.0}),
    (variance.vrr_full_swamping, {"m_acc": 7, "n": 100}),
    (variance.loss_full_swamping, {"m_acc": 7, "n": 100}),
    (nsr.estimate, {"n": 100, "m_acc": 7, "rounding": "rne", "chunk": 10}),
    (nsr.min_man_bits, {"n": 100, "target": 0.01, "rounding": "drop", "chunk": 10}),
    (nsr.best_chunk, {"n": 100}),
    (flooring.nsr, {"n": 100, "m_acc": 7, "chunk": 10}),
    (flooring.drift, {"n": 100, "m_acc": 7, "chunk": 10}),
    (flooring.min_man_bits, {"n": 100, "target": 0.01, "chunk": 10}),
    (flooring.best_chunk, {"n": 100}),
    (truncation.vrr, {"n": 100, "m_acc": 7, "chunk": 10}),
    (truncation.nsr, {"n": 100, "m_acc": 7, "chunk": 10}),
    (truncation.min_man_bits, {"n": 100, "target": 0.01, "chunk": 10}),
    (exponent.default_rms, {"fmt": E5M2}),
    (exponent.largest_sum, {"n": 100, "rms": 1.0, "probability": 1e-6, "nzr": 0.5}),
    (
        exponent.choose,
        {"a": E5M2, "b": INT8, "n": 100, "man_bits": 5, "chunk": 8, "rms": 1.0, "nzr": 0.5, "probability": 1e-6},
    ),
    (bounds.operand_range, {"fmt": E5M2}),
    (bounds.holds, {"fmt": INT8, "values": (-3, 4)}),
    (bounds.carries, {"fmt": INT8, "values": (-3, 4)}),
    (bounds.sum_range, {"a": (-3, 4), "b": (-3, 4), "n": 100}),
    (bounds.sum_range_of_weights, {"weights": [1, -2], "x": (-3, 4)}),
    (bounds.bits, {"sums": (-3, 4), "signed": True}),
    (bounds.exact_bits, {"a": E5M2, "b": INT8, "n": 100}),
    (bounds.exact_format, {"a": E5M2, "b": INT8, "n": 100}),
    (bounds.exact_bits_of_weights, {"weights": [1, -2], "x": INT8}),
    (bounds.a2q_bits, {"x": INT8, "w": INT8, "n": 100}),
    (bounds.a2q_bits_of_weights, {"l1_norm": 100, "x": INT8}),
    (bounds.l1_norm, {"weights": [1, -2]}),
    (bounds.kulisch_bits, {"a": E5M2, "b": E5M2, "n": 100}),
    (
        monte_carlo.simulate,
        {
            "spec": macgen.presets["default"],
            "length": 8,
            "trials": 4,
            "seed": 1,
            "samples": ([1.0, 2.0], [3.0, 1.0]),
            "confidence": 0.9,
            "progress": None,
        },
    ),
    (monte_carlo.confirm, {"planned": PLANNED.rows[0].plan, "trials": 4, "progress": None}),
    # network
    (network.Gemm, {"kind": "forward", "length": 3, "outputs": 4, "macs": 12, "rows": 2, "cols": 1}),
    (
        network.Layer,
        {
            "name": "fc",
            "op": "Gemm",
            "gemms": LAYER.gemms,
            "measured": None,
            "formats": (None, network.OperandFormat("int4")),
        },
    ),
    (
        network.Network,
        {
            "name": "mine",
            "batch": 2,
            "layers": (LAYER,),
            "skipped": {"Relu": 1},
            "uncounted": (),
            "unknown": ("Newer",),
        },
    ),
    (
        network.conv_layer,
        {
            "name": "c",
            "batch": 2,
            "in_channels": 4,
            "out_channels": 8,
            "kernel": (3, 3),
            "out_size": (5, 5),
            "in_size": (7, 7),
            "groups": 2,
            "transposed": False,
            "input_gradient": True,
            "op": "Conv",
            "scatters": None,
        },
    ),
    (network.linear_layer, {"name": "fc", "batch": 2, "inputs": 8, "outputs": 4, "input_gradient": True, "op": "Gemm"}),
    (
        network.matmul_layer,
        {"name": "m", "a_shape": (2, 3), "b_shape": (3, 4), "weight": "b", "input_gradient": True, "op": "MatMul"},
    ),
    (
        contraction_layer,
        {
            "name": "e",
            "op": "Einsum",
            "sizes": {"m": 2, "k": 3},
            "labels": ("mk", "k", "m"),
            "weight": "b",
            "input_gradient": True,
        },
    ),
    (network.paper_network, {"name": "alexnet", "batch": 2}),
    *((network.NETWORKS[name], {"batch": 2}) for name in network.NETWORKS),
    (network.from_onnx, {"path": "none.onnx", "batch": 1, "dims": {"n": 1}}),
    (network.load_samples, {"path": "none.npy"}),
    (network.measure, {"path": "none.onnx", "samples": {}, "engine": None, "time_limit": 1.0}),
    # verbs
    (
        macgen.plan,
        {
            "length": 100,
            "a": "e5m2",
            "b": "e5m2",
            "chunk": 8,
            "outer": "fp32",
            "rounding": "rne",
            "nsr": 0.01,
            "limit": 50.0,
            "reading": "total",
            "overflow_probability": 1e-6,
            "nzr": 0.5,
        },
    ),
    (macgen.plan, {"length": 8, "monte_carlo": 4, "progress": print}),
    (macgen.plan, {"network": "alexnet", "batch": 2, "only": ["forward"]}),
    (macgen.plan, {"model": "none.onnx", "dims": {"n": 1}}),
    (macgen.plan, {"model": "none.onnx", "data": "none.npy"}),
]

# Calls on the bundle of SCALED, as far as they go without a simulator, a compiler or Yosys.
BUNDLE = "bundle"
CALLS_ON_A_BUNDLE = [
    (
        macgen.build,
        {"spec": SCALED, "directory": BUNDLE, "name": "array", "force": False, "clock_mhz": 100, "io_share": 0.1},
    ),
    (load_manifest, {"directory": BUNDLE}),
    (macgen.verify, {"bundle": BUNDLE, "netlist": True, "liberty": None, "seed": 2, "tiles": 3}),
    (
        gate_level.verify_netlist,
        {
            "bundle": BUNDLE,
            "liberty": "cells.lib",
            "clock_gating": True,
            "simulator": "verilator",
            "seed": 2,
            "tiles": 3,
            "trust": False,
            "timeout": 10.0,
            "progress": print,
        },
    ),
    (
        macgen.verify,
        {"bundle": BUNDLE, "simulator": "verilator", "seed": 2, "tiles": 3, "trust": False, "progress": print},
    ),
    (macgen.verify, {"bundle": BUNDLE, "exhaustive": True, "seed": 2, "pairs": 10}),
    (macgen.verify, {"bundle": BUNDLE, "formal": True}),
    (macgen.report, {"bundle": BUNDLE, "clock_mhz": 500.0, "seed": 1, "trust": False, "progress": print}),
    (macgen.report, {"bundle": BUNDLE, "by_block": True}),
    (macgen.report, {"bundle": BUNDLE, "liberty": "none.lib", "clock_gating": True}),
    (macgen.verify, {"bundle": BUNDLE, "netlist": True, "liberty": "none.lib", "clock_gating": True}),
    (macgen.report, {"bundle": BUNDLE, "liberty": "none.lib", "dont_use": ["X*"], "data": "none.npz"}),
    (
        run_matmul,
        {"bundle": BUNDLE, "A": [[1]], "B": [[1]], "A_scales": [[127]], "B_scales": [[127]], "simulator": "verilator"},
    ),
    (system.compiled, {"bundle": BUNDLE, "timeout": 10.0, "trust": False}),
    (
        system.matmul,
        {
            "bundle": BUNDLE,
            "A": [[1.0, 2.0]],
            "B": [[1.0], [2.0]],
            "A_scales": [[1.0]],
            "B_scales": [[2.0]],
            "mode": 0,
            "flags": True,
            "timeout": 10.0,
            "trust": False,
        },
    ),
    (
        run_matmul,
        {"bundle": BUNDLE, "A": [[1]], "B": [[1]], "workdir": "work", "timeout": 5.0, "trust": True, "mode": 0},
    ),
    (run_matmul, {"bundle": BUNDLE, "A": [[1]], "B": [[1]], "preload": [[1]]}),
    (simulate_bundle, {"bundle": BUNDLE, "seed": 2, "tiles": 3, "workdir": "work", "timeout": 5.0}),
    (simulate_bundle, {"bundle": BUNDLE, "stop_at_first_failure": True, "trust": True}),
    (exhaustive, {"bundle": BUNDLE, "seed": 2, "draws": 10, "most": 10, "workdir": "work", "timeout": 5.0}),
    (exhaustive, {"bundle": BUNDLE, "trust": False, "progress": print}),
    (formal, {"bundle": BUNDLE, "workdir": "work", "timeout": 5.0, "trust": False, "progress": print}),
]

CYCLE: list[object] = []
CYCLE.append(CYCLE)

HOSTILE = {
    "none": None,
    "true": True,
    "enormous": 10**5000,
    "enormous negative": -(10**5000),
    "negative": -1,
    "zero": 0,
    "float": 2.5,
    "nan": math.nan,
    "infinity": math.inf,
    "complex": 1j,
    "fraction": Fraction(10**5000, 3),
    "decimal": decimal.Decimal("sNaN"),
    "text": "default",
    "empty text": "",
    "two lines": "e5m2\nint8",
    "null": "a\0b",
    "surrogate": "\ud800",
    "long text": "x" * 100_000,
    "digits": "int" + "9" * 5000,
    "bytes": b"e5m2",
    "empty list": [],
    "ragged": [[1, 2], [3]],
    "list of none": [None],
    "enormous in a matrix": [[10**5000]],
    "text in a matrix": [["1", "2"]],
    "cycle": CYCLE,
    "tuple": (1, 2, 3),
    "set": {1, 2},
    "dictionary": {"a": 1},
    "dictionary of unusual keys": {1: 2, None: 3},
    "object": object(),
    "class": int,
    "function": len,
    "generator": (x for x in "ab"),
    "range": range(3),
    "date": datetime.date(2020, 1, 1),
    "numpy float": np.float32(2.5),
    "numpy bool": np.True_,
    "numpy date": np.datetime64("2020-01-01"),
    "numpy void": np.void(b"ab"),
    "empty array": np.zeros((0, 3)),
    "array": np.array([1, 2]),
    "scalar array": np.array(2),
    "cube": np.zeros((1, 1, 1), dtype=int),
    "objects": np.array([[None, 1]], dtype=object),
    "texts": np.array([["a", "b"]]),
    "record": np.zeros(2, dtype=[("x", int)]),
    "masked": np.ma.masked_array([[1, 2]], mask=[[False, True]]),
    "masked element": [[1, np.ma.masked]],
    "spec": SPEC,
    "format": E5M2,
    "path": pathlib.Path(),
    "bundle": macgen,
}


def names(calls):
    return [f"{getattr(function, '__qualname__', function)}-{index}" for index, (function, _) in enumerate(calls)]


def one_sentence(text):
    return text and "\n" not in text and len(text) < 1000 and text.isprintable()


def refused_badly(function, arguments):
    """Return, for each of a function's arguments, the values that are neither accepted nor refused in a sentence."""
    wrong = []
    for name in arguments:
        for kind, value in HOSTILE.items():
            if name == "progress" and callable(value):  # what it raises is its own affair
                continue
            try:
                result = function(**arguments | {name: value})
                if inspect.isgenerator(result):
                    list(result)
            except MacgenError as error:
                if not one_sentence(str(error)):
                    wrong.append(f"{name}={kind}: not a sentence: {str(error)[:200]!r}")
            except Exception as error:
                wrong.append(f"{name}={kind}: {type(error).__name__}: {str(error)[:150]}")
    return wrong


@pytest.mark.parametrize(("function", "arguments"), CALLS, ids=names(CALLS))
def test_what_an_argument_is_not_made_for_is_accepted_or_refused_in_a_sentence(
    function, arguments, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    wrong = refused_badly(function, arguments)
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    macgen.build(SCALED, folder / BUNDLE, name="array")
    return folder


@pytest.mark.parametrize(("function", "arguments"), CALLS_ON_A_BUNDLE, ids=names(CALLS_ON_A_BUNDLE))
def test_arguments_beside_a_bundle_too(function, arguments, folder, monkeypatch):
    def accepted(*_, **__):
        raise MacgenError("everything was accepted")

    monkeypatch.chdir(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for where in (
        "macgen.bundle.bundle._write",
        "macgen.simulate.verify.simulate",
        "macgen.simulate.matmul.simulate",
        "macgen.system.simulation.tools.compile_verilated",
        "macgen.gate_level.synthesize_gates",
        "macgen.prove.exhaustive.prover.compile_program",
        "macgen.prove.formal.prover._modules",
        "macgen.cost.estimate.tools.side_by_side",
    ):
        monkeypatch.setattr(where, accepted)
    wrong = refused_badly(function, arguments)
    assert not wrong, "\n" + "\n".join(wrong)
    assert not list(folder.glob(".*.partial"))


LISTED = {getattr(function, "__name__", None) for function, _ in [*CALLS, *CALLS_ON_A_BUNDLE]}
MODULES = (
    golden, emulate, numerics, network, system, width, automatic, bounds, exponent, flooring, goal, monte_carlo,
    network_plans, nsr, outer, plan_file, planning, truncation, variance,
)  # fmt: skip


INNER = {
    "shift_right",  # a step of the codecs
    "check_reading",  # checks
    "checked_range",
    "beyond_theory",  # a step of `automatic.choose`
    "why_chunk",  # a clause of its reasons
    "read_plan",  # what `load_plan` reads a file with
}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_function_is_in_the_table(module):
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    functions = [getattr(module, name) for name in names]
    own = {
        item.__name__ for item in functions if inspect.isfunction(item) and item.__module__.startswith(module.__name__)
    }
    assert own - INNER <= LISTED


def test_every_argument_is_in_the_table():
    calls = [*CALLS, *CALLS_ON_A_BUNDLE]
    given, taken = {}, {}
    for function, arguments in calls:
        name = getattr(function, "__qualname__", repr(function))
        given.setdefault(name, set()).update(arguments)
        parameters = inspect.signature(function).parameters.values()
        taken[name] = {item.name for item in parameters if item.kind not in (item.VAR_KEYWORD, item.VAR_POSITIONAL)}
    assert {name: missing for name in taken if (missing := taken[name] - given[name])} == {}


# -- NumPy's numbers -------------------------------------------------------------------------------------------------


def with_numbers_of_numpy(value):
    """Return an argument with its integers and real numbers as NumPy's; None where there are none."""
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, float):
        return np.float64(value)
    if isinstance(value, tuple) and value and all(isinstance(item, int) for item in value):
        return tuple(map(np.int64, value))
    return None


def comparable(result):
    if isinstance(result, tuple):
        return [comparable(item) for item in result]
    return repr(result.__dict__ if isinstance(result, golden.Model) else result)


@pytest.mark.parametrize(("function", "arguments"), CALLS, ids=names(CALLS))
def test_numbers_of_numpy_are_numbers(function, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changed = {name: new for name, value in arguments.items() if (new := with_numbers_of_numpy(value)) is not None}
    if changed and not {"model", "path"} & set(arguments):
        assert comparable(function(**arguments | changed)) == comparable(function(**arguments))


def test_what_a_mask_hides_does_not_count():
    hidden = np.ma.masked_array([[60, 61]], mask=[[False, True]])
    shown = np.ma.masked_array([[60, 61]], mask=False)
    spec = macgen.presets["default"]
    with pytest.raises(MacgenError, match=r"^elements of A are masked; accepted are arrays without a mask"):
        golden.matmul(spec, hidden, [[60], [60]])
    assert golden.matmul(spec, shown, [[60], [60]]) == golden.matmul(spec, [[60, 61]], [[60], [60]])


def test_the_sentences_of_the_array_models():
    spec = macgen.presets["default"]
    accepted = "accepted is a MacSpec, such as macgen.presets['default']"
    for call, sentence in (
        (
            lambda: golden.matmul(spec, [[10**5000]], [[1]]),
            "a: code an enormous int is not from 0 to 255, the codes of",
        ),
        (lambda: golden.matmul("default", [[1]], [[1]]), f"spec 'default' is of type str; {accepted}"),
        (lambda: emulate.matmul(None, [[1]], [[1]]), f"spec None is of type NoneType; {accepted}"),
    ):
        with pytest.raises(MacgenError) as caught:
            call()
        assert str(caught.value).startswith(sentence)
    assert emulate.matmul(spec, [[1.0]], [[2.0]], threads=np.int64(2)) == [[2.0]]
