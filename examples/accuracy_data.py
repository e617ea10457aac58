"""Trained networks that Python packages bring, and labelled examples that are found or made on this machine."""

import hashlib
import importlib.util
import os
import shutil
import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macgen.errors import MacgenError
from macgen.lifetime import temporary_directory
from macgen.tools.commands import run

Array = NDArray[Any]

SEED = 20261130


@dataclass(frozen=True)
class Task:
    """A network with labelled examples.

    Attributes:
        title: what it does.
        model: its file.
        samples: its inputs.
        labels: the right answers.
        chance: share of right answers of the best constant guess.
        batch: examples computed together; None: as memory suggests.
        decide: makes answers of results; None: the largest value.
        few: how many examples the planner looks at.
    """

    title: str
    model: Path
    samples: dict[str, Array]
    labels: Array
    chance: float
    batch: int | None = None
    decide: Callable[[Array], Array] | None = None
    few: int = 32


def model_of(package: str, pattern: str, install: str) -> Path:
    """Return the model file of an installed package, which is not imported.

    Raises:
        MacgenError: the package or the file is not there.
    """
    spec = importlib.util.find_spec(package)
    found = sorted(Path(folder) for folder in (spec.submodule_search_locations or ()) if spec) if spec else []
    files = [file for folder in found for file in sorted(folder.glob(pattern))]
    if not files:
        raise MacgenError(f"package {package!r} with {pattern} is missing: pip install {install}")
    return files[-1]


def _chance(labels: Array) -> float:
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


# -- file types: magika ------------------------------------------------------------------------------------------------

ENDINGS = {
    ".bat": "batch", ".bmp": "bmp", ".c": "c", ".cmake": "cmake", ".cpp": "cpp", ".cc": "cpp", ".cs": "cs",
    ".css": "css", ".csv": "csv", ".diff": "diff", ".patch": "diff", ".eml": "eml", ".gif": "gif", ".go": "go",
    ".gz": "gzip", ".h5": "h5", ".html": "html", ".ico": "ico", ".ini": "ini", ".ipynb": "ipynb", ".java": "java",
    ".class": "javabytecode", ".js": "javascript", ".mjs": "javascript", ".jpg": "jpeg", ".jpeg": "jpeg",
    ".json": "json", ".lua": "lua", ".m4": "m4", ".md": "markdown", ".mp3": "mp3", ".npy": "npy", ".npz": "npz",
    ".odt": "odt", ".onnx": "onnx", ".otf": "otf", ".parquet": "parquet", ".pdf": "pdf", ".pem": "pem", ".php": "php",
    ".pkl": "pickle", ".pl": "perl", ".pm": "perl", ".png": "png", ".po": "po", ".ps": "postscript",
    ".proto": "proto", ".ps1": "powershell", ".py": "python", ".pyc": "pythonbytecode", ".rb": "ruby", ".rs": "rust",
    ".rst": "rst", ".scss": "scss", ".sh": "shell", ".so": "elf", ".o": "coff", ".sql": "sql", ".svg": "svg",
    ".swift": "swift", ".tar": "tar", ".tcl": "tcl", ".tex": "latex", ".tif": "tiff", ".tiff": "tiff",
    ".toml": "toml", ".ts": "typescript", ".ttf": "ttf", ".v": "verilog", ".vhd": "vhdl", ".wasm": "wasm",
    ".wav": "wav", ".webp": "webp", ".whl": "zip", ".woff": "woff", ".woff2": "woff2", ".xls": "xls",
    ".xlsx": "xlsx", ".xml": "xml", ".xz": "xz", ".yaml": "yaml", ".yml": "yaml", ".zip": "zip",
}  # fmt: skip
del ENDINGS[".o"]  # on Linux these are ELF, and magika has no name for objects

MOST_OF_A_KIND = 60
LEAST_OF_A_KIND = 5


def files(count: int) -> Task:
    """Return magika's network with files of this machine, as many of each kind as there are, labelled by their endings.

    Raises:
        MacgenError: the package is missing, or there are too few files.
    """
    import json

    model = model_of("magika", "models/standard_*/model.onnx", "magika")
    config = json.loads((model.parent / "config.min.json").read_text(encoding="utf-8"))
    names = config["target_labels_space"]
    of_kind = _files_by_kind([Path(sys.prefix), Path("/usr")], set(names))
    each = {kind: paths[:MOST_OF_A_KIND] for kind, paths in of_kind.items() if len(paths) >= LEAST_OF_A_KIND}
    # Rounds over the kinds, so that fewer examples have fewer of each kind and not fewer kinds.
    rounds = [(place, kind) for place in range(MOST_OF_A_KIND) for kind in sorted(each) if place < len(each[kind])][
        :count
    ]
    if len(rounds) < count or len(each) < 12:
        raise MacgenError(
            f"{len(rounds)} files of {len(each)} kinds are found below {sys.prefix} and /usr; accepted are {count} of "
            f"12 kinds or more"
        )
    rows = [_bytes_of(each[kind][place], config) for place, kind in rounds]
    labels = np.array([names.index(kind) for _, kind in rounds])
    kinds = len({kind for _, kind in rounds})
    title = f"File types (magika), {count} files of {kinds} kinds"
    return Task(title, model, {"bytes": np.array(rows, np.int32)}, labels, _chance(labels))


def _files_by_kind(roots: list[Path], names: set[str]) -> dict[str, list[Path]]:
    """Return different regular files by kind, in an order that has nothing to do with where they lie."""
    found: dict[str, dict[str, Path]] = {}
    for root in dict.fromkeys(roots):
        for folder, folders, entries in os.walk(root):
            folders.sort()
            for entry in sorted(entries):
                path = Path(folder, entry)
                kind = ENDINGS.get(path.suffix.lower())
                if kind in names and not path.is_symlink() and path.is_file() and path.stat().st_size >= 64:
                    key = hashlib.sha256(f"{SEED} {path.name}".encode()).hexdigest()
                    found.setdefault(str(kind), {}).setdefault(key, path)
    return {kind: [paths[key] for key in sorted(paths)] for kind, paths in found.items()}


def _bytes_of(path: Path, config: dict[str, Any]) -> list[int]:
    """Return what magika's network sees of a file: its first and its last bytes, white space around them removed."""
    size, first, last = config["block_size"], config["beg_size"], config["end_size"]
    with path.open("rb") as file:
        begin = file.read(size).lstrip()[:first]
        file.seek(max(0, path.stat().st_size - size))
        end = file.read(size).rstrip()[-last:]
    padding = [config["padding_token"]]
    return [*begin, *padding * (first - len(begin)), *padding * (last - len(end)), *end]


# -- text: rapidocr ----------------------------------------------------------------------------------------------------

_WORDS = (
    "about above after again along always among animal answer around because before began being below between book "
    "both bring build carry change children city close country course cover cross different during each early earth "
    "eight enough even every example eyes face family father feet figure final first five follow found four friend "
    "garden give good great green ground grow hand hard head hear heard help here high home horse house hundred idea "
    "important inside island journey keep kind knew know land language large last later learn leave left letter life "
    "light line list listen little live long look made make many mark measure might mile money morning mother mountain "
    "move music name near never next night north notice number often once open order other page paper part people "
    "picture piece place plain plan plant point power problem question quick quiet rain reach ready river road rock "
    "room round second sentence several short should simple since sister small something song sound south space spell "
    "stand start state still stone stop story street strong study summer table talk tell thing think thought thousand "
    "three through time today together took tree true turn under until upon valley voice walk warm watch water weight "
    "white whole window winter without wonder word work world write year yellow young"
)
WORDS = _WORDS.split()


def _fonts() -> list[Path]:
    import matplotlib as mpl

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return sorted(path for path in folder.glob("DejaVuS*.ttf") if "Display" not in path.name)


def _line(text: str, width: int, random: np.random.Generator, noise: float) -> Array:
    """Return a picture of a text, (3, 48, width), -1 to 1, on a background with noise; zeros right of it."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont

    fonts = _fonts()
    font = ImageFont.truetype(str(fonts[random.integers(len(fonts))]), int(random.integers(26, 40)))
    left, top, right, bottom = font.getbbox(text)
    margin = [int(size) for size in random.integers(3, 14, 4)]
    page = Image.new("L", (int(right - left) + margin[0] + margin[1], int(bottom - top) + margin[2] + margin[3]), 0)
    ImageDraw.Draw(page).text((margin[0] - left, margin[2] - top), text, fill=255, font=font)
    page = page.rotate(float(random.normal(0, 1.0)), resample=Image.Resampling.BILINEAR)
    page = page.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 1.2))))
    ink = np.asarray(page.resize((min(width, max(8, round(48 * page.width / page.height))), 48)), np.float32) / 255
    paper, colour = random.uniform(0.55, 1, 3), random.uniform(0, 0.4, 3)
    if random.random() < 0.2:
        paper, colour = colour, paper
    picture = paper[:, None, None] * (1 - ink) + colour[:, None, None] * ink
    picture = np.clip(picture + random.normal(0, noise, picture.shape), 0, 1)
    result = np.zeros((3, 48, width), np.float32)
    result[:, :, : ink.shape[1]] = 2 * picture - 1
    return result


def direction(count: int) -> Task:
    """Return the text-direction network of rapidocr-onnxruntime with lines of text, half of them upside down."""
    model = model_of("rapidocr_onnxruntime", "models/*_cls_*.onnx", "rapidocr-onnxruntime")
    random = np.random.default_rng(SEED)
    labels = np.arange(count) % 2
    pictures = []
    for label in labels:
        text = " ".join(random.choice(WORDS, int(random.integers(1, 4))))
        picture = _line(text, 192, random, noise=0.04)
        if label:
            width = int(np.flatnonzero(picture.any(axis=(0, 1))).max()) + 1
            picture[:, :, :width] = picture[:, ::-1, :width][:, :, ::-1]
        pictures.append(picture)
    return Task(f"Text direction (rapidocr), {count} lines", model, {"x": np.array(pictures)}, labels, _chance(labels))


def recognition(count: int) -> Task:
    """Return the text-recognition network of rapidocr-onnxruntime with words; right is a word without any mistake."""
    import onnx

    model = model_of("rapidocr_onnxruntime", "models/*_rec_*.onnx", "rapidocr-onnxruntime")
    stored = {item.key: item.value for item in onnx.load(model).metadata_props}
    signs = ["", *stored["character"].splitlines(), " "]
    random = np.random.default_rng(SEED)
    words = [str(word) for word in random.choice([word for word in WORDS if 4 <= len(word) <= 8], count)]
    pictures = [_line(word, 160, random, noise=0.06) for word in words]

    def read(result: Array) -> Array:
        """Return the words: the likeliest sign at each place, repetitions once, blanks left out."""
        best = result.argmax(axis=-1)
        kept = (best != 0) & np.concatenate([np.ones((len(best), 1), bool), best[:, 1:] != best[:, :-1]], axis=1)
        return np.array(
            ["".join(signs[sign] for sign in row[keep]).strip() for row, keep in zip(best, kept, strict=True)], "U40"
        )

    labels = np.array(words, "U40")
    return Task(
        f"Text recognition (rapidocr), {count} words", model, {"x": np.array(pictures)}, labels, _chance(labels),
        decide=read, few=8,
    )  # fmt: skip


# -- speech: silero-vad ------------------------------------------------------------------------------------------------

RATE = 16000
WINDOW, CONTEXT = 512, 64


def speech(count: int) -> Task:
    """Return silero's network with windows of 32 ms of speech by espeak-ng and of noises, both with noise behind.

    Raises:
        MacgenError: the package or espeak-ng is missing.
    """
    model = model_of("silero_vad", "data/silero_vad_16k_sequence.onnx", "--no-deps silero-vad")
    if shutil.which("espeak-ng") is None:
        raise MacgenError("espeak-ng, which speaks the examples, is missing: apt install espeak-ng")
    random = np.random.default_rng(SEED)
    sound, voiced = np.zeros(0, np.float32), np.zeros(0, bool)
    pieces = _pieces(random)
    while len(sound) < (count + 1) * WINDOW:
        piece, spoken = next(pieces)
        sound, voiced = np.concatenate([sound, piece]), np.concatenate([voiced, spoken])
    windows = [
        np.concatenate([np.zeros(CONTEXT, np.float32), sound])[place : place + CONTEXT + WINDOW]
        for place in range(0, count * WINDOW, WINDOW)
    ]
    labels = voiced[: count * WINDOW].reshape(count, WINDOW).mean(axis=1) > 0.5
    state = np.zeros((1, 1, 128), np.float32)
    return Task(
        f"Speech or not (silero-vad), {count} windows", model,
        {"input": np.array(windows, np.float32), "h": state, "c": state}, labels, _chance(labels), batch=count, few=256,
    )  # fmt: skip


def _pieces(random: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Yield sounds of a second or more, by turns speech and noises, and where there is a voice."""
    voices = ["en", "en+f3", "de", "fr", "es", "it", "en-us+m5", "pt"]
    number = 0
    while True:
        text = " ".join(random.choice(WORDS, int(random.integers(4, 9))))
        spoken = _spoken(text, voices[number % len(voices)], int(random.integers(130, 200)))
        spoken *= random.uniform(0.15, 0.6) / max(np.abs(spoken).max(), 1e-6)
        loud = np.sqrt(np.convolve(spoken**2, np.ones(1024) / 1024, "same")) > 0.02 * np.abs(spoken).max()
        yield spoken + random.normal(0, random.uniform(0.001, 0.02), spoken.shape), loud
        length = int(random.integers(RATE, 3 * RATE))
        noise = random.normal(0, 1, length)
        kind = number % 4
        if kind == 1:  # a rumble
            noise = np.convolve(noise, np.ones(64) / 8, "same")
        elif kind == 2:  # a hum with its overtones
            time = np.arange(length) / RATE
            noise = 0.1 * noise + sum(np.sin(2 * np.pi * 50 * k * time + k) / k for k in range(1, 9))
        elif kind == 3:  # clicks
            noise = 0.05 * noise + 5 * (random.random(length) < 0.001) * random.normal(0, 1, length)
        yield noise * random.uniform(0.005, 0.15), np.zeros(length, bool)
        number += 1


def _spoken(text: str, voice: str, speed: int) -> Array:
    with temporary_directory() as folder:
        path, log = folder.path / "speech.wav", folder.path / "log"
        run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", path, text], cwd=folder.path, log=log, timeout=60)
        with wave.open(str(path)) as file:
            rate, frames = file.getframerate(), file.readframes(file.getnframes())
    values = np.frombuffer(frames, np.int16).astype(np.float64) / 32768
    times = np.arange(int(len(values) * RATE / rate)) * rate / RATE
    smooth = np.convolve(values, [0.25, 0.5, 0.25], "same")  # before samples are left out
    return np.asarray(np.interp(times, np.arange(len(values)), smooth))


TASKS: dict[str, tuple[Callable[[int], Task], int]] = {
    "files": (files, 600),
    "direction": (direction, 400),
    "recognition": (recognition, 100),
    "speech": (speech, 2000),
}
"""Each task's name: what makes it, and how many examples it has by default."""
