"""Work on threads: everything once, errors to the caller, nothing left behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
from collections.abc import Iterator

import pytest
from tests.interrupts import start_interruptible

from prepixel.data.parallel import map_in_order, map_unordered


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("prepixel worker")]


@pytest.mark.parametrize("threads", [1, 3, 0])
@pytest.mark.parametrize("count", [0, 1, 101])
def test_every_item_is_worked_on_once(threads: int, count: int) -> None:
    assert sorted(map_unordered(lambda n: n * n, range(count), threads)) == [n * n for n in range(count)]
    assert not ours()


def test_results_that_are_none_are_results() -> None:
    assert list(map_unordered(lambda _: None, range(7), 2)) == [None] * 7


def test_items_are_drawn_no_further_ahead_than_a_few() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for n in range(1009):
            drawn.append(n)
            yield n

    with contextlib.closing(map_unordered(lambda n: n, items(), 2)) as results:
        next(results)
        assert len(drawn) < 13
    assert len(drawn) < 13
    assert not ours()


def test_results_that_wait_for_a_slow_one_are_no_more_than_a_few() -> None:
    release, begun = threading.Event(), list[int]()

    def work(n: int) -> int:
        begun.append(n)
        if n == 0:
            release.wait(10)
        return n

    threading.Timer(0.3, release.set).start()
    with contextlib.closing(map_in_order(work, range(1009), 2, ahead=2)) as results:
        assert next(results) == 0
        assert len(begun) <= 6  # four ahead, and what the first one's token is for
        assert list(results) == list(range(1, 1009))
    assert not ours()


def test_an_error_of_the_work_reaches_the_caller_and_ends_the_threads() -> None:
    def fail(n: int) -> int:
        if n == 5:
            raise ArithmeticError("the fifth")
        return n

    with pytest.raises(ArithmeticError, match="the fifth"):
        list(map_unordered(fail, range(1009), 3))
    assert not ours()


def test_an_error_of_the_items_reaches_the_caller() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(map_unordered(lambda n: n, items(), 2))


def test_an_interrupt_ends_it_wherever_it_strikes() -> None:
    """Nothing but items at full speed, so that the interrupt falls where the queues are at work."""
    code = (
        "import contextlib, itertools, sys\n"
        "from prepixel.data.parallel import map_unordered\n"
        "with contextlib.closing(map_unordered(abs, itertools.count(), 2)) as results:\n"
        "    for n in results:\n"
        "        if n == 100: print('going', flush=True)\n"
    )
    with start_interruptible(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"going\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in err
