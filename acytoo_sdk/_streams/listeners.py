"""The listeners of one call: who is told of its events, in which order, and from where.

What they are told is defined in `events`; when it is told, in `call`.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextvars import copy_context

from .._network.provenance import is_of_caught_line
from .._options import CallOptions, Options
from .._wire.payloads import MESSAGES_ALONE
from ..events import CallEnded, CallInfo, CallStarted, Event, Listener

# How long to wait for a listener, in seconds, where it is not safe to wait.
_PATIENCE = 0.1


class Listeners:
    """Those who listen to one call, and the context that it is started in.

    Events come from several threads, from finalisers and from signal handlers. They are told one after the other: an
    event that comes while another is told is left to whoever tells that one. So nobody waits for anybody here.

    Args:
        listeners: called one after the other.
        call: what is asked.

    Attributes:
        call: what is asked.
        over: whether the end was told: nothing is, after it.
    """

    __slots__ = ("_begun", "_context", "_events", "_listeners", "_telling", "call", "over")

    def __init__(self, listeners: Sequence[Listener], call: CallInfo) -> None:
        self.call = call
        self.over = False
        self._listeners = listeners
        self._context = copy_context()
        self._begun = False
        self._events: deque[Event] = deque()  # that are to be told
        self._telling = threading.Lock()  # never waited for

    def tell(self, event: Event) -> None:
        """Calls them in this thread. They hear of the start first: what happened before it is told after it.

        Raises:
            BaseException: what one of them raises; those after it are not told of this event.
        """
        if isinstance(event, CallStarted):
            self._events.appendleft(event)
            self._begun = True
        else:
            self._events.append(event)
        self._tell_waiting()

    def tell_apart(self, event: Event) -> None:
        """Has them called by another thread, and waits for that, but only for a moment.

        A finaliser runs between any two bytecodes of any thread, and a signal handler of the main one; what they
        interrupt may hold a lock that a listener needs.
        """
        self._events.append(event)
        if not self._begun or sys.is_finalizing():  # the start will tell it; at the end, no other thread runs
            return
        told = threading.Lock()
        told.acquire()

        def run() -> None:
            try:
                self._tell_waiting()
            finally:
                told.release()

        try:
            _thread.start_new_thread(run, ())  # threading's own start waits for locks
        except RuntimeError as error:
            if not is_of_caught_line(error):
                raise  # a signal handler's
            return  # the system has no more threads
        told.acquire(timeout=_PATIENCE)

    def _tell_waiting(self) -> None:
        while self._begun and self._events and self._telling.acquire(blocking=False):
            try:
                while self._events:
                    self._call(self._events.popleft())
            finally:
                self._telling.release()

    def _call(self, event: Event) -> None:
        if self.over:
            return
        self.over = isinstance(event, CallEnded)
        try:
            for listener in self._listeners:
                self._context.copy().run(listener, event)
        except (StopIteration, StopAsyncIteration) as error:  # it would end the caller's loop, unseen
            raise RuntimeError(f"a listener raised {type(error).__name__}") from error


def call_info(client: Options, call: CallOptions) -> CallInfo:
    """What is asked, for those who listen; without a model where the payload sends messages alone."""
    if client.payload in MESSAGES_ALONE:
        return CallInfo(client.base_url, None, None)
    return CallInfo(client.base_url, call.model, call.temperature)
