"""Work done ahead: in order, bounded, and honest about the time spent waiting."""

import threading
import time

import pytest

from minires.data import Prefetch


def test_results_come_in_order_whichever_is_ready_first():
    def work(number):
        time.sleep(0.002 * (7 - number))
        return number * number

    assert list(Prefetch(work, 8, workers=3, ahead=4)) == [n * n for n in range(8)]


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_any_count_whether_more_or_fewer_than_ahead(count):
    prefetch = Prefetch(str, count, ahead=3)
    assert list(prefetch) == [str(n) for n in range(count)]
    assert len(prefetch) == count


def test_never_more_than_ahead_are_begun():
    begun = []
    results = iter(Prefetch(begun.append, 100, workers=2, ahead=5))
    next(results)
    time.sleep(0.05)
    assert len(begun) == 5
    next(results)
    time.sleep(0.05)
    assert len(begun) == 6
    results.close()


def test_an_error_comes_in_its_turn():
    results = iter(Prefetch(lambda n: 1 // (2 - n), 4, ahead=4))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_no_thread_stays_behind_when_the_user_leaves():
    before = set(threading.enumerate())  # other tests' streams may still be open
    results = iter(Prefetch(str, 50, ahead=10))
    next(results)
    threads = set(threading.enumerate()) - before
    assert [thread for thread in threads if thread.name.startswith("prefetch")]
    results.close()
    for thread in threads:
        thread.join(10)
    assert not set(threading.enumerate()) - before


def test_who_leaves_waits_for_no_thread():
    """Else a process hangs whose garbage collector ends an iteration while a thread starts."""
    begun, go_on = threading.Event(), threading.Event()

    def work(number):
        if number:
            begun.set()
            go_on.wait(20)

    results = iter(Prefetch(work, 5, ahead=2))
    next(results)
    assert begun.wait(20)
    started = time.perf_counter()
    results.close()
    assert time.perf_counter() - started < 5
    go_on.set()


def test_waiting_is_what_the_user_waits():
    slow = Prefetch(lambda _: time.sleep(0.05), 4, workers=1, ahead=1)
    list(slow)
    assert slow.waited >= 0.19
    fast = Prefetch(lambda _: time.sleep(0.001), 4, ahead=4)
    for _ in fast:
        time.sleep(0.02)
    assert fast.waited < 0.05


@pytest.mark.parametrize("name", ["workers", "ahead"])
def test_none_gets_a_sentence(name):
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, but is 0"):
        Prefetch(str, 4, **{name: 0})
