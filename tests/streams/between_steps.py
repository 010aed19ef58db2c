"""Interrupting code between any two of its bytecodes, as signal handlers and finalisers do, in the same thread."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import CodeType, FrameType
from typing import Any


def file_of(function: object) -> str:
    """The file whose code is interrupted: that of a function."""
    code = getattr(function, "__code__", None)
    assert isinstance(code, CodeType)
    return code.co_filename


def run_interrupted(run: Callable[[], object], interrupts: Mapping[int, Callable[[], object]], *, file: str) -> int:
    """Calls `run`, and each interrupt before the bytecode, of all that this file executes, that has its number.

    Returns:
        How many bytecodes were executed; an interrupt of that number, or a higher one, was not called.
    """
    steps = 0

    def step(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        if event == "opcode":
            interrupt = interrupts.get(steps)
            steps += 1
            if interrupt is not None:
                interrupt()  # no trace is kept of what a trace function calls
        return step

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != file:
            return None
        frame.f_trace = step  # before the next line, or Python 3.13 takes no notice of it in this frame
        frame.f_trace_opcodes = True
        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        run()
    finally:
        sys.settrace(before)
    return steps
