import pytest

from macgen.bundle import load_manifest
from macgen.compress import CompressSpec
from tests.cli.runner import invoke, refused


@pytest.fixture(autouse=True)
def _work_in_an_empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_unit_is_built_and_verified():
    result = invoke("compress", "--bin", 4, "--format", "fix2.2", "--learners", 2, "-o", "build/ada")
    assert result.exit_code == 0
    assert load_manifest("build/ada").subject == CompressSpec("fix2.2", 4, learners=2)
    for text in ("Built ada in build/ada", "fix2.2, bins of 4, an element a cycle", "2 learners, sums of 6 bits",
                 "two bins, 8 words of 10 bits", "5 bits a beat", "macgen verify build/ada"):  # fmt: skip
        assert text in result.stdout
    result = invoke("verify", "build/ada", "--tiles", 10)
    assert result.exit_code == 0
    assert "Layers" in result.stdout
    assert "values equal the definition (seed 1)" in result.stdout


def test_the_options_have_defaults_and_make_a_name():
    assert invoke("compress").exit_code == 0
    assert load_manifest("build/adacomp_b50_fix4_12").subject == CompressSpec("fix4.12", 50)
    options = ("--bin", 8, "--lanes", 2, "--learners", 0, "--most-bins", 3, "--format", "fix12.-4", "--clock-mhz", 100)
    result = invoke("compress", *options)
    assert result.exit_code == 0
    assert "Receiver" not in result.stdout
    assert load_manifest("build/adacomp_b8_fix12_m4_l2").subject == CompressSpec(
        "fix12.-4", 8, lanes=2, learners=0, most_bins=3
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--bin", 0), "bin 0 is not an integer from 1 to 4096: two bins are buffered"),
        (("--bin", 5000), "bin 5000 is not an integer from 1 to 4096: two bins are buffered"),
        (("--bin", "x"), "'x' is not"),
        (("--lanes", 4), "lanes 4 does not divide bin 50; accepted are 1, 2, 5, 10"),
        (("--learners", 40), "learners 40 is not an integer from 0 to 32"),
        (("--most-bins", 0), "most_bins 0 is not an integer from 1 to 2^24 - 1"),
        (("--format", "uint8"), "format 'uint8' is no format of gradients"),
        (("--format", "gradients"), "format"),
        (("--name", "module"), "name 'module' is a Verilog keyword"),
        (("--name", "place"), "name 'place' is also a signal's"),
    ],
)
def test_refused(options, sentence, tmp_path):
    assert sentence in refused("compress", *options)
    assert not list(tmp_path.iterdir())
