"""The listeners of one call: who is told of its events, and from where."""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
from collections.abc import Sequence
from contextvars import copy_context

from ..events import Event, Listener

# How long to wait for a listener, in seconds, where it is not safe to wait.
_PATIENCE = 0.1


class Listeners:
    """Those who listen to one call, and the context that it was started in.

    Args:
        listeners: called one after the other.
    """

    __slots__ = ("_context", "_listeners")

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners
        self._context = copy_context()

    def tell(self, event: Event) -> None:
        """Calls them, here.

        Raises:
            BaseException: what one of them raises; those after it are not called.
        """
        for listener in self._listeners:
            self._context.copy().run(listener, event)

    def tell_apart(self, event: Event) -> None:
        """Has them called by another thread, and waits for that, for a moment: not for the locks that they may need.

        A finaliser runs between any two bytecodes of any thread, and a signal handler of the main one; what they
        interrupt may hold such a lock.
        """
        if sys.is_finalizing():
            return  # no other thread runs any more
        told = threading.Lock()
        told.acquire()

        def run() -> None:
            try:
                self.tell(event)
            finally:
                told.release()

        with contextlib.suppress(RuntimeError):  # the system has no more threads
            _thread.start_new_thread(run, ())  # threading's own start waits for locks
            told.acquire(timeout=_PATIENCE)
