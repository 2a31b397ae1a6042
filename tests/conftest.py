"""For all tests: a busy machine is no reason to fail, and what is compiled once serves them all."""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
os.environ.setdefault("SEQ2X_CACHE", str(Path(tempfile.gettempdir()) / f"seq2x-tests-{os.getuid()}"))
