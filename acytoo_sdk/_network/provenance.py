"""Provenance: whether an exception is the network stack's, or a call's, or somebody else's that surfaced there.

A signal handler runs, and raises, at any line of the stack, and what was put in the place of one of its functions may
have a bug. What they raise may be of any kind, Python's own `TimeoutError` for one, or an error of this package, from a
call that the handler made; so the kind alone does not tell.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CodeType, FrameType

from ..errors import AcytooError

# The packages that a reply comes through, and those that tests and green threads put in their place.
_STACK = frozenset(
    """
    requests urllib3 http email idna encodings socket ssl _ssl select selectors socks
    OpenSSL truststore dns gevent eventlet responses vcr
    """.split()  # noqa: SIM905
) | {__name__.partition(".")[0]}  # this one, wherever it was copied to
_PLAYERS = ("responses", "vcr")  # they call what a test's author wrote
# What a call's own errors come through: the stack, and what makes its attempts and keeps their outcome.
_CALL = _STACK | {"tenacity", "concurrent"}


def is_foreign(error: BaseException) -> bool:
    """Whether an exception is not of the network stack, nor of the call in which it surfaces.

    That is told by who defines it; if Python does, by who raised it; and if this package does, by whether it came
    through anybody else's frame: then it is of another call, which a signal handler made, or of the handler itself.
    """
    frames, kind = _frames(error), type(error).__module__
    if isinstance(error, AcytooError) and any(_package(_module(frame)) not in _CALL for frame in frames):
        return True
    if kind != "builtins":
        return _package(kind) not in _STACK
    if not frames or _of_stack(frames[-1]):
        return False
    # What wraps a socket's function, or plays the server in a test, tells of failures as the network does.
    may_be_network_s = type(error) is OSError or isinstance(error, ConnectionError | TimeoutError)
    played = any(_package(_module(frame)) in _PLAYERS for frame in frames)
    return not (may_be_network_s and (played or _in_place_of_stack() & {frame.f_code for frame in frames}))


def is_of_caught_line(error: BaseException) -> bool:
    """Whether a function written in C raised it, in the very line that caught it; else a signal handler did."""
    return error.__traceback__ is None or error.__traceback__.tb_next is None


def was_handled_elsewhere(error: BaseException) -> bool:
    """Whether code that is not the stack's caught an exception: one that a cache had no entry, for instance."""
    frames = _frames(error)  # the first is of whoever caught it
    return bool(frames) and not _of_stack(frames[0])


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


def _frames(error: BaseException) -> list[FrameType]:
    frames, step = [], error.__traceback__
    while step is not None:
        frames.append(step.tb_frame)
        step = step.tb_next
    return frames


def _of_stack(frame: FrameType) -> bool:
    return _package(_module(frame)) in _STACK


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _in_place_of_stack() -> set[CodeType]:
    """The functions that others put in sockets and their modules: a signal handler may run below the stack's own."""
    import socket  # not above: making a client loads neither
    import ssl

    functions = [each for space in (socket, socket.socket, ssl.SSLSocket) for each in vars(space).values()]
    made = [each for each in functions if hasattr(each, "__code__")]
    return {each.__code__ for each in made if _package(str(each.__globals__.get("__name__", ""))) not in _STACK}


def _package(module: str) -> str:
    return module.partition(".")[0]
