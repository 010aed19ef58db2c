"""The libraries that a call needs: imported by the first call, and where no signal handler finds them half imported.

A signal handler runs in the main thread, between any two bytecodes. In the middle of an import of that thread it could
make no call of its own, since the import cannot go on before the handler has returned. So another thread imports, and
the main thread waits for it, and so does a handler that interrupts the waiting. A finaliser that the collector runs in
the importing thread can make no call: there is no other thread to wait in its place.
"""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading

# Whose code may hold a lock that an import takes: another thread would wait for it for ever, and we for that thread.
_LOCKING = ("importlib", "logging", "threading")

_loaded = False


def load_libraries() -> None:
    """Imports what a call needs, unless that was done."""
    global _loaded
    if _loaded:
        return
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and not sys.is_finalizing() and not _may_hold_locks():  # no other thread runs at the end
        _import_apart()
    _import()  # at once, where it was imported already; else it says what is wrong
    _loaded = True


def _import() -> None:
    from .._network import exchange  # noqa: F401
    from . import log, retry  # noqa: F401


def _import_apart() -> None:
    """Imports them in a thread of its own, and waits for that; does nothing where there are no more threads."""
    imported = threading.Lock()
    imported.acquire()

    def run() -> None:
        with contextlib.suppress(BaseException):  # the thread that waits will meet the same
            _import()
        imported.release()

    with contextlib.suppress(RuntimeError):
        _thread.start_new_thread(run, ())  # threading's own start takes a lock, which a handler may have interrupted
        imported.acquire()


def _may_hold_locks() -> bool:
    """Whether this thread runs such code: a handler may have interrupted it, in the middle of an import perhaps."""
    import traceback  # not above: making a client does without

    modules = (str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_stack(None))
    return any(module.partition(".")[0] in _LOCKING for module in modules)
