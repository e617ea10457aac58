import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from macgen.cli.parameters import SectionedCommand, integer, integer_or, word_of_path


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("64", 64), ("-3", -3), ("+7", 7), ("007", 7)])
def test_integer(text, value):
    assert integer(text) == integer_or("none")(text) == value


def test_none():
    assert integer_or("none", "auto")("none") == "none"
    assert integer_or("none", "auto")("auto") == "auto"


WRONG = ["", " 4", "4 ", "4.0", "1e3", "0x10", "1_000", "٤", "None", "NONE", "--4", "9" * 19, "9" * 100_000]


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_no_integer(text):
    with pytest.raises(click.BadParameter, match=r" is not an integer$") as caught:
        integer(text)
    assert len(caught.value.message) < 200
    with pytest.raises(click.BadParameter, match=r" is not an integer or none$"):
        integer_or("none")(text)


def test_no_integer_is_none():
    with pytest.raises(click.BadParameter, match=r"^'none' is not an integer$"):
        integer("none")


def test_help_in_sections():
    @click.command(cls=SectionedCommand, sections={"Shape": ["rows"], "Format": ["acc", "a"]})
    @click.argument("directory", metavar="DIR")
    @click.option("--a", help="Left.")
    @click.option("--acc", help="Sum.")
    @click.option("--rows", help="Rows.")
    @click.option("--other", help="Rest.")
    def build(**_):
        pass

    lines = [line.split()[0] for line in CliRunner().invoke(build, ["--help"]).stdout.splitlines() if line.strip()]
    assert lines == ["Usage:", "Shape:", "--rows", "Format:", "--acc", "--a", "Other", "--other", "--help"]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("build/mac12", "build/mac12"),
        ("a b", "'a b'"),
        ("-x", "./-x"),
        ("it's", """'it'"'"'s'"""),
        ("$HOME;ls", "'$HOME;ls'"),
        ("a\x1b'\\\n\u00fc", r"$'a\033\047\134\012\u00fc'".replace(r"\u00fc", "\u00fc")),
        ("a\udcff", r"$'a\377'"),
    ],
)
def test_paths_in_printed_commands_are_one_word(path, word):
    assert word_of_path(Path(path)) == word
    printed = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
    assert printed.removeprefix(b"./") == path.encode(errors="surrogateescape")
