"""NumPy's files, .npy and .npz, read with distrust: nothing is unpickled, and little more is held than is asked for."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from macgen.errors import MacgenError, shown_path

_HEAD_BYTES = 1 << 14  # NumPy reads no header of more than 10 000 characters
_BLOCK_BYTES = 1 << 24
_MOST_LENGTH = 1 << 62  # of an axis: random places along it are drawn as integers of 64 bits
_ENCRYPTED = 1  # a flag of an archive's entry


class NumpyFile:
    """A file of NumPy: an archive of arrays by name (.npz), or one array, whose name is empty (.npy).

    Parameters:
        path: the file.
        accepted: what refusals say is accepted.
        field: what it was given as, for sentences.

    Attributes:
        name: how sentences call it.
        packed: whether it is an archive.
        unpacked_bytes: its size, as an archive says of itself.

    Raises:
        MacgenError: it cannot be read, or it is a damaged archive.
    """

    def __init__(self, path: Path, accepted: str, field: str = "data") -> None:
        self.name = f"{field} {shown_path(path)}"
        self._path = path
        self._accepted = accepted
        with self.sentences():
            if not path.is_file():
                raise self.refused("is no file" if path.exists() else "does not exist")
            with path.open("rb") as stream:
                self.packed = stream.read(4) == b"PK\x03\x04"
            self.unpacked_bytes = path.stat().st_size
            self._entries: dict[str, ZipInfo] = {}
            if self.packed:
                with ZipFile(path) as archive:
                    entries = archive.infolist()
                self._entries = {entry.filename.removesuffix(".npy"): entry for entry in entries}
                self.unpacked_bytes = sum(entry.file_size for entry in entries)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self._entries) if self.packed else ("",)

    def array(self, name: str) -> StoredArray:
        """Return one of the arrays; only its header is read.

        Raises:
            MacgenError: it is damaged, encrypted or packed in another way than NumPy's, or it holds other than numbers.
        """
        with self.sentences(), self.stream(name) as stream:
            head = io.BytesIO(stream.read(_HEAD_BYTES))
            try:
                version = numpy_format.read_magic(head)
                read_header = {
                    (1, 0): numpy_format.read_array_header_1_0,
                    (2, 0): numpy_format.read_array_header_2_0,
                }[version]
                shape, by_columns, dtype = read_header(head)
            except MemoryError:  # of a parser of 16 kB
                raise ValueError("no header") from None
        if dtype.kind not in "biuf":
            raise self.refused("holds other than numbers")
        size = math.prod(shape) * dtype.itemsize
        entry = self._entries.get(name)
        there = (self.unpacked_bytes if entry is None else entry.file_size) - head.tell()
        if not all(0 <= length < _MOST_LENGTH for length in shape) or size > there:
            raise self.damaged()
        return StoredArray(shape, dtype, self, name, head.tell(), by_columns)

    @contextlib.contextmanager
    def stream(self, name: str) -> Iterator[IO[bytes]]:
        """Give the bytes of an array, header first."""
        if not self.packed:
            with self._path.open("rb") as file:
                yield file
            return
        entry = self._entries[name]
        if entry.flag_bits & _ENCRYPTED:
            raise self.refused("is encrypted")
        # The other methods unpack without a limit.
        if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise self.refused(f"is packed by method {entry.compress_type}, which NumPy does not use")
        with ZipFile(self._path) as archive, archive.open(entry) as file:
            yield file

    def refused(self, what: str) -> MacgenError:
        """Return a refusal."""
        return MacgenError(f"{self.name} {what}; accepted is {self._accepted}")

    def damaged(self) -> MacgenError:
        """Return the refusal of what is no file of NumPy."""
        return self.refused("is damaged or none of NumPy")

    @contextlib.contextmanager
    def sentences(self) -> Iterator[None]:
        """Turn into a refusal whatever goes wrong while the file is read."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of headers that Python 2 wrote, and of odd ones
                yield
        except MacgenError:
            raise
        except OSError as error:
            raise self.refused(f"cannot be read ({error.strerror or 'damaged'})") from None
        except MemoryError:
            raise self.refused("does not fit this machine's memory") from None
        except Exception:  # zipfile, zlib and NumPy raise a dozen kinds, of damaged files also such as AttributeError
            raise self.damaged() from None


@dataclass(frozen=True)
class StoredArray:
    """An array of numbers in a file: what its header says; the numbers are read when they are asked for.

    Attributes:
        shape: its shape.
        dtype: of its numbers: Booleans, integers or reals.
        file: where it is.
        name: what it is called there.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    file: NumpyFile = field(repr=False)
    name: str
    _start: int  # bytes before the first number
    _by_columns: bool  # Fortran's order

    def read(self) -> NDArray[Any]:
        """Return all of it.

        Raises:
            MacgenError: the file is damaged, or the array does not fit this machine's memory.
        """
        with self.file.sentences(), self.file.stream(self.name) as stream:
            _skip(stream, self._start)
            numbers = _numbers(stream, self.dtype, math.prod(self.shape))
            return numbers.reshape(self.shape[::-1]).T if self._by_columns else numbers.reshape(self.shape)

    def part(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[Any]:
        """Return some rows and columns of a matrix.

        The file is read up to the last of these numbers, and little more than they is held.

        Parameters:
            rows, cols: which ones, ascending, each once.

        Raises:
            MacgenError: the file is damaged, or the part does not fit this machine's memory.
        """
        if self._by_columns:  # the columns stand one behind the other
            return self._lines(cols, rows, self.shape[0]).T
        return self._lines(rows, cols, self.shape[1])

    def _lines(self, lines: NDArray[np.intp], places: NDArray[np.intp], length: int) -> NDArray[Any]:
        """Return some places of some lines; lines of `length` numbers stand one behind the other."""
        size = self.dtype.itemsize
        block = _BLOCK_BYTES // size
        with self.file.sentences(), self.file.stream(self.name) as stream:
            _skip(stream, self._start)
            found = np.empty((lines.size, places.size), self.dtype)
            position = 0
            for line, values in zip(lines.tolist(), found, strict=True):
                for begin in range(int(places[0]), int(places[-1]) + 1, block):
                    low, high = np.searchsorted(places, (begin, begin + block))
                    if low == high:
                        continue
                    first, last = int(places[low]), int(places[high - 1])
                    _skip(stream, (line * length + first - position) * size)
                    values[low:high] = _numbers(stream, self.dtype, last + 1 - first)[places[low:high] - first]
                    position = line * length + last + 1
            return found


def _skip(stream: IO[bytes], size: int) -> None:
    while size > 0:  # seeking in an archive does not end where the archive does
        block = stream.read(min(size, _BLOCK_BYTES))
        if not block:
            raise EOFError
        size -= len(block)


def _numbers(stream: IO[bytes], dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    numbers = np.empty(count, dtype)  # takes memory only where it is written to
    data = numbers.view(np.uint8)
    position = 0
    while position < data.size:
        block = stream.read(min(data.size - position, _BLOCK_BYTES))
        if not block:
            raise EOFError
        data[position : position + len(block)] = np.frombuffer(block, np.uint8)
        position += len(block)
    return numbers
