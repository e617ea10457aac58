"""Compilers and the cache of what they make: which one is taken, what is kept, and what happens when nothing works."""

import ctypes
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from macgen.emulate import compiler, kernel_cache

PATH, CP, SLEEP, GREP = os.environ["PATH"], *map(shutil.which, ("cp", "sleep", "grep"))

ANSWER = 'extern "C" int answer() { return 42; }'


@pytest.fixture(scope="module")
def answer(tmp_path_factory) -> Path:
    """What a compiler makes of the source."""
    library = tmp_path_factory.mktemp("answer") / "answer.so"
    next(compiler.compilers()).compile(ANSWER, library, "-O1")
    return library


@pytest.fixture(autouse=True)
def _fresh(monkeypatch, tmp_path, answer):
    """A process that has not compiled anything, with a cache folder of its own; its g++ is quick."""
    only(monkeypatch, tmp_path / "quick", gxx=f"echo x >> {tmp_path}/runs; exec {CP} {answer} kernel.so")
    monkeypatch.setattr(kernel_cache, "_loaded", {})
    monkeypatch.setattr(kernel_cache, "_failures", {})
    monkeypatch.setattr(kernel_cache, "_unusable", set())
    monkeypatch.setattr(kernel_cache, "_told", set())
    kernel_cache._remove_temporary_folder()
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tmp_path.chmod(0o700)
    yield
    kernel_cache._remove_temporary_folder()


def runs(tmp_path):
    """How often the quick compiler ran."""
    return (tmp_path / "runs").read_text().count("x")


def kept(tmp_path):
    return sorted((tmp_path / "cache" / "macgen" / "kernels").glob("*"))


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def only(monkeypatch, folder: Path, **scripts: str) -> None:
    """Let the PATH have these compilers only, and no wheel bring one."""
    folder.mkdir()
    for name, text in scripts.items():
        script(folder / name.replace("gxx", "g++").replace("clangxx", "clang++"), text)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(compiler, "_wheel", lambda: None)


def test_a_library_is_compiled_once_and_kept(tmp_path):
    assert kernel_cache.load(ANSWER).answer() == 42
    assert kernel_cache.load(ANSWER) is kernel_cache.load(ANSWER)
    kernel_cache._loaded.clear()
    assert kernel_cache.load(ANSWER).answer() == 42
    assert runs(tmp_path) == 1
    assert [path.suffix for path in kept(tmp_path)] == [".sha256", ".so"]
    kernel_cache._loaded.clear()
    assert kernel_cache.load(ANSWER, optimise="-O1").answer() == 42
    assert runs(tmp_path) == 2


def test_threads_compile_it_once(tmp_path):
    threads = [threading.Thread(target=kernel_cache.load, args=(ANSWER,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs(tmp_path) == 1


def test_another_source_compiler_processor_or_header_is_another_kernel(monkeypatch, tmp_path):
    kernel_cache.load(ANSWER)
    kernel_cache.load(ANSWER + " ")
    assert len(kept(tmp_path)) == 4
    for name in ("_processor", "_headers"):
        with monkeypatch.context() as patch:
            patch.setattr(kernel_cache, name, lambda: "another")
            kernel_cache._loaded.clear()
            kernel_cache.load(ANSWER)
    assert len(kept(tmp_path)) == 8
    monkeypatch.setattr(compiler, "_identity", lambda path: "another version")
    kernel_cache._loaded.clear()
    kernel_cache.load(ANSWER)
    assert len(kept(tmp_path)) == 10


@pytest.mark.parametrize(
    "spoil",
    [
        lambda library, note: library.write_bytes(b""),
        lambda library, note: library.write_bytes(library.read_bytes()[:-1000]),
        lambda library, note: library.unlink(),
        lambda library, note: note.unlink(),
        lambda library, note: note.write_bytes(b"\xff"),
    ],
    ids=["empty", "cut short", "missing", "without its digest", "with another digest"],
)
def test_a_broken_file_is_made_anew(spoil, tmp_path):
    kernel_cache.load(ANSWER)
    note, library = kept(tmp_path)
    whole = library.read_bytes()
    (tmp_path / "copy").write_bytes(whole)
    (tmp_path / "copy").replace(library)  # what is loaded stays as it is
    spoil(library, note)
    kernel_cache._loaded.clear()
    assert kernel_cache.load(ANSWER).answer() == 42
    assert library.read_bytes() == whole


@pytest.mark.parametrize("mode", [0o720, 0o702])
@pytest.mark.parametrize("which", [0, 1], ids=["digest", "library"])
def test_a_file_that_others_may_write_to_is_made_anew(which, mode, tmp_path):
    kernel_cache.load(ANSWER)
    kept(tmp_path)[which].chmod(mode)
    kernel_cache._loaded.clear()
    assert kernel_cache.load(ANSWER).answer() == 42
    assert runs(tmp_path) == 2
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept(tmp_path)] == [0o600, 0o700]


def test_a_file_that_is_a_link_is_made_anew(tmp_path):
    kernel_cache.load(ANSWER)
    library = kept(tmp_path)[1]
    library.replace(tmp_path / "elsewhere")
    library.symlink_to(tmp_path / "elsewhere")
    kernel_cache._loaded.clear()
    assert kernel_cache.load(ANSWER).answer() == 42
    assert runs(tmp_path) == 2
    assert not library.is_symlink()


def test_leftovers_of_killed_processes_go(tmp_path):
    kernel_cache.load(ANSWER)
    folder = kept(tmp_path)[0].parent
    old, new = folder / "ab.1-2.so", folder / "ab.1-3.sha256"
    for path in (old, new):
        path.touch()
    for path in (old, *kept(tmp_path)[-2:]):
        os.utime(path, (0, 0))
    os.utime(new)
    kernel_cache.load(ANSWER + " ")
    assert not old.exists()
    assert new.exists()
    assert len(kept(tmp_path)) == 5


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_a_thread_compiles(monkeypatch, tmp_path, answer):
    hold = tmp_path / "hold"
    hold.touch()
    wait = f"while [ -e {hold} ]; do {SLEEP} 0.02; done"
    only(monkeypatch, tmp_path / "bin", gxx=f"echo x >> {tmp_path}/runs; {wait}; exec {CP} {answer} kernel.so")
    thread = threading.Thread(target=kernel_cache.load, args=(ANSWER,))
    thread.start()
    while not (tmp_path / "runs").exists():
        time.sleep(0.01)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        try:
            os._exit(kernel_cache.load(ANSWER).answer())
        finally:
            os._exit(1)
    hold.unlink()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    thread.join()


# -- compilers ---------------------------------------------------------------------------------------------------


def test_the_order_of_compilers(monkeypatch, tmp_path):
    only(monkeypatch, tmp_path / "bin", gxx="", clangxx="", mine="")
    assert [found.name for found in compiler.compilers()] == ["g++", "clang++"]
    monkeypatch.setenv("CXX", "mine -m64")
    assert [found.name for found in compiler.compilers()] == ["$CXX (mine)", "g++", "clang++"]
    assert next(compiler.compilers()).command == (str(tmp_path / "bin" / "mine"), "-m64")
    monkeypatch.setenv("MACGEN_GXX", str(tmp_path / "bin" / "mine"))
    assert list(compiler.compilers())[1].command == (str(tmp_path / "bin" / "mine"),)


def test_the_wheel_comes_last(monkeypatch, tmp_path):
    monkeypatch.undo()
    (tmp_path / "ziglang").mkdir()
    (tmp_path / "ziglang" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    last = list(compiler.compilers())[-1]
    assert (last.name, last.command) == ("zig", (sys.executable, "-m", "ziglang", "cc", "-x", "c++"))


def test_without_a_compiler_one_notice_says_so(monkeypatch, tmp_path):
    only(monkeypatch, tmp_path / "bin")
    with pytest.warns(RuntimeWarning, match=r"^no C\+\+ compiler was found .*NumPy instead, some .* slower; install"):
        assert kernel_cache.load(ANSWER) is None
    assert kernel_cache.load(ANSWER) is None  # a second warning would be an error
    assert kernel_cache.load(ANSWER + " ") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo it is broken >&2; exit 3", r"g\+\+ failed with exit code 3: .*it is broken.*; its log is \S+log.txt\. "),
        ("kill -9 $$", r"g\+\+ was ended by SIGKILL: .*; its log is "),
    ],
)
def test_a_compiler_that_fails_is_not_asked_again(text, message, monkeypatch, tmp_path):
    calls = tmp_path / "calls"
    only(monkeypatch, tmp_path / "bin", gxx=f"echo x >> {calls}; {text}")
    with pytest.warns(RuntimeWarning, match=f"^{message}.*NumPy instead"):
        assert kernel_cache.load(ANSWER) is None
    assert calls.read_text() == "x\nx\n"  # with the processor's own instructions, and without
    for spaces in range(1, 4):
        assert kernel_cache.load(ANSWER + spaces * " ") is None  # a second warning would be an error
    assert calls.read_text() == "x\n" * 2 * kernel_cache.FAILURES
    assert kept(tmp_path) == []


def test_a_compiler_that_failed_keeps_its_kernels_and_may_make_others(monkeypatch, tmp_path, answer):
    only(monkeypatch, tmp_path / "bin", gxx=f"{GREP} -q poor kernel.cpp || exec {CP} {answer} kernel.so; exit 1")
    kernel_cache.load(ANSWER)
    kernel_cache._loaded.clear()
    with pytest.warns(RuntimeWarning, match="NumPy instead"):
        assert kernel_cache.load("poor") is None
    assert kernel_cache.load(ANSWER + " ").answer() == 42
    for number in range(kernel_cache.FAILURES):
        assert kernel_cache.load(f"poor {number}") is None
    assert kernel_cache.load(ANSWER + "  ") is None
    assert kernel_cache.load(ANSWER).answer() == 42


def test_a_compiler_that_hangs(monkeypatch, tmp_path):
    only(monkeypatch, tmp_path / "bin", gxx=f"{SLEEP} 60")
    monkeypatch.setattr(compiler, "TIME_LIMIT_S", 0.1)
    with pytest.warns(RuntimeWarning, match=r"^g\+\+ was stopped after its limit of 0.1 s; .*NumPy instead"):
        assert kernel_cache.load(ANSWER) is None


def test_a_compiler_that_knows_no_native_code(monkeypatch, tmp_path):
    quick = next(compiler.compilers()).command[0]
    simple = script(tmp_path / "simple", f'case "$*" in *-march=native*) exit 1;; esac; exec {quick}')
    monkeypatch.setenv("CXX", str(simple))
    assert kernel_cache.load(ANSWER).answer() == 42


@pytest.mark.parametrize("chosen", ["/nowhere/c++", "false", "'"])
def test_a_chosen_compiler_that_fails_is_told(chosen, monkeypatch, tmp_path):
    script(tmp_path / "quick" / "false", "exit 1")
    monkeypatch.setenv("CXX", chosen)
    reason = r"\$CXX \(false\) failed with exit code 1: .*" if chosen == "false" else "CXX is .*no executable file"
    with pytest.warns(RuntimeWarning, match=rf"^{reason}.*\. macgen.emulate compiles with \S+ instead$"):
        assert kernel_cache.load(ANSWER).answer() == 42


def test_a_source_that_no_compiler_takes(monkeypatch):
    monkeypatch.setenv("PATH", PATH)
    with pytest.warns(RuntimeWarning, match=r"failed with exit code 1: .*error.*NumPy instead"):
        assert kernel_cache.load("int answer() { return }") is None


# -- the folder --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("open_one", ["cache", "cache/macgen", "cache/macgen/kernels"])
@pytest.mark.parametrize("mode", [0o720, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(open_one, mode, tmp_path):
    kernel_cache.load(ANSWER)
    before = kept(tmp_path)
    (tmp_path / "empty").touch(mode=0o700)
    (tmp_path / "empty").replace(kept(tmp_path)[1])  # what is loaded stays as it is
    (tmp_path / open_one).chmod(mode)
    kernel_cache._loaded.clear()
    with pytest.warns(RuntimeWarning, match=rf"^others may write to {tmp_path / open_one}, so .*`chmod go-w` that"):
        assert kernel_cache.load(ANSWER).answer() == 42
    assert kept(tmp_path)[1].read_bytes() == b""
    assert before == kept(tmp_path)


def test_a_sticky_folder_above_is_no_matter(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o1777)
    kernel_cache.load(ANSWER)
    assert len(kept(tmp_path)) == 2


@pytest.mark.parametrize("place", ["a file", "/proc/nowhere", "/dev/null/cache"])
def test_where_there_can_be_no_folder_a_temporary_one_serves(place, monkeypatch, tmp_path):
    if place == "a file":
        place = str(tmp_path / "file")
        Path(place).touch()
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    assert kernel_cache.load(ANSWER).answer() == 42
    assert kernel_cache._temporary


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    kernel_cache.load(ANSWER)
    real = os.access  # root may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode: "cache" not in str(path) and real(path, mode))
    kernel_cache._loaded.clear()
    assert kernel_cache.load(ANSWER + " ").answer() == 42
    assert len(kept(tmp_path)) == 2


def test_no_space_is_left_in_the_folder(monkeypatch, tmp_path):
    real = kernel_cache._make

    def make(compiler, source, optimise, path):
        if path.is_relative_to(tmp_path / "cache"):
            raise OSError(28, "No space left on device")
        return real(compiler, source, optimise, path)

    tried = []
    monkeypatch.setattr(kernel_cache, "_make", lambda *of: (tried.append(of[-1]), make(*of))[1])
    assert kernel_cache.load(ANSWER).answer() == 42
    assert kernel_cache.load(ANSWER + " ").answer() == 42
    assert [path.is_relative_to(tmp_path / "cache") for path in tried] == [True, False, False]


def test_folders_are_the_users_own(tmp_path):
    umask = os.umask(0)
    try:
        kernel_cache.load(ANSWER)
    finally:
        os.umask(umask)
    for folder in ("cache", "cache/macgen", "cache/macgen/kernels"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


def test_relative_cache_folders_are_ignored_as_the_standard_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    kernel_cache.load(ANSWER)
    assert len(list((tmp_path / "home" / ".cache" / "macgen" / "kernels").iterdir())) == 2


def test_the_temporary_folder_goes_with_the_process(tmp_path):
    script = (
        "from macgen.emulate import kernel_cache\n"
        f"assert kernel_cache.load({ANSWER!r}).answer() == 42\n"
        "print(kernel_cache._temporary_folder())\n"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": "/dev/null/x"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    assert not Path(result.stdout.strip()).exists()


def test_the_temporary_folder_goes_with_a_process_that_is_killed():
    script = (
        "import os, signal\n"
        "from macgen.emulate import kernel_cache\n"
        f"assert kernel_cache.load({ANSWER!r}).answer() == 42\n"
        "print(kernel_cache._temporary_folder(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": "/dev/null/x", "PATH": f"{os.environ['PATH']}:{PATH}"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120
    )
    assert result.returncode == -signal.SIGKILL
    folder, until = Path(result.stdout.strip()), time.monotonic() + 20
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert folder.name.startswith("macgen-")
    assert not folder.exists()


# -- how much is kept ----------------------------------------------------------------------------------------------


def test_what_was_not_used_for_the_longest_time_goes(monkeypatch, tmp_path):
    kernel_cache.load(ANSWER)
    size = kept(tmp_path)[1].stat().st_size
    monkeypatch.setattr(kernel_cache, "KEPT_BYTES", 3 * size + size // 2)
    names = {" ": {path.stem for path in kept(tmp_path)}}
    for number in range(2, 5):
        if number == 4:  # the first one is used again, so the second one goes
            for path in kept(tmp_path):
                os.utime(path, (1e9 + (path.stem in names["  "]), 1e9 + (path.stem in names["  "])))
            for path in kept(tmp_path):
                if path.stem in names["   "]:
                    os.utime(path, (2e9, 2e9))
            kernel_cache._loaded.clear()
            assert kernel_cache.load(ANSWER).answer() == 42
        before = {path.stem for path in kept(tmp_path)}
        kernel_cache.load(ANSWER + " " * number)
        names[" " * number] = {path.stem for path in kept(tmp_path)} - before
    assert {path.stem for path in kept(tmp_path)} == names[" "] | names["   "] | names["    "]
    assert len(kept(tmp_path)) == 6


def test_the_newest_stays_however_large_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel_cache, "KEPT_BYTES", 1)
    for source in (ANSWER, ANSWER + " "):
        assert kernel_cache.load(source).answer() == 42
        assert len(kept(tmp_path)) == 2


def test_others_may_remove_files_meanwhile(monkeypatch, tmp_path):
    kernel_cache.load(ANSWER)
    real = Path.glob
    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", lambda folder, pattern: [*real(folder, pattern), folder / "gone.so"])
        assert kernel_cache.load(ANSWER + " ").answer() == 42
    assert len(kept(tmp_path)) == 4


def test_calls_release_the_global_lock():
    library = kernel_cache.load(ANSWER)
    assert isinstance(library, ctypes.CDLL)
    assert not isinstance(library, ctypes.PyDLL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert library.answer() == 42
