"""NumPy's files, sound and hostile: what is read of them, what is held, and one sentence for all else."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macgen.errors import MacgenError
from macgen.network.numpy_file import NumpyFile

DTYPES = ["<f8", ">f4", "<f2", "<i8", ">u2", "|i1", "|b1", np.longdouble]


def opened(path):
    return NumpyFile(path, "what is accepted")


def headed(text: bytes, version=1) -> bytes:
    """A header with any text; of version 1 it has two bytes for its length, else four."""
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text


def header(shape, dtype="<f8", by_columns=False) -> bytes:
    return headed(repr({"descr": dtype, "fortran_order": by_columns, "shape": shape}).encode())


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_arrays_are_read_as_numpy_wrote_them(dtype, order, tmp_path):
    x = np.asarray(np.arange(-6, 6).reshape(3, 4) % 5, dtype, order=order)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x, none=np.ones((0, 3)), one=np.float32(1.5))
    np.savez_compressed(tmp_path / "packed.npz", x=x)
    for file, name in (("x.npy", ""), ("x.npz", "x"), ("packed.npz", "x")):
        stored = opened(tmp_path / file).array(name)
        read = stored.read()
        assert (stored.shape, stored.dtype) == (x.shape, x.dtype) == (read.shape, read.dtype)
        np.testing.assert_array_equal(read, x)
        np.testing.assert_array_equal(stored.part(np.array([0, 2]), np.array([1, 3])), x[[0, 2]][:, [1, 3]])
    assert opened(tmp_path / "x.npz").names == ("x", "none", "one")
    assert opened(tmp_path / "x.npz").array("none").read().shape == (0, 3)
    assert opened(tmp_path / "x.npz").array("one").read() == 1.5


@given(data=st.data())
def test_any_part_is_what_numpy_indexes(data, tmp_path_factory):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    rows, cols = (np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))) for n in shape)
    x = np.asarray(np.arange(shape[0] * shape[1]).reshape(shape), order=data.draw(st.sampled_from("CF")))
    path = tmp_path_factory.getbasetemp() / "part.npz"
    np.savez_compressed(path, x=x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("macgen.network.numpy_file._BLOCK_BYTES", 8 * data.draw(st.integers(1, 50)))
        np.testing.assert_array_equal(opened(path).array("x").part(rows, cols), x[np.ix_(rows, cols)])


def test_a_part_of_much_needs_little(tmp_path):
    """128 MiB in 130 kB, of which 512 numbers are asked for; then also numbers at the end."""
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("x.npy", header((4, 1 << 22)) + bytes(1 << 27))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    stored = opened(path).array("x")
    stored.part(np.array([0]), np.arange(512))
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    stored.part(np.array([0, 3]), np.array([0, (1 << 22) - 1]))
    assert tracemalloc.get_traced_memory()[1] < 1 << 27
    tracemalloc.stop()


def test_what_is_not_asked_for_is_not_read(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.zeros((1, 1 << 21)))
    data = bytearray(path.read_bytes())
    data[-1000:-900] = bytes(range(100))  # the archive's checksum no longer holds
    path.write_bytes(data)
    stored = opened(path).array("x")
    assert not stored.part(np.array([0]), np.arange(512)).any()
    with pytest.raises(MacgenError, match=r"is damaged or none of NumPy; accepted is what is accepted$"):
        stored.read()


HEADERS = {
    "too long": header((3, 3)),
    "huge": header((1 << 40,)) + bytes(80),
    "huger": header((1 << 62, 1 << 62)),
    "beyond all": header((1 << 200,)),
    "nothing, many times": header((0, 1 << 61, 0, 1 << 61)),
    "negative": header((-1, -8)) + bytes(64),
    "of more axes than arrays have": header((1,) * 1000) + bytes(8),
    "no numbers": header((2,), "<U4") + bytes(32),
    "objects": header((2,), "|O") + b"\x80\x04N." * 9,
    "fields": header((2,), [("x", "<f8")]) + bytes(16),
    "no type": header((2,), "<q9"),
    "a type of nothing": header((2,), ""),
    "a type that is a number": header((2,), 8),
    "no text": headed(b"\xff" * 40),
    "no dictionary": headed(b"[]"),
    "other keys": headed(b"{1: 2}"),
    "a key that cannot be one": headed(b"{[]: 2}"),
    "a shape of text": headed(b"{'descr': '<f8', 'fortran_order': False, 'shape': ('x',)}"),
    "an end too soon": headed(b"{'descr': '<f8', 'fortran_order': False, 'shape': (3"),
    "text without an end": headed(b"{'descr': '''"),
    "deep": headed(b"(" * 900),
    "deeper": headed(b"-" * 9000 + b"1"),
    "longer than NumPy reads": headed(b" " * 12_000),
    "longer than the file": headed(b"{}", version=2)[:8] + b"\xff\xff\xff\xff{}",
    "version 9": headed(b"{}", version=9),
    "empty": b"",
    "text": b"text",
}


@pytest.mark.parametrize("packed", [False, True], ids=["npy", "npz"])
@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS)
def test_headers_that_lie(data, packed, tmp_path):
    path = tmp_path / "x.npz"
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", data)
    else:
        path.write_bytes(data)
    with pytest.raises(MacgenError, match=r"^data '.*x\.npz' .*; accepted is what is accepted$"):
        opened(path).array("x" if packed else "").read()


def archive_of(method=zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x.npy", header((64,)) + np.arange(64.0).tobytes())
    return stream.getvalue()


def encrypted(data: bytes) -> bytes:
    """Set the flag in the entry's own header and in the archive's list."""
    changed = bytearray(data)
    changed[6] |= 1
    changed[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def far_too_large(data: bytes) -> bytes:
    """Say that the entry unpacks to nearly 4 GiB, and that its array has as much."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = archive.infolist()[0].file_size
    return data.replace(size.to_bytes(4, "little"), b"\xf0\xff\xff\xff")


HOSTILE = {
    "encrypted": (encrypted(archive_of()), "is encrypted"),
    "lzma": (archive_of(zipfile.ZIP_LZMA), "is packed by method 14, which NumPy does not use"),
    "bzip2": (archive_of(zipfile.ZIP_BZIP2), "is packed by method 12, which NumPy does not use"),
    "zlib": (archive_of()[:50] + b"\xff" * 20 + archive_of()[70:], "is damaged or none of NumPy"),
    "cut": (archive_of()[:-30], "is damaged or none of NumPy"),
    "only a beginning": (b"PK\x03\x04", "is damaged or none of NumPy"),
}


@pytest.mark.parametrize(("data", "what"), HOSTILE.values(), ids=HOSTILE)
def test_archives_that_cannot_be_read(data, what, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(data)
    with pytest.raises(MacgenError, match=rf"^data '.*x\.npz' {what}; accepted is what is accepted$"):
        opened(path).array("x").read()


def test_entries_that_end_before_they_say(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header((1 << 28, 1)) + bytes(1000))
    path.write_bytes(far_too_large(path.read_bytes()))
    stored = opened(path).array("x")
    for read in (stored.read, lambda: stored.part(np.array([5, 1 << 27]), np.array([0]))):
        with pytest.raises(MacgenError, match="is damaged or none of NumPy"):
            read()


def test_what_cannot_be_opened(tmp_path):
    for path, what in ((tmp_path / "none", "does not exist"), (tmp_path, "is no file")):
        with pytest.raises(MacgenError, match=f"^data '.*' {what}; accepted is what is accepted$"):
            opened(path)


SOUND = [archive_of(), archive_of(zipfile.ZIP_STORED), header((64,)) + bytes(512)]


def damaged(data) -> bytes:
    """A sound file with some bytes changed, left out or put in."""
    content = bytearray(data.draw(st.sampled_from(SOUND)))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    return bytes(content)


def check_damaged(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(damaged(data))
    try:
        file = opened(path)
        for name in file.names:
            stored = file.array(name)
            stored.read()
            if len(stored.shape) == 2 and stored.shape[0] > 0 < stored.shape[1]:
                stored.part(np.array([0]), np.array([0]))
    except MacgenError as error:
        assert str(error).startswith(file_name := f"data {str(path)!r} "), file_name
        assert str(error).endswith("; accepted is what is accepted")
        assert "\n" not in str(error)


@given(data=st.data())
def test_damaged_files_give_arrays_or_a_sentence(data, tmp_path_factory):
    check_damaged(data, tmp_path_factory)


@pytest.mark.prove
@given(data=st.data())
@settings(max_examples=3000)
def test_many_damaged_files_give_arrays_or_a_sentence(data, tmp_path_factory):
    check_damaged(data, tmp_path_factory)
