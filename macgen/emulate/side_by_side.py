"""Work of NumPy and of kernels, which release the GIL, in threads."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

Job = tuple[Callable[..., None], tuple[Any, ...]]
"""A function and its arguments."""


def side_by_side(jobs: Sequence[Job], threads: int) -> None:
    """Do jobs in up to so many threads, of which the caller's is one; fewer where the system refuses them.

    The first failure or interrupt drops the jobs that have not begun, and is raised.
    """
    waiting, lock = iter(jobs), threading.Lock()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not failures:
                with lock:
                    job, arguments = next(waiting, (None, ()))
                if job is None:
                    return
                job(*arguments)
        except BaseException as error:
            failures.append(error)

    others: list[threading.Thread] = []
    try:
        for _ in range(min(threads, len(jobs)) - 1):
            thread = threading.Thread(target=work)
            try:
                thread.start()
            except RuntimeError:
                break
            others.append(thread)
        work()
        for thread in others:
            thread.join()
    except BaseException as error:
        failures.append(error)
        for thread in others:
            thread.join()
    try:
        if failures:
            raise failures[0]
    finally:
        failures.clear()  # its traceback leads here: without this, arrays would stay for a while


def available_processors() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
