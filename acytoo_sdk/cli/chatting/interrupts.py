"""Ctrl-C in a program that goes on: it stops what can be stopped, and is no exception anywhere else."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Interrupts:
    """Handles SIGINT for as long as the block lasts. To be used in the main thread.

    Python's own handler raises KeyboardInterrupt between any two steps, also while a file is written or a terminal is
    changed. So this one raises only where `raising` asks for it.
    """

    def __init__(self) -> None:
        self._stop: Callable[[], None] | None = None
        self._raises = False
        self._came = False

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def forget(self) -> None:
        """Has a SIGINT that came before this stop nothing later."""
        self._came = False

    @contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Has `stop` called for each SIGINT of the block, and at once if one came before, see `forget`.

        It is called between any two steps of the block: it must wait for no lock.
        """
        self._stop = stop
        try:
            if self._came:
                stop()
            yield
        finally:
            self._stop = None

    @contextmanager
    def raising(self) -> Iterator[None]:
        """The first SIGINT of the block is a KeyboardInterrupt, which the caller catches around it."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        if self._raises:
            self._raises = False  # first: then nothing that the exception passes has to see to it
            raise KeyboardInterrupt
        if self._stop is not None:
            self._stop()
