"""As the tests of training: one thread, and no waiting for the disk."""

from tests.training.conftest import fast_disk, one_thread

__all__ = ["fast_disk", "one_thread"]
