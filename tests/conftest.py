"""Settings that all tests share."""

import os
import shlex
import signal
import sys
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
