"""What was compiled once is not compiled again: one store of objects for all tests of a run, and all its workers."""

import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.flow import compile_cache


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
