"""Ctrl-C in a program that goes on."""

from __future__ import annotations

import signal

import pytest

from acytoo_sdk.cli.chatting.interrupts import Interrupts
from acytoo_sdk.cli.chatting.plain_lines import PlainLines
from acytoo_sdk.cli.display.terminal import Terminal


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_it_is_no_exception_and_stops_what_can_be_stopped() -> None:
    stopped: list[int] = []
    with Interrupts() as interrupts:
        interrupt()
        interrupts.forget()
        with interrupts.stopping(lambda: stopped.append(1)):
            assert stopped == []
            interrupt()
            interrupt()
        interrupt()
    assert stopped == [1, 1]


def test_what_came_just_before_stops_too() -> None:
    stopped: list[int] = []
    with Interrupts() as interrupts:
        interrupt()
        with interrupts.stopping(lambda: stopped.append(1)):
            assert stopped == [1]


def test_it_is_an_exception_once_where_that_is_asked_for() -> None:
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.raising():
            interrupt()
        interrupt()
        with interrupts.raising():
            pass
        interrupt()


def test_a_burst_is_one_exception() -> None:
    """Those that come while the first is on its way do nothing."""
    reached: list[str] = []

    def interrupt_twice() -> None:
        try:
            interrupt()
        finally:
            interrupt()
            reached.append("the end")

    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt), interrupts.raising():
        interrupt_twice()
    assert reached == ["the end"]


def test_afterwards_all_is_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="out"), Interrupts():
        raise ValueError("out")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(("cause", "is_burst"), [(KeyboardInterrupt(), True), (None, False)])
def test_a_burst_that_python_itself_trips_over_drops_the_line(
    cause: KeyboardInterrupt | None, is_burst: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tripping() -> str:
        raise SystemError("<function> returned a result with an exception set") from cause

    monkeypatch.setattr("builtins.input", tripping)
    with Interrupts() as interrupts:
        lines = PlainLines(Terminal(), interrupts)
        if is_burst:
            assert lines.read_line() == ""
        else:
            with pytest.raises(SystemError):
                lines.read_line()
