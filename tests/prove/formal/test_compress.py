"""The proofs of a unit that compresses gradients, and that they see what is wrong."""

import pytest

from macgen.bundle import build
from macgen.bundle.contents import verilog_of
from macgen.compress import CompressSpec
from macgen.prove.formal.prover import formal
from tests.mutants import connect, drive

SMALL = CompressSpec("int3", 3, learners=0, most_bins=3)
LANES = CompressSpec("int4", 6, lanes=2, learners=1, most_bins=7)
PAPER = [CompressSpec("fix4.12", bin, learners=0) for bin in (50, 500)]

CLAIMS = {
    "residue": ["exact"],
    "element": ["accumulates", "magnitudes"],
    "way": ["order", "kept", "choice", "sent", "ends", "inside"],
}


@pytest.mark.thinned("small")
@pytest.mark.parametrize("spec", [SMALL, LANES, *PAPER], ids=["small", "lanes", "50", "500"])
def test_what_is_sent_and_kept_is_what_came_in(spec, tmp_path):
    result = formal(build(spec, tmp_path / "ada"))
    assert result.passed, result.problem
    assert {proof.name: [item.name for item in proof.properties] for proof in result.proofs} == CLAIMS
    assert "the scale is the mean" in result.unproved[0]


MUTANTS = {
    "residue": lambda text: drive(text, "addend", "{} & 3'd6"),
    "no end of the range": lambda text: drive(text, "outside", "1'b0"),
    "overwritten": lambda text: drive(text, "occupied", "1'b0"),
    "ties": lambda text: drive(text, "chosen", "{} & aheads != {1'b0, largest}"),
    "lost": lambda text: drive(text, "kept_free", "1'b1"),
    "sent twice": lambda text: drive(text, "out_free", "1'b1"),
    "two scales": lambda text: connect(text, "buffer", "held", "1'b0"),
}
FAILS = {"residue": "residue", "no end of the range": "element"}


@pytest.mark.thinned("residue")
@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_units_are_not_proved(name, tmp_path):
    mutant = MUTANTS[name](verilog_of(SMALL, "ada"))
    bundle = build(SMALL, tmp_path / "ada")
    bundle.verilog.write_text(mutant.verilog)
    result = formal(bundle, trust=True)
    assert not result.passed, mutant.description
    assert [proof.name for proof in result.proofs if proof.outcome != "proved"] == [FAILS.get(name, "way")]
