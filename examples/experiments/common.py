"""What the experiments share: images, training loops, records of runs, tables and plots."""

from __future__ import annotations

import argparse
import gzip
import json
import math
import statistics
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from macgen import nn
from macgen.errors import MacgenError, ToolError, check_integer
from macgen.interrupts import run_program

try:
    import torch as torch  # the experiments take it from here
except ModuleNotFoundError:
    print(f"{Path(sys.argv[0]).name}: the package torch is missing: pip install 'macgen[torch]'", file=sys.stderr)
    raise SystemExit(2) from None

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class Images:
    """Labelled images of ten classes, 28 x 28, values from 0 to 1.

    Attributes:
        name: of the data set.
        train_x, test_x: (N, 1, 28, 28) tensors.
        train_y, test_y: (N,) tensors.
    """

    name: str
    train_x: Any
    train_y: Any
    test_x: Any
    test_y: Any

    def first(self, train: int, test: int) -> Images:
        """Return the first images of both parts."""
        return Images(self.name, self.train_x[:train], self.train_y[:train], self.test_x[:test], self.test_y[:test])


def load_images(folder: Path | None) -> Images:
    """Return Fashion-MNIST from a folder or from Debian's package; where it is missing, scikit-learn's digits.

    Parameters:
        folder: with the four IDX files of a data set such as MNIST's, gzipped or not.

    Raises:
        MacgenError: the folder lacks a file, or one is no such file.
    """
    if folder is None and not (DEBIAN_FOLDER / f"{FILES[0]}.gz").is_file():
        print("Fashion-MNIST is not here (apt install dataset-fashion-mnist, or --data DIR): digits instead")
        return _digits()
    parts = [_idx(folder or DEBIAN_FOLDER, name) for name in FILES]
    for x, y in (parts[:2], parts[2:]):
        if x.shape[1:] != (28, 28) or y.shape != x.shape[:1] or not len(y):
            raise MacgenError(
                f"data {str(folder or DEBIAN_FOLDER)!r} has images of the shape {x.shape} and labels of {y.shape}; "
                f"accepted are (N, 28, 28) and (N,)"
            )
    images = [torch.from_numpy(part.astype(np.float32) / 255).unsqueeze(1) for part in parts[::2]]
    labels = [torch.from_numpy(part.astype(np.int64)) for part in parts[1::2]]
    return Images("Fashion-MNIST" if folder is None else folder.name, images[0], labels[0], images[1], labels[1])


def _idx(folder: Path, name: str) -> NDArray[np.uint8]:
    for file, opened in ((folder / f"{name}.gz", gzip.open), (folder / name, open)):
        if file.is_file():
            try:
                with opened(file, "rb") as stream:
                    content = stream.read()
            except (OSError, EOFError, zlib.error) as error:
                raise MacgenError(f"data {str(file)!r} cannot be read ({error}); accepted is one as MNIST's") from None
            start = 4 + 4 * content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
            sizes = struct.unpack(f">{(start - 4) // 4}I", content[4:start]) if 4 < start <= len(content) else ()
            if not sizes or len(content) != start + math.prod(sizes):
                raise MacgenError(f"data {str(file)!r} is no IDX file of bytes; accepted is one as MNIST's")
            return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)
    raise MacgenError(
        f"data {str(folder)!r} has no {name}.gz; accepted is a folder with the four files of Fashion-MNIST"
    )


def _digits() -> Images:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise ToolError("the package scikit-learn is missing: pip install scikit-learn, or --data DIR") from None

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(labels))
    images = pixels.reshape(-1, 8, 8)[order].astype(np.float32) / 16
    images = np.pad(images.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
    x, y = torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels[order].astype(np.int64))
    return Images("digits", x[:1400], y[:1400], x[1400:], y[1400:])


# -- training ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """What a training came to.

    Attributes:
        losses: mean of each epoch's training losses; NaN from where it was stopped.
        accuracies: share of right answers on the test images after each epoch; chance from where it was stopped.
        stopped: why it was stopped early; empty: it was not.
    """

    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    stopped: str = ""


def train(
    model: Any,
    optimizer: nn.Optimizer,
    images: Images,
    *,
    epochs: int,
    batch: int,
    seed: int,
    mean: bool = True,
    each_epoch: Callable[[int], None] = lambda epoch: None,
    gradients: Callable[[Any], Any] | None = None,
) -> Curve:
    """Train a model; what macgen refuses, such as a loss that is infinite or NaN, ends it.

    Parameters:
        model: of images.
        optimizer: of the model.
        images: to train with and to test with.
        epochs: how often each image is shown.
        batch: images of a step.
        seed: of the order of images.
        mean: whether the loss is the mean over the batch, or its sum.
        each_epoch: called before each epoch.
        gradients: given the numbers of a batch's images, leaves gradients in the parameters and returns the batch's
            loss; None: those of the mean or sum.
    """

    def plain(rows: Any) -> Any:
        loss = loss_of(model, images, rows)
        optimizer.backward(loss if mean else loss * len(rows))
        return loss

    order = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    accuracies: list[float] = []
    stopped = ""
    for epoch in range(epochs):
        each_epoch(epoch)
        model.train()
        total, count = 0.0, 0
        try:
            for rows in torch.randperm(len(images.train_y), generator=order).split(batch):
                optimizer.zero_grad()
                loss = (gradients or plain)(rows)
                optimizer.step()
                total, count = total + float(loss.detach()) * len(rows), count + len(rows)
            right = accuracy(model, images)
        except ToolError:
            raise
        except MacgenError as error:
            stopped = str(error)
            break
        losses.append(total / count)
        accuracies.append(right)
    missing = epochs - len(losses)
    chance = 1 / (int(images.test_y.max()) + 1)
    return Curve((*losses, *[math.nan] * missing), (*accuracies, *[chance] * missing), stopped)


def loss_of(model: Any, images: Images, rows: Any) -> Any:
    """Return the mean loss of a batch, given by its images' numbers; infinite or NaN, it is refused."""
    loss = torch.nn.functional.cross_entropy(model(images.train_x[rows]), images.train_y[rows])
    nn.check_loss(loss, model)
    return loss


def accuracy(model: Any, images: Images, batch: int = 500) -> float:
    """Return the share of right answers on the test images."""
    model.eval()
    right = 0
    with torch.no_grad():
        for x, y in zip(images.test_x.split(batch), images.test_y.split(batch), strict=True):
            right += int((model(x).argmax(1) == y).sum())
    return right / len(images.test_y)


# -- runs --------------------------------------------------------------------------------------------------------------


class Record:
    """Runs that are kept in a file as they come, so that an interrupted experiment goes on.

    Parameters:
        file: JSON; it may be there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.runs: dict[str, dict[str, Any]] = {}
        if file.is_file():
            try:
                self.runs = json.loads(file.read_text("utf-8"))
                sound = all("seconds" in run for run in self.runs.values())
            except (OSError, ValueError, AttributeError, TypeError):
                sound = False
            if not sound:
                raise MacgenError(f"record {str(file)!r} is none of an experiment's; delete it to begin anew")

    def run(self, name: str, compute: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Return a run of this name, computed unless it is there."""
        if name not in self.runs:
            begun = time.process_time()
            self.runs[name] = {**compute(), "seconds": round(time.process_time() - begun, 1)}
            self._write()
            values = {key: value for key, value in self.runs[name].items() if isinstance(value, float)}
            print(f"{name}: {', '.join(f'{key} {value:.4g}' for key, value in values.items())}", flush=True)
        return self.runs[name]

    def _write(self) -> None:
        part = self._file.with_suffix(".partial")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(self.runs, indent=1) + "\n", "utf-8")
            part.replace(self._file)
        except OSError as error:
            raise MacgenError(f"record {str(self._file)!r} cannot be written ({error.strerror})") from None


def run_name(images: Images, epochs: int, what: str, seed: int) -> str:
    """Return the name of a run, with all settings that it depends on: of others it is another run."""
    counts = f"{len(images.train_y)} and {len(images.test_y)} images"
    return f"{images.name}, {counts}, {epochs} epochs, {what}, seed {seed}"


def options(description: str, seeds: int = 3) -> argparse.Namespace:
    """Return the command line's options, which all experiments have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="folder with the four IDX files of a data set as Fashion-MNIST")
    parser.add_argument(
        "--quick", action="store_true", help="a few images, one seed: whether it runs, not what it says"
    )
    parser.add_argument("--seeds", type=int, default=seeds, help="runs of each kind")
    parser.add_argument("--images", type=int, help="training images, fewer or more than by default")
    parser.add_argument("--only", default="", help="of the kinds of runs, those with this in their names")
    parser.add_argument("--output", type=Path, default=Path("build/experiments"), help="folder of records and plots")
    given = parser.parse_args()
    check_integer("--seeds", given.seeds, 1)
    if given.images is not None:
        check_integer("--images", given.images, 1)
    if given.quick:
        given.seeds = 1
    torch.set_num_threads(1)  # the products have threads of their own, and torch's would wait for them
    return given


def run_experiment(main: Callable[[], None]) -> NoReturn:
    """Run a script: what is refused is one sentence and exit code 2, an interrupt one line."""

    def guarded() -> int:
        try:
            main()
        except MacgenError as error:
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
            return 2
        return 0

    run_program(guarded)


def seeds_of(given: argparse.Namespace) -> Iterator[int]:
    """Yield the seeds."""
    yield from range(given.seeds)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation, 0 of a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def right(runs: Sequence[Mapping[str, Any]], key: str = "accuracy") -> str:
    """Return mean and deviation of shares of right answers; runs that were stopped are at chance, and counted."""
    mean, deviation = spread([each[key] for each in runs])
    stopped = sum(bool(each["stopped"]) for each in runs)
    return f"{mean:.1%} ± {deviation:.1%}" + (f", {stopped} of {len(runs)} stopped" if stopped else "")


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    made = Table(*head, title=title)
    for row in rows:
        made.add_row(*row)
    Console(width=140 if not sys.stdout.isatty() else None).print(made)


def plot(
    file: Path,
    title: str,
    axes: tuple[str, str],
    lines: Mapping[str, tuple[Sequence[float], Sequence[Sequence[float]]]],
    *,
    log: bool = False,
) -> None:
    """Draw lines with their spread over seeds, where matplotlib is installed.

    Parameters:
        file: SVG.
        title: of the plot.
        axes: what they show.
        lines: by name: places on the first axis, and for each seed the values.
        log: whether the second axis is logarithmic.
    """
    try:
        import matplotlib
    except ImportError:
        print(f"matplotlib is missing, so {file.name} is not drawn: pip install 'macgen[plot]'")
        return
    matplotlib.use("svg")
    from matplotlib import pyplot, ticker

    if not lines:
        return
    figure, axis = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    for number, (name, (places, runs)) in enumerate(lines.items()):
        values = np.asarray(runs, dtype=np.float64)
        middle, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0, ddof=int(len(values) > 1))
        axis.plot(places, middle, "os^vDX*P<>"[number % 10] + "-", label=name, markersize=4)
        axis.fill_between(places, middle - deviation, middle + deviation, alpha=0.15)
    axis.set(title=title, xlabel=axes[0], ylabel=axes[1], yscale="log" if log else "linear")
    axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "macgen"}):
        figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
    print(f"drawn: {file}")
