"""What tests see of other processes."""

import time
from pathlib import Path


def in_session(session: int) -> list[int]:
    """Return the processes of a session that are not dead."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of_session = file.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # ended meanwhile
            continue
        if int(of_session) == session and state not in "XZ":
            found.append(int(file.parent.name))
    return found


def wait_until(condition):
    """Wait until a condition holds, at most half a minute."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
