import threading

import pytest
import torch

from seq2x.tasks.workers import in_order

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_parts_are_worked_on_at_once_with_one_thread_each_and_come_back_in_order():
    both = threading.Barrier(2, timeout=20)
    grads = []

    def work(part):
        grads.append(torch.is_grad_enabled())
        if part < 2:
            both.wait()  # passes only if two are at work
        return part, torch.get_num_threads()

    with torch.no_grad():
        assert in_order(work, range(7), CPU) == [(part, 1) for part in range(7)]
    assert torch.get_num_threads() == 2
    assert not any(grads)


def test_a_single_part_has_all_threads_unless_parts_are_to_be_alike():
    def work(part):
        return torch.get_num_threads()

    assert in_order(work, [0], CPU) == [2]
    assert in_order(work, [0], CPU, alike=True) == [1]
    assert in_order(work, [], CPU) == in_order(work, [], CPU, alike=True) == []
    assert torch.get_num_threads() == 2


def test_an_error_of_one_part_is_everybodys():
    done = []

    def work(part):
        if part == 1:
            raise ValueError("part 1")
        done.append(part)

    with pytest.raises(ValueError, match="part 1"):
        in_order(work, range(100), CPU)
    assert len(done) < 100
    assert torch.get_num_threads() == 2


def test_elsewhere_one_after_the_other():
    main = threading.get_ident()
    assert in_order(lambda part: threading.get_ident(), [0, 1], torch.device("meta")) == [main, main]
