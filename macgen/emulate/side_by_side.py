"""Work of NumPy and of kernels, which release the GIL, in threads."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Job = tuple[Callable[..., None], tuple[Any, ...]]
"""A function and its arguments."""


def side_by_side(jobs: Sequence[Job], threads: int) -> None:
    """Do jobs in threads; the first failure or interrupt drops those that have not begun."""
    if threads == 1 or len(jobs) == 1:
        for job, arguments in jobs:
            job(*arguments)
        return
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(job, *arguments) for job, arguments in jobs]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def available_processors() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
