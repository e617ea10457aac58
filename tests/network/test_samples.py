"""Sample inputs: what is read, and what is refused."""

import io
import os
import zipfile

import numpy as np
import pytest

from macgen.errors import MacgenError
from macgen.network import load_samples
from macgen.network.operand_statistics import measure_here
from tests.network.models import model, node, saved, value, weight


def test_one_array(tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(load_samples(tmp_path / "x.npy"), x)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_by_name(save, tmp_path):
    save(tmp_path / "x.npz", ids=np.arange(3), mask=np.ones((2, 2)))
    loaded = load_samples(str(tmp_path / "x.npz"))
    assert {name: (x.dtype.kind, x.shape) for name, x in loaded.items()} == {"ids": ("i", (3,)), "mask": ("f", (2, 2))}


def header(shape, dtype="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"text", b"PK\x03\x04", header((2, 3)), header((1 << 40,)) + bytes(80), header((1 << 62, 1 << 62)),
     header((-1,)), header((2,), "|O") + b"\x80\x04N." * 9, header((2,), "<U4") + bytes(32)],
)  # fmt: skip
def test_damaged_files(data, tmp_path):
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(MacgenError, match=r"^data '.*x\.npy' .*; accepted is an \.npy or \.npz of NumPy with numbers$"):
        load_samples(tmp_path / "x.npy")


def test_pickles_are_not_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    np.savez(tmp_path / "x.npz", a=np.array([Trap()], dtype=object))
    with pytest.raises(MacgenError, match="holds other than numbers"):
        load_samples(tmp_path / "x.npz")
    assert not (tmp_path / "trapped").exists()


def test_archives_that_claim_too_much(tmp_path):
    path = tmp_path / "x.npz"
    content = header((3,)) + bytes(24)
    with zipfile.ZipFile(path, "w") as archive:
        for name in "ab":
            archive.writestr(f"{name}.npy", content)
    claimed = (0xFFFF_FFF0).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(len(content).to_bytes(4, "little"), claimed))
    with pytest.raises(MacgenError, match=r"^data '.*' holds 8589934560 bytes; accepted are at most 4294967296$"):
        load_samples(path)


def test_paths(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, what in (("none", "does not exist"), ("pipe", "is no file"), (".", "is no file")):
        with pytest.raises(MacgenError, match=f"^data '.*' {what}; accepted is an"):
            load_samples(tmp_path / name)


def product(shape=("N", 4), name="x", element=1):
    nodes = [node("Cast", name, "c", to=1), node("MatMul", "c w", "y")]
    return model(nodes, [value(name, shape, element)], [weight("w", 4, 4)])


def two_inputs():
    nodes = [node("MatMul", "a w", "aw"), node("MatMul", "aw b", "y")]
    return model(nodes, [value("a", ("N", 3, 4)), value("b", ("N", 4, 2))], [weight("w", 4, 4)])


@pytest.mark.parametrize(
    ("made", "samples", "sentence"),
    [
        (product(), np.ones((2, 5)), "samples of input 'x' have shape (2, 5); accepted is 4 in place of 5 at axis 1"),
        (product(), np.ones(4), "samples of input 'x' have shape (4,); accepted are 2 axes"),
        (product(("N",)), np.ones((4, 4)), "samples of input 'x' have shape (4, 4); accepted is 1 axis"),
        (product(()), np.ones((4, 4)), "samples of input 'x' have shape (4, 4); accepted is a single number"),
        (product(None), np.ones((4, 4)), "input 'x' of model PATH has no shape; accepted are inputs with one"),
        (product(), np.ones((0, 4)), "samples have shapes {'x': (0, 4)}; accepted is one number of examples, at least "
                                     "one"),
        (product((2, 4)), np.ones((0, 4)), "samples have shapes {'x': (0, 4)}; accepted is one number of examples, at "
                                           "least one"),
        (product((2, 4)), np.ones((3, 4)), "samples of input 'x' have shape (3, 4); accepted is 2 in place of 3 at "
                                           "axis 0"),
        (product(), {"z": np.ones((2, 4))}, "samples are for inputs ['z']; accepted are exactly ['x']"),
        (product(), np.full((2, 4), np.nan), "samples of input 'x' hold infinities or NaN; accepted are finite "
                                             "numbers"),
        (product(), np.array([["a"] * 4]), "samples of input 'x' are of type <U1; accepted are numbers"),
        (product(element=3), np.full((2, 4), 0.5), "samples of input 'x' hold values that are no int8; accepted are "
                                                   "such integers"),
        (product(element=3), np.full((2, 4), 128), "samples of input 'x' hold values that are no int8; accepted are "
                                                   "such integers"),
        (product(element=8), np.ones((2, 4)), "input 'x' takes no numbers; accepted to be run are models that take "
                                              "some"),
        (two_inputs(), np.ones((2, 3, 4)), "samples are one array, but model PATH has inputs ['a', 'b']; accepted are "
                                           "all"),
        (two_inputs(), {"a": np.ones((2, 3, 4)), "b": np.ones((3, 4, 2))},
         "samples of input 'b' have 3 where those of 'a' have 2; accepted are equal sizes of dimension 'N'"),
    ],
)  # fmt: skip
def test_refused_samples(made, samples, sentence, tmp_path):
    path = saved(tmp_path, made)
    with pytest.raises(MacgenError) as error:
        measure_here(path, samples)
    assert str(error.value).replace(repr(str(path)), "PATH") == sentence
