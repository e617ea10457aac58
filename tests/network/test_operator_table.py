"""What is known of every operator, against the schemas of the installed packages."""

import importlib
import re
from pathlib import Path

import onnx.defs
import pytest
from onnx import TensorProto, helper

from macgen.network import from_onnx
from macgen.network.onnx_model import OPERANDS
from macgen.network.operator_table import COUNTED, ONNX_OPSETS, UNCOUNTED, WITHOUT, kind_of, operator_key
from tests.network.models import model, node, saved, value, weight

SCHEMAS = onnx.defs.get_all_schemas_with_history()


def key_of(schema):
    return f"{schema.domain}::{schema.name}" if schema.domain else schema.name


def test_every_operator_of_onnx_is_listed():
    """Of a newer onnx, operators that are newer than the lists are unknown, and plans say so."""
    listed = [s for s in SCHEMAS if s.since_version <= ONNX_OPSETS.get(s.domain, 0)]
    assert [key_of(s) for s in listed if kind_of(key_of(s)) == "unknown"] == []
    assert len({s.name for s in listed if s.domain == ""}) >= 203
    newer = {key_of(s) for s in SCHEMAS} - {key_of(s) for s in listed}
    assert all(kind_of(key) == "unknown" for key in newer)


def test_lists_are_disjoint_and_name_operators():
    assert not COUNTED & UNCOUNTED | COUNTED & WITHOUT | UNCOUNTED & WITHOUT
    assert set(OPERANDS) == COUNTED
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    known = {key_of(s) for s in (*SCHEMAS, *state.get_all_operator_schema())}
    lost = {key for key in COUNTED | UNCOUNTED | WITHOUT if not key.startswith(("qonnx::", "channels_last::"))} - known
    assert not {key for key in lost if "::" not in key or key.startswith("ai.onnx")}
    assert len(lost) < 10  # onnxruntime gives up operators, and its lists may be of another version


def test_the_page_lists_what_is_counted():
    page = (Path(__file__).parents[2] / "docs/widths.md").read_text(encoding="utf-8")
    shown = page.partition("\nCounted are:\n")[2].partition("\nAn attention has two products.")[0]
    domains = {"ONNX": "", "onnxruntime": "com.microsoft::", "QONNX": "qonnx::"}
    listed = set()
    for item in shown.split("- **")[1:]:
        names = re.findall(r"`([\w:]+)`", item.partition(":")[2])
        listed |= {name if "::" in name else domains[item.partition("**")[0]] + name for name in names}
    assert listed == {key.removeprefix("ai.onnx.preview::") for key in COUNTED}


def test_operators_that_are_defined_by_products_have_some():
    """ONNX defines some operators by others: where one of those is a product, so is what it defines."""
    products = {key for key in COUNTED | UNCOUNTED if "::" not in key}
    defined = {
        key_of(schema): {inner.op_type for inner in schema.function_body.node}
        for schema in SCHEMAS
        if schema.has_function
    }
    assert defined["AffineGrid"] & products
    assert {key for key, body in defined.items() if body & products and kind_of(key) == "none"} == set()


@pytest.mark.parametrize(
    ("domain", "op", "key"),
    [
        ("", "MatMul", "MatMul"),
        ("ai.onnx", "MatMul", "MatMul"),
        ("com.microsoft", "MatMul", "com.microsoft::MatMul"),
        ("onnx.brevitas", "Quant", "qonnx::Quant"),
        ("qonnx.custom_op.general", "IntQuant", "qonnx::Quant"),
        ("finn.custom_op.general", "Trunc", "qonnx::Trunc"),
        ("qonnx.custom_op.channels_last", "Conv", "channels_last::Conv"),
        ("channels_last", "Conv", "channels_last::Conv"),
    ],
)
def test_keys(domain, op, key):
    assert operator_key(helper.make_node(op, ["x"], ["y"], domain=domain)) == key


def test_what_is_passed_over_is_told_apart(tmp_path):
    """Multiply-accumulates that no rule counts, operators that nobody knows, and the rest; in bodies too."""
    body = helper.make_graph(
        [node("MatMul", "state w", "a"), node("Mystery", "a", "b", domain="foo"), node("DFT", "c", "d"),
         node("Relu", "b", "next"), node("Identity", "go", "go_on")],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("state")],
        [value("go_on", [], TensorProto.BOOL), value("next")],
    )  # fmt: skip
    nodes = [
        node("MatMul", "x w", "h"),
        node("Loop", "trips go h", "l", body=body),
        node("DFT", "c", "f"),
        node("Mystery", "h", "m", domain="foo"),
        node("Newer", "h", "n"),
        node("MatMul", "m w", "lost"),
        node("MatMul", "past w", "none"),
        node("Einsum", "h", "t", equation="ij->ji"),
        node("Relu", "h", "y"),
    ]
    inputs = [value("x", (2, 4)), value("trips", (), TensorProto.INT64), value("go", (), TensorProto.BOOL),
              value("c", (1, 8, 1)), value("past", ("P", 4))]  # fmt: skip
    made = model(nodes, inputs, [weight("w", 4, 4)], domains=["foo"])
    network = from_onnx(saved(tmp_path, made), dims={"P": 0})
    assert [layer.forward.length for layer in network.layers] == [4]
    assert set(network.uncounted) == {"Loop/MatMul", "Loop/DFT", "DFT", "MatMul of unknown shape"}
    assert set(network.unknown) == {"Loop/foo::Mystery", "foo::Mystery", "Newer"}
    turned = {name for name in network.skipped if name.startswith("Einsum")}  # one operand: nothing is multiplied
    rest = {"Loop", "MatMul without elements", "Relu", *turned}
    assert len(turned) == 1
    assert network.skipped == dict.fromkeys({*network.uncounted, *network.unknown, *rest}, 1)
