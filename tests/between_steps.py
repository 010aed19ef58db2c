"""Interrupting code between any two of its bytecodes, as signal handlers and finalisers do, in the same thread."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any

PATIENCE = 10.0
"""Seconds after which what runs is taken to wait for ever."""


def file_of(function: object) -> str:
    """The file whose code is interrupted: that of a function."""
    code = getattr(function, "__code__", None)
    assert isinstance(code, CodeType)
    return code.co_filename


def run_interrupted(run: Callable[[], object], interrupts: Mapping[int, Callable[[], object]], *, file: str) -> int:
    """Calls `run`, and each interrupt before the bytecode, of all that this file executes, that has its number.

    All of it runs in a thread of its own, so that what traces this one, as coverage does, goes on.

    Returns:
        How many bytecodes were executed; an interrupt of that number, or a higher one, was not called.

    Raises:
        AssertionError: it does not end within `PATIENCE`.
        BaseException: what `run`, or an interrupt, raised.
    """
    tracer = _Tracer(run, interrupts, file)
    apart = threading.Thread(target=tracer.run, daemon=True)
    apart.start()
    apart.join(PATIENCE)
    assert not apart.is_alive(), f"it waits for ever, interrupted at {list(interrupts)}"
    if tracer.error is not None:
        raise tracer.error
    return tracer.steps


def interrupt_at_each_step(attempt: Callable[[int], int], *, stride: int = 1) -> int:
    """Calls `attempt` with each step at which there is something to interrupt; it returns how many there were.

    Returns:
        How many steps there are.
    """
    for step in itertools.count(0, stride):
        steps = attempt(step)
        if step >= steps:
            return steps
    raise AssertionError("there is an end")


class _Tracer:
    def __init__(self, run: Callable[[], object], interrupts: Mapping[int, Callable[[], object]], file: str) -> None:
        self.steps = 0
        self.error: BaseException | None = None
        self._run = run
        self._interrupts = interrupts
        self._file = file

    def run(self) -> None:
        sys.settrace(self._enter)
        try:
            self._run()
        except BaseException as error:
            self.error = error
        finally:
            sys.settrace(None)

    def _enter(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self._file:
            return None
        frame.f_trace = self._step  # before the next line, or Python 3.13 takes no notice of it in this frame
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "opcode":
            interrupt = self._interrupts.get(self.steps)
            self.steps += 1
            if interrupt is not None:
                interrupt()  # no trace is kept of what a trace function calls
        return self._step
