"""Turns of threads: who goes together, who waits, and who goes first."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from inspection.workspace.turns import Turns

LONG = 10.0  # seconds, which no test waits


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_those_that_share_go_together() -> None:
    turns, meeting = Turns(), threading.Barrier(3)

    def meet() -> None:
        with turns.take(LONG, alone=False):
            meeting.wait(LONG)

    with ThreadPoolExecutor(3) as threads:
        for each in [threads.submit(meet) for _ in range(3)]:
            each.result()


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_one_alone_goes_with_nobody(first: bool, second: bool) -> None:
    turns = Turns()
    with turns.take(LONG, alone=first), pytest.raises(TimeoutError), turns.take(0.01, alone=second):
        pass
    with turns.take(0.01, alone=second):
        pass


def test_who_waits_to_be_alone_goes_before_those_that_come_later() -> None:
    turns, order = Turns(), list[str]()

    def take(name: str, alone: bool) -> None:
        with turns.take(LONG, alone=alone):
            order.append(name)

    with ThreadPoolExecutor(2) as threads, turns.take(LONG, alone=False):
        threads.submit(take, "writer", True)
        until(lambda: turns._waiting == 1)
        threads.submit(take, "reader", False)
        time.sleep(0.02)
        assert order == []
    assert order == ["writer", "reader"]


def test_who_gave_up_waiting_holds_nobody_back() -> None:
    turns = Turns()
    with turns.take(LONG, alone=False):
        with pytest.raises(TimeoutError), turns.take(0.01, alone=True):
            pass
        with turns.take(0.01, alone=False):
            pass


def test_an_exception_ends_the_turn() -> None:
    turns = Turns()
    for alone in (True, False):
        with pytest.raises(ZeroDivisionError), turns.take(LONG, alone=alone):
            raise ZeroDivisionError
    with turns.take(0.01, alone=True):
        pass
