"""What a signal does where nothing has to be saved: it ends the work, whatever library it comes in."""

import os
import signal

import pytest

from seq2x.errors import DataError, Stopped
from seq2x.training.signals import Signals


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_ends_what_is_under_way(number, code):
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"run: stopped by {number.name}; nothing had to be saved") as caught:
        with Signals("run") as signals:
            send(number)
        pytest.fail("it went on")
    assert caught.value.exit_code == code and signals.caught == number
    assert signal.getsignal(number) == before


def test_a_library_that_catches_errors_does_not_swallow_it():
    """As torch does while it loads weights."""
    with pytest.raises(Stopped), Signals("run"):
        try:
            send()
        except Exception as error:
            raise RuntimeError("a parameter could not be loaded") from error


def test_a_library_that_makes_an_error_of_everything_does_not_hide_it():
    with pytest.raises(Stopped) as caught, Signals("run"):
        try:
            send()
        except BaseException:
            raise RuntimeError("no") from None
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_error_of_ours_is_told_all_the_same():
    with pytest.raises(DataError), Signals("run"):
        try:
            send()
        except BaseException:
            raise DataError("x.tsv", "no examples") from None


def test_what_has_to_be_saved_is_saved_first():
    with Signals("run") as signals, signals.gently():
        send(signal.SIGINT)
        assert signals.caught == signal.SIGINT
    with pytest.raises(RuntimeError), Signals("run") as signals, signals.gently():
        send()
        raise RuntimeError("a bug is a bug")
