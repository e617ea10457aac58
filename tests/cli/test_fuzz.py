"""Any arguments and any spec file: done, or one sentence; never a traceback, never anything left behind."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from macgen.bundle import bundle
from macgen.bundle.manifest import Manifest, bundle_paths, load_manifest
from macgen.spec import MacSpec
from tests.cli.runner import invoke, tree
from tests.strategies import formats, specs

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NUMBERS = st.integers(-2, 80) | st.integers() | st.sampled_from(["none", "", "1.5", "0x8", "1e9"])
FORMATS = formats(8, 10, 24).map(str) | st.sampled_from(["fp16", "bf16", "fp32", "fp64", "int8", "e99m99", "int0"])
CHOICES = {
    "rounding": ["rne", "rtz", "floor", "drop", "stochastic:13", "stochastic:4:nearest", "stochastic:33", "up"],
    "overflow": ["saturate", "infinity", "wrap", "nan", "clamp"],
    "subnormals": ["gradual", "flush", "off"],
    "fold": ["bubble", "overlap"],
    "preset": ["default", "fp16", "bf16-fp32", "int8-int32", "nothing"],
}
VALUES = {
    **dict.fromkeys(("a", "b", "acc"), FORMATS | TEXT),
    **{option: NUMBERS.map(str) | TEXT for option in ("acc-bits", "chunk", "rows", "cols", "pipeline")},
    **{option: st.sampled_from(choices) | TEXT for option, choices in CHOICES.items()},
    "name": st.sampled_from(["mac", "module", "1x", "a-b"]) | TEXT,
}
OPTIONS = st.lists(
    st.sampled_from(list(VALUES)).flatmap(lambda name: st.tuples(st.just(name), VALUES[name])), max_size=6
)


def check(result, directory, before):
    """The exit code is 0, or 2 with one sentence and the directory as it was."""
    if result.exit_code == 0:
        assert result.stderr == ""
        return
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("macgen: error: ")
    assert result.stderr.count("\n") == 1
    assert tree(directory) == before


def fake_build(spec, directory, *, name, force, clock_mhz, io_share):
    """Everything of a build but the Verilog, which takes too long here."""
    assert isinstance(spec, MacSpec)
    assert force is False
    return bundle.Bundle(Path(directory), Manifest.of(spec, name))


@given(OPTIONS)
@settings(max_examples=300)
@example([("acc-bits", "12"), ("chunk", "64")])
@example([("a", "int8"), ("b", "int8"), ("acc-bits", "24")])
def test_build_options(options):
    args = [f"--{name}={value}" for name, value in options]
    with tempfile.TemporaryDirectory() as directory, patch.object(bundle, "build", fake_build):
        before = tree(Path(directory))
        check(invoke("build", "-o", f"{directory}/mac", *args), Path(directory), before)


@given(st.lists(st.sampled_from(["build", "verify", "presets", "-h", "--json", "--", "-", "-o"]) | TEXT, max_size=4))
@example(["build", "-o"])
@example(["presets", "--", "default"])
def test_any_words(words):
    with tempfile.TemporaryDirectory() as directory, patch.object(bundle, "build", fake_build):
        check(invoke(*words), Path(directory), {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | FORMATS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
KEYS = ["a", "b", "acc", "chunk", "rounding", "overflow", "rows", "cols", "pipeline", "fold"]
OBJECTS = st.builds(
    lambda base, changes: base | changes,
    specs().map(MacSpec.to_dict),
    st.dictionaries(st.sampled_from(KEYS) | TEXT, JSON, max_size=2),
)


@given(OBJECTS.map(json.dumps).map(str.encode) | JSON.map(json.dumps).map(str.encode) | st.binary())
@settings(max_examples=200)
def test_spec_files(data):
    with tempfile.TemporaryDirectory() as directory, patch.object(bundle, "build", fake_build):
        path = Path(directory) / "spec.json"
        path.write_bytes(data)
        check(invoke("build", "--spec", path, "-o", f"{directory}/mac"), Path(directory), tree(Path(directory)))


@given(specs(max_exp_bits=6, max_man_bits=6, max_width=12, max_side=2))
@settings(max_examples=8, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
def test_every_accepted_spec_is_built(spec):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "spec.json"
        path.write_text(spec.to_json())
        result = invoke("build", "--spec", path, "-o", f"{directory}/mac")
        assert (result.exit_code, result.stderr) == (0, "")
        assert load_manifest(Path(directory) / "mac").spec == spec


def test_manifests_cut_or_changed_anywhere(tmp_path):
    spec = MacSpec(a="int4", b="int4", acc="int12", rows=1, cols=1)
    text = replace(Manifest.of(spec, "mac"), files=dict.fromkeys(bundle_paths("mac"), "")).to_json().encode()
    for path in bundle_paths("mac"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "manifest.json").write_bytes(text)
    assert load_manifest(tmp_path).spec == spec
    for position in range(0, len(text) - 2, 37):
        for broken in (text[:position], text[:position] + b"\xff" + text[position + 1 :], text[position:]):
            if broken == text:
                continue
            (tmp_path / "manifest.json").write_bytes(broken)
            result = invoke("verify", tmp_path)
            assert result.exit_code == 2
            assert result.stderr.count("\n") == 1
