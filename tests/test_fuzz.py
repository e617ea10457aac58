"""Any spec either is refused with one sentence, or builds, lints and verifies."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macgen import tools
from macgen.bundle import build, load_manifest
from macgen.errors import MacgenError
from macgen.simulate.verify import verify
from macgen.spec import MacSpec
from tests.strategies import specs

FIELDS = ("a", "b", "acc", "chunk", "rounding", "overflow", "rows", "cols", "pipeline", "fold")
NONSENSE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["e5m2", "e0m3", "e5m2:flush", "e4m3fn:bias=-9999", "int0", "int8", "fix300.2", "e99m1", "fp16 "]),
    st.lists(st.integers(), max_size=2),
)


def lint(directory: Path) -> str:
    """Return what Verilator complains about."""
    manifest = load_manifest(directory)
    tool = tools.require("verilator")
    command = [*tool.command, "--lint-only", "-Wall", "--top", manifest.top]
    process = subprocess.run(
        [*map(str, command), str(directory / manifest.verilog)],
        env=tool.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return "" if process.returncode == 0 else process.stdout + process.stderr


@pytest.mark.thinned(5)
@pytest.mark.parametrize("part", range(4))  # side by side on several cores
def test_every_spec_builds_lints_and_verifies(part, tmp_path_factory):
    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
    @given(specs(), st.integers(1, 3), st.integers(1, 2), st.integers(1, 9), st.just(part))
    def check(spec, rows, cols, chunk, _part):
        values = spec.to_dict() | {"rows": rows, "cols": cols}
        if values["chunk"] is not None:
            values["chunk"] = chunk + part
        array = MacSpec.from_dict(values)
        directory = tmp_path_factory.mktemp("fuzz") / "mac"
        build(array, directory)
        assert lint(directory) == ""
        result = verify(directory, tiles=1, seed=part, stop_at_first_failure=True)
        assert result.passed, (array.to_json(), [test for run in result.runs for test in run.failed])

    check()


@given(st.dictionaries(st.sampled_from([*FIELDS, "lanes", ""]), NONSENSE, max_size=len(FIELDS)))
def test_nonsense_is_a_spec_or_refused_with_one_sentence(values):
    try:
        MacSpec.from_dict({"a": "e5m2", "b": "e5m2", "acc": "e6m5", **values})
    except MacgenError as error:
        assert str(error)
        assert "\n" not in str(error)
