import json
from pathlib import Path

import pytest

from macgen.cli import verify as cli
from macgen.prove.exhaustive import prover as exhaustive
from macgen.prove.exhaustive.prover import ExhaustiveResult, Phase
from macgen.prove.formal import prover as formal
from macgen.prove.formal.harness import Property
from macgen.prove.formal.prover import FormalResult, Proof
from macgen.simulate import verify as simulate
from macgen.simulate.session import SimulatorRun, TestOutcome
from macgen.simulate.simulators import SimulatorChoice
from macgen.simulate.verify import VerifyResult
from tests.cli.runner import invoke, refused, run, tree


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    directory = tmp_path_factory.mktemp("verify") / "mac"
    assert invoke("build", "--rows", 1, "--cols", 1, "--acc-bits", 12, "-o", directory).exit_code == 0
    return directory


@pytest.fixture
def simulated(monkeypatch):
    """Replace the simulation: `verify` gets the result that a test gives, and the test the arguments it was given."""
    calls = []

    def install(result):
        def verify(directory, **options):
            calls.append((directory, options))
            return result

        monkeypatch.setattr(cli, "look_at", lambda directory, trust: None)
        monkeypatch.setattr(simulate, "verify", verify)
        return calls

    return install


GOOD = TestOutcome("ties", True, "", 0.5)
BAD = TestOutcome("folds", False, "tile 3, row 0, column 1: code 0x12, expected 0x13", 0.25)


def outcome(*tests, log=None, **fields):
    values = {"comparisons": 4096, "tiles": 32, "beats": 2048, "cycles": 3000, "seconds": 1.5} | fields
    return SimulatorRun(simulator="icarus", version="11.0", tests=tests, log=log, **values)


def test_equal(simulated):
    calls = simulated(VerifyResult((outcome(GOOD, GOOD),), seed=7, notes=()))
    result = invoke("verify", "some/bundle", "--simulator", "icarus", "--seed", 7, "--tiles", 5)
    assert calls == [(Path("some/bundle"), {"simulator": "icarus", "seed": 7, "tiles": 5, "trust": False})]
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[1].split() == [
        "icarus",
        "11.0",
        "2",
        "32",
        "2,048",
        "3,000",
        "4,096",
        "1.5",
        "equal",
    ]
    assert result.stdout.splitlines()[-1] == "Verified: 4,096 results and flags equal the golden model (seed 7)."


def test_defaults(simulated):
    calls = simulated(VerifyResult((outcome(GOOD),), seed=1, notes=()))
    assert invoke("verify", "x").exit_code == 0
    assert calls == [(Path("x"), {"simulator": "auto", "seed": 1, "tiles": None, "trust": False})]


def test_different(simulated):
    runs = (outcome(GOOD), outcome(GOOD, BAD, log=Path("/tmp/macgen-1/[sim].log")))
    simulated(VerifyResult(runs, seed=1, notes=("rtl/mac.v was changed",)))
    result = invoke("verify", "x")
    assert (result.exit_code, result.stderr) == (1, "")
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines[1].endswith("equal")
    assert lines[2].endswith("1 failed")
    assert lines[3:] == [
        "icarus: folds: tile 3, row 0, column 1: code 0x12, expected 0x13",
        "icarus: log /tmp/macgen-1/[sim].log",
        "Note: rtl/mac.v was changed",
        "Failed: the array differs from the golden model (8,192 results and flags compared, seed 1).",
    ]


@pytest.mark.parametrize(("test", "code"), [(GOOD, 0), (BAD, 1)])
def test_json(simulated, test, code):
    simulated(VerifyResult((outcome(test, log=Path("/tmp/sim.log")),), seed=3, notes=("a note",)))
    result = invoke("verify", "x", "--json")
    assert result.exit_code == code
    values = json.loads(result.stdout)
    assert values["passed"] is test.passed
    assert (values["comparisons"], values["seed"], values["notes"]) == (4096, 3, ["a note"])
    (run_values,) = values["runs"]
    assert run_values["passed"] is test.passed
    assert run_values["log"] == "/tmp/sim.log"
    assert run_values["tests"] == [
        {"name": test.name, "passed": test.passed, "message": test.message, "seconds": test.seconds}
    ]


def test_help_names_every_choice_of_simulator():
    from typing import get_args

    assert f"--simulator {'|'.join(get_args(SimulatorChoice))}" in invoke("verify", "-h").stdout


# -- exhaustive ----------------------------------------------------------------------------------------------------


@pytest.fixture
def proved(monkeypatch):
    """Replace the proof: `exhaustive` gets the result that a test gives, and the test the arguments it was given."""
    calls = []

    def install(**fields):
        values = {"phases": PHASES, "difference": None, "audited": 500, "seed": 1, "notes": (), "log": None}
        result = ExhaustiveResult(**values | {"compile_seconds": 8.0, "seconds": 9.5} | fields)

        def prove(directory, progress, **options):
            calls.append((directory, options))
            return result

        monkeypatch.setattr(cli, "look_at", lambda directory, trust: None)
        monkeypatch.setattr(exhaustive, "exhaustive", prove)
        return calls

    return install


PHASES = (
    Phase("products", 0, 1218, 65536, 65536, True, "", 0.01),
    Phase("steps", 16767, 1218, 20438973, 20438973, True, "", 1.25),
)
SAMPLED = (Phase("steps", 93610, 0, 100041606, 100041606, False, "", 22.7),)


def test_exhaustive_and_equal(proved):
    calls = proved()
    result = invoke("verify", "some/bundle", "--exhaustive")
    assert calls == [(Path("some/bundle"), {"seed": 1, "draws": 100_000_000, "trust": False})]
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split() for line in result.stdout.splitlines()[:3]] == [
        ["What", "States", "Addends", "Pairs", "Space", "Seconds", "Result"],
        ["products", "-", "1,218", "65,536", "complete", "0.0", "equal"],
        ["steps", "16,767", "1,218", "20,438,973", "complete", "1.2", "equal"],
    ]
    assert result.stdout.splitlines()[3:] == [
        "Proved: all 20,504,509 pairs equal the numeric contract, 500 of them repeated by the golden model."
    ]


@pytest.mark.parametrize(
    ("numbers", "space", "end"),
    [
        ("every", "complete", "with every random number (4,000 sums)"),
        ("switches", "complete, R at switches", "at the switches of their rounding (4,000 sums)"),
    ],
)
def test_exhaustive_and_stochastic(numbers, space, end, proved):
    proved(phases=(Phase("steps", 50, 20, 1000, 4000, True, numbers, 1.25),))
    lines = invoke("verify", "x", "--exhaustive").stdout.splitlines()
    assert lines[1].split() == ["steps", "50", "20", "1,000", *space.split(), "1.2", "equal"]
    assert lines[2] == (
        f"Proved: all 1,000 pairs equal the numeric contract {end}, 500 of them repeated by the golden model."
    )


def test_exhaustive_and_sampled(proved):
    calls = proved(phases=SAMPLED, seed=7, notes=("rtl/mac.v was changed",))
    result = invoke("verify", "x", "--exhaustive", "--pairs", 1000, "--seed", 7)
    assert calls == [(Path("x"), {"seed": 7, "draws": 1000, "trust": False})]
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["steps", "93,610", "-", "100,041,606", "sampled", "22.7", "equal"]
    assert result.stdout.splitlines()[2:] == [
        "Note: rtl/mac.v was changed",
        "Verified: 100,041,606 pairs equal the numeric contract, 500 of them repeated by the golden model (seed 7).",
    ]


@pytest.mark.parametrize("what", ["step", "fold", "swap", "result", "load", "first chunk's sum"])
def test_exhaustive_and_different(what, proved):
    proved(difference=f"{what}: accumulator 0x004: expected this; got that", log=Path("/tmp/[prove].txt"))
    result = invoke("verify", "x", "--exhaustive")
    assert (result.exit_code, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert lines[1].split()[-1] == "equal"
    assert lines[2].split()[-1] == "differs"
    assert lines[3:] == [
        f"{what}: accumulator 0x004: expected this; got that",
        "Log: /tmp/[prove].txt",
        f"Failed: the {what} differs from the numeric contract (20,504,509 pairs, seed 1).",
    ]


@pytest.mark.parametrize(("difference", "code"), [(None, 0), ("step: wrong", 1)])
def test_exhaustive_json(proved, difference, code):
    proved(difference=difference)
    result = invoke("verify", "x", "--exhaustive", "--json")
    assert result.exit_code == code
    values = json.loads(result.stdout)
    assert values["passed"] is (difference is None)
    assert (values["complete"], values["pairs"], values["difference"]) == (True, 20504509, difference)
    assert values["phases"][1]["states"] == 16767


def test_options_that_do_not_go_together():
    assert refused("verify", "x", "--exhaustive", "--simulator", "icarus").startswith(
        "--simulator does not go with --exhaustive"
    )
    assert refused("verify", "x", "--exhaustive", "--tiles", 3).startswith("--tiles does not go with --exhaustive")
    assert refused("verify", "x", "--pairs", 3).startswith("--pairs goes with --exhaustive only")


# -- formal --------------------------------------------------------------------------------------------------------

STABLE, ROWS = Property("stable", "a result stays"), Property("rows", "two rows leave")
PROBLEM = "results: stable (a result stays) fails after 3 cycles; the trace is /tmp/t.vcd, the log is /tmp/t.txt"


@pytest.fixture
def formally(monkeypatch):
    """Replace the proofs: `formal` gives one that is proved, or one that fails."""

    def install(outcome, failing=None, **fields):
        proof = Proof("results", (STABLE, ROWS), "reachability (PDR)", 7, outcome, failing, 1.25)
        values = {"unproved": (), "problem": None, "trace": None, "log": None, "notes": (), "seconds": 2.0} | fields
        result = FormalResult(proofs=(proof,), **values)
        calls = []
        monkeypatch.setattr(cli, "look_at", lambda directory, trust: None)
        monkeypatch.setattr(formal, "formal", lambda directory, trust, progress: calls.append(directory) or result)
        return calls

    return install


def test_formal_and_proved(formally):
    calls = formally("proved", notes=("rtl/mac.v was changed",), unproved=("direction: sums are cut",))
    result = invoke("verify", "some/bundle", "--formal")
    assert calls == [Path("some/bundle")]
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == [
        "Proof",
        "results",
        "",
        "Note: rtl/mac.v was changed",
        "Not proved: direction: sums are cut",
        "Proved: 2 properties, from any state on through one cycle of reset, for all time.",
    ]
    assert result.stdout.splitlines()[1].split()[-1] == "proved"


def test_formal_and_failed(formally):
    formally("fails", STABLE, problem=PROBLEM, trace=Path("/tmp/t.vcd"), log=Path("/tmp/t.txt"))
    result = invoke("verify", "x", "--formal")
    assert (result.exit_code, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["fails", "open"]
    assert lines[3:] == [f"Failed: {PROBLEM}"]


def test_formal_and_undecided(formally):
    problem = "results: not decided at depth 7, with up to 600 s; the log is /tmp/t.txt"
    formally("undecided", problem=problem, log=Path("/tmp/t.txt"))
    result = invoke("verify", "x", "--formal")
    assert (result.exit_code, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["undecided", "undecided"]
    assert lines[3:] == [f"Undecided: {problem}"]


def test_formal_json(formally):
    formally("fails", STABLE, problem=PROBLEM, trace=Path("/tmp/t.vcd"), log=Path("/tmp/t.txt"))
    result = invoke("verify", "x", "--formal", "--json")
    assert result.exit_code == 1
    values = json.loads(result.stdout)
    assert (values["passed"], values["problem"], values["trace"]) == (False, PROBLEM, "/tmp/t.vcd")
    assert values["proofs"][0]["failing"] == {"name": "stable", "claim": "a result stays"}


@pytest.mark.parametrize("option", ["--simulator=icarus", "--seed=2", "--tiles=3", "--pairs=4", "--exhaustive"])
def test_formal_goes_alone(option):
    name = option.partition("=")[0]
    assert refused("verify", "x", "--formal", option).startswith(f"{name} does not go with --formal")


def test_exhaustive_without_a_compiler(bundle, tmp_path):
    result = run("verify", bundle, "--exhaustive", cwd=tmp_path, env={"PATH": str(tmp_path)})
    assert result.returncode == 2
    assert result.stderr == (
        "macgen: error: g++ and perl are missing: exhaustive verification needs them; install them with `apt install "
        "g++ perl`\n"
    )


@pytest.mark.prove
def test_an_array_is_proved(tmp_path):
    directory = tmp_path / "mac"
    small = ("--a", "int3", "--b", "uint2", "--acc", "int7", "--rows", 1, "--cols", 1)
    assert invoke("build", *small, "-o", directory).exit_code == 0
    before = tree(directory)
    result = run("verify", directory, "--exhaustive", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[2].split()[:2] == ["steps", "128"]
    assert lines[-1].startswith("Proved: all ")
    assert tree(directory) == before


# -- a real simulation -------------------------------------------------------------------------------------------


def test_a_real_array(bundle, tmp_path):
    before = tree(bundle)
    result = run("verify", bundle, "--tiles", 2, "--json", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    values = json.loads(result.stdout)
    assert values["passed"]
    assert values["comparisons"] > 100
    assert all(test["passed"] for test in values["runs"][0]["tests"])
    assert tree(bundle) == before
    assert tree(tmp_path) == {}


# -- bad input ---------------------------------------------------------------------------------------------------


def test_wrong_directory(tmp_path, bundle):
    for directory in (tmp_path / "missing", tmp_path, bundle / "manifest.json"):
        sentence = refused("verify", directory)
        assert sentence.startswith(f"bundle {str(directory)!r} has no readable manifest.json (")


@pytest.mark.parametrize("size", [0, 1, 40, 400, -3])
def test_truncated_manifest(tmp_path, bundle, size):
    (tmp_path / "rtl").mkdir()
    text = (bundle / "manifest.json").read_bytes()
    (tmp_path / "manifest.json").write_bytes(text[:size])
    assert "manifest is not valid JSON (" in refused("verify", tmp_path)


def test_broken_manifest(tmp_path, bundle):
    good = json.loads((bundle / "manifest.json").read_text())
    wrong = [
        [],
        None,
        {},
        good | {"schema": 3},
        good | {"spec": None},
        good | {"spec": good["spec"] | {"rows": 0}},
        good | {"spec": good["spec"] | {"lanes": 1}},
        good | {"name": "module"},
        good | {"name": ["mac"]},
        good | {"files": []},
        good | {"files": {}},
        good | {"tools": None},
        good | {"latency": 10**300},
        good | {"verilog": "../../etc/passwd"},
        {key: value for key, value in good.items() if key != "ports"},
    ]
    for values in wrong:
        (tmp_path / "manifest.json").write_text(json.dumps(values))
        assert len(refused("verify", tmp_path)) < 500


@pytest.mark.parametrize("command", [("verify",), ("verify", "--exhaustive"), ("verify", "--formal"), ("report",)])
def test_a_bundle_of_an_older_macgen_is_to_be_rebuilt(tmp_path, bundle, command):
    older = json.loads((bundle / "manifest.json").read_text()) | {"schema": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(older))
    assert refused(*command, tmp_path) == (
        f"bundle {str(tmp_path)!r}: manifest has schema 1, as older versions of macgen wrote it; accepted is 2, which "
        f"macgen build --force makes of the same options"
    )


def test_bundle_without_verilog(tmp_path, bundle):
    (tmp_path / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes())
    assert refused("verify", tmp_path) == f"bundle {str(tmp_path)!r} lacks 'rtl/mac.v'; accepted is a complete bundle"


def test_wrong_options(bundle):
    assert refused("verify", bundle, "--simulator", "vcs").startswith("simulator 'vcs' is unknown; accepted are auto")
    assert refused("verify", bundle, "--seed", "x").startswith("Invalid value for '--seed': 'x' is not an integer")
    assert "-1" in refused("verify", bundle, "--seed", -1)
    assert "-1" in refused("verify", bundle, "--tiles", -1)


def test_without_a_simulator(bundle, tmp_path):
    result = run("verify", bundle, "--simulator", "icarus", cwd=tmp_path, env={"PATH": str(tmp_path)})
    assert result.returncode == 2
    assert result.stderr.startswith("macgen: error: iverilog is missing: ")
    assert result.stderr.count("\n") == 1
