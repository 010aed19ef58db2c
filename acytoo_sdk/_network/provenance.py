"""Provenance: whether an exception is the network stack's, or somebody else's that surfaced in it.

A signal handler runs, and raises, at any line of the stack, and what was put in the place of one of its functions may
have a bug. What they raise may be of any kind, Python's own `TimeoutError` for one; so the kind alone does not tell.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator

# The packages that a reply comes through, and those that tests and green threads put in their place.
_STACK = frozenset(
    """
    acytoo_sdk requests urllib3 http email idna encodings socket ssl _ssl select selectors socks
    OpenSSL truststore gevent eventlet responses vcr
    """.split()  # noqa: SIM905
)


def is_foreign(error: BaseException) -> bool:
    """Whether an exception is not the network stack's: by who defines it or, if Python does, by who raised it."""
    kind = type(error).__module__
    if kind != "builtins":
        return _package(kind) not in _STACK
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and _package(frames[-1].f_globals.get("__name__", "")) not in _STACK


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that can be reached from it: causes, contexts, arguments, reasons.

    What the caller of this package was just handling is a context, too, but none of our business.
    """
    seen = {id(sys.exc_info()[1])}
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        reached = (
            *cause.args,
            cause.__cause__,
            cause.__context__,
            *vars(cause).values(),
            getattr(cause, "reason", None),
        )
        waiting += [one for one in reached if isinstance(one, BaseException)]


def _package(module: str) -> str:
    return module.partition(".")[0]
