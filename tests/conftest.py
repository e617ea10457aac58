"""Settings that all tests share."""

import itertools
import os
import shlex
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import compile_cache

# The same examples in every run, so that a red run can be repeated; `HYPOTHESIS_PROFILE=explore` looks further.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("reproducible", derandomize=True, max_examples=100, **_common)
settings.register_profile("explore", max_examples=2000, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reproducible"))

# A shell starts jobs in the background with interrupts ignored, which the tests of interrupts would inherit.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make prove` and `make prove-all` what the mark `thinned` says of a parametrized test.

    `thinned(n)` keeps every n-th case in `make test` (n has no factor in common with what varies fastest),
    `thinned("some", "ids")` those with one of these ids, and `thinned()` none. With `prove=n` only every n-th of the
    others is left to `make prove`, and the rest to `make prove-all`.
    """
    for name, group in itertools.groupby(items, key=lambda item: item.nodeid.partition("[")[0]):
        cases = list(group)
        mark = cases[0].get_closest_marker("thinned")
        if mark is None:
            continue
        kept = set(mark.args)
        if mark.args and isinstance(step := mark.args[0], int):
            kept = {case.callspec.id for case in cases[::step]}
        elif len(cases) > len(kept) and (wrong := kept - {case.callspec.id for case in cases}):
            raise pytest.UsageError(f"{name} is thinned to {', '.join(sorted(wrong))}, which it has not")
        left = [case for case in cases if case.callspec.id not in kept]
        for number, case in enumerate(left):
            case.add_marker(pytest.mark.prove_all if number % mark.kwargs.get("prove", 1) else pytest.mark.prove)


# After an error that names a log its directory stays: here pytest deletes it with the directories of an earlier run.
@pytest.fixture(scope="session", autouse=True)
def _temporary_directories_of_this_run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        place = str(tmp_path_factory.mktemp("tmp"))
        patch.setattr(tempfile, "tempdir", place)
        patch.setenv("TMPDIR", place)
        yield


# What was compiled once is not compiled again: one store of objects for all tests of a run, and all its workers.
@pytest.fixture(scope="session")
def compiled_objects(tmp_path_factory) -> Path:
    base = tmp_path_factory.getbasetemp()
    store = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"
    store.mkdir(exist_ok=True)
    return store


@pytest.fixture(scope="session", autouse=True)
def _compile_the_runtime_once(compiled_objects):
    with pytest.MonkeyPatch.context() as patch:
        launcher = [sys.executable, "-S", "-E", compile_cache.__file__, str(compiled_objects)]
        patch.setenv("OBJCACHE", shlex.join(launcher))
        yield
