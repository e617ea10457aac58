import re
import subprocess
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macgen import presets, tools
from macgen.bundle.names import KEYWORDS, MAX_LENGTH, check_name
from macgen.bundle.verilog import emit, to_verilog
from macgen.errors import MacgenError
from tests.bundle.fixtures import SPEC, sentence, verilog_of


@pytest.mark.parametrize("name", ["mac", "MAC_12", "_", "__", "a__b", "m" * MAX_LENGTH, "clk", "Module", "O0", "e5m2"])
def test_identifiers_are_taken_as_they_are(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", "1mac", "mac-12", "mac 12", "mac.v", "a/b", "../mac", "mac\n", "\nmac", "mac\0", "$mac", "mac$", "\\mac",
     "naïve", "mac²", "ｍac", "m" * (MAX_LENGTH + 1), "m" * 100_000, "a\u2028b", "\ud800", "$(reboot)", '"', "-o"],
    ids=lambda name: ascii(name[:20]),
)  # fmt: skip
def test_what_is_no_identifier_is_refused(name):
    with pytest.raises(MacgenError, match="is not a plain Verilog identifier; accepted are letters") as error:
        check_name(name)
    sentence(error)


@pytest.mark.parametrize("name", [None, 12, True, b"mac", ["mac"], 10**5000], ids=lambda name: type(name).__name__)
def test_what_is_no_text_is_refused(name):
    with pytest.raises(MacgenError, match="is not a plain Verilog identifier") as error:
        check_name(name)
    sentence(error)


def test_keywords_are_refused():
    for name in KEYWORDS:
        with pytest.raises(MacgenError, match=f"name '{name}' is a Verilog keyword; accepted are other identifiers"):
            check_name(name)


@given(st.text(max_size=70) | st.from_regex(r"[A-Za-z_]\w*", fullmatch=True))
def test_any_text_is_refused_or_an_identifier(name):
    try:
        checked = check_name(name)
    except MacgenError as error:
        assert "\n" not in str(error)
    else:
        assert checked == name
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name, re.ASCII)


@pytest.mark.parametrize("name", ["_", "a__b", "main", "sc_main", "Module", "VHDL", "m" * MAX_LENGTH])
def test_tools_take_what_is_taken_here(name, tmp_path):
    """Names that other languages keep for themselves, and with underscores that tools use for themselves."""
    (tmp_path / "mac.v").write_text(verilog_of(SPEC, check_name(name)))
    for tool, options in (
        ("verilator", ["--lint-only", "-Wall", "--top-module", name]),
        ("iverilog", ["-g2001", "-Wall", "-t", "null", "-s", name]),
    ):
        found = tools.find(tool)
        if tool == "verilator" or found.available:
            command = [*found.command, *options, tmp_path / "mac.v"]
            process = subprocess.run(command, env=found.environment(), capture_output=True, text=True)
            assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize("name", ["clk", "a_valid", "row_0", "sequencer", "MAX_EXPONENT", "distance", "row_0__a_in"])
def test_names_of_signals_are_refused_before_anything_is_printed(name, monkeypatch, tmp_path):
    monkeypatch.setattr(emit, "read_netlists", None)  # of Yosys, which is ended
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(MacgenError, match=f"name '{name}' is also a signal's in the array") as error:
        to_verilog(SPEC, check_name(name))
    sentence(error)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["unused", "unused_row_0"])
def test_names_of_what_nothing_reads_are_refused(name, monkeypatch):
    monkeypatch.setattr(emit, "read_netlists", None)
    with pytest.raises(MacgenError, match=f"name '{name}' begins as those of signals in the array do") as error:
        to_verilog(SPEC, name)
    sentence(error)


def test_what_the_printer_names_itself_has_another_name_than_the_array():
    spec = presets["mxfp4"].replace(rows=1, cols=1)
    assert re.search(r"wire .*\bflags_both\b", verilog_of(spec, "mac"))
    verilog = re.sub(r"//.*", "", to_verilog(spec, check_name("flags_both")))
    assert re.findall(r".*\bflags_both\b.*", verilog) == ["module flags_both ("]
