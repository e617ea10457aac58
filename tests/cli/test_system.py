import json

import pytest

from macgen.bundle import build
from macgen.spec import MacSpec
from macgen.system import schedule
from tests.cli.runner import invoke, refused
from tests.system.test_scheduling import report_of

SPEC = MacSpec(a="int4", b="int4", acc="int12", rows=2, cols=2)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cli_system") / "unit"
    build(SPEC, directory)
    return directory


def test_sizes_with_energy_and_files(bundle, tmp_path):
    report = tmp_path / "report.json"
    report.write_text(json.dumps(report_of(SPEC).to_dict()))
    result = invoke(
        "system", bundle, "--gemm", "3x4x5", "--gemm", "20x30x40", "--report", report,
        "--json", tmp_path / "s.json", "--plot", tmp_path / "s.svg",
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[:2] == ["3x4x5", "4"]
    values = json.loads((tmp_path / "s.json").read_text())
    assert values == schedule(bundle, gemms=[(3, 4, 5), (20, 30, 40)], report=report).to_dict()
    assert (tmp_path / "s.svg").read_bytes().startswith(b"<?xml")


def test_the_mode_is_told(bundle):
    result = invoke("system", bundle, "--gemm", "3x4x5", "--mode", "full", "--json", "-")
    assert json.loads(result.stdout) == schedule(bundle, gemms=[(3, 4, 5)]).to_dict()
    assert refused("system", bundle, "--gemm", "3x4x5", "--mode", "low") == "mode 'low' is not one of full"


def test_networks(bundle):
    result = invoke("system", bundle, "--network", "resnet32", "--batch", 2, "--only", "gradient", "--json", "-")
    assert result.exit_code == 0
    found = schedule(SPEC, network="resnet32", batch=2, only=["gradient"])
    assert json.loads(result.stdout) == found.to_dict() | {"name": "unit"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "nothing given to compute; accepted is one of --gemm MxNxK, --network NAME and a file MODEL.onnx"),
        (["--gemm", "3x4"], "gemm '3x4' is not MxNxK; accepted are such as 64x64x576"),
        (["--gemm", "3x4x0"], "gemm (3, 4, 0): length 0 is not an integer from 1"),
        (["--gemm", "1x1x1", "--network", "resnet18"], "gemm and network given to compute; accepted is one of "),
        (["--network", "vgg"], "network 'vgg' is unknown; accepted are resnet18, resnet32, alexnet or an ONNX file"),
        (["--network", "resnet18", "--only", "all"], "only 'all' is not one of forward, backward, gradient"),
        (["--gemm", "1x1x1", "--plot", "x.gif"], "plot has the suffix '.gif'; accepted are .svg, .png, .pdf"),
        (["--gemm", "1x1x1", "--plot", "x", "--json", "x"], "json and plot are both 'x'; accepted are two files"),
        (["--gemm", "1x1x1", "--dim", "n"], "dim 'n' is not NAME=N; accepted are such as seq=128"),
        (["--gemm", "1x1x1", "--only", "backward"], "only 'backward' does not go with gemm; accepted is it with a "),
        (["--gemm", "1x1x1", "--plot", "x.svg", "--json", "no/x"], "json 'no/x' cannot be written (No such file or "),
        (["nowhere.onnx", "--plot", "no/x.svg"], "plot 'no/x.svg' cannot be written (No such file or directory); "),
        (["nowhere.onnx"], "model 'nowhere.onnx' cannot be read"),
        (["--gemm", "1x1x1", "--report", "r"], "report 'r' cannot be read (No such file or directory); accepted is "),
    ],
)
def test_wrong_options_are_refused(bundle, options, sentence, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert refused("system", bundle, *options).startswith(sentence)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_without_a_bundle_is_refused(tmp_path):
    assert "manifest.json" in refused("system", tmp_path, "--gemm", "1x1x1")
