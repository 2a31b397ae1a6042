"""For all tests: a busy machine is no reason to fail, and what is compiled once serves them all."""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", steady, max_examples=30)
settings.register_profile("thorough", steady, max_examples=300)  # make test-all
settings.load_profile("quick")
os.environ.setdefault("SEQ2X_CACHE", str(Path(tempfile.gettempdir()) / f"seq2x-tests-{os.getuid()}"))
