"""Settings that all tests share."""

import os
import signal

from hypothesis import HealthCheck, settings

# The same examples in every run, so that a red run can be repeated; `HYPOTHESIS_PROFILE=explore` looks further.
_common = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("reproducible", derandomize=True, max_examples=100, **_common)
settings.register_profile("explore", max_examples=2000, **_common)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reproducible"))

# A shell starts jobs in the background with interrupts ignored, which the tests of interrupts would inherit.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
