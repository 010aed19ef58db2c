"""The scope of an attempt's socket: aborted from anywhere, at any moment, by code that may wait for nothing."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted

from acytoo_sdk import Timeout
from acytoo_sdk._network.connections import new_tls_context
from acytoo_sdk._network.limits import Limits
from acytoo_sdk._network.sockets import LimitedSocket, SocketScope


class Pair:
    """A scope that carries one end of a connection, and the other end."""

    def __init__(self) -> None:
        self.scope = SocketScope(Limits(Timeout(), None))
        self.carried, self.other = socket.socketpair()
        self.other.settimeout(5)

    def is_open(self) -> bool:
        """Whether what is sent on one end arrives at the other."""
        try:
            self.carried.sendall(b"x")
        except OSError:
            return False
        return self.other.recv(1) == b"x"


@contextmanager
def pair() -> Iterator[Pair]:
    one = Pair()
    one.carried = LimitedSocket(fileno=one.carried.detach())
    try:
        one.scope.adopt(one.carried)
        yield one
    finally:
        one.carried.close()
        one.other.close()


def aborted_at_each_step(act: Callable[[SocketScope], object], check: Callable[[Pair], None]) -> None:
    """Has the scope aborted at each step of what it does, and checks what came of it."""

    def attempt(step: int) -> int:
        with pair() as one:
            steps = run_interrupted(lambda: act(one.scope), {step: one.scope.abort}, file=file_of(SocketScope.abort))
            if step < steps:
                assert one.scope.aborted
                check(one)
            return steps

    assert interrupt_at_each_step(attempt) > 10


def test_an_abort_ends_the_connection_and_stays() -> None:
    with pair() as one:
        one.scope.abort()
        assert one.other.recv(1) == b""
        with pytest.raises(ConnectionAbortedError):
            one.scope.check()


def test_an_abort_at_any_step_of_closing_leaves_a_closed_socket_and_closes_the_reply_once() -> None:
    """http.client's reply cannot be closed while it is being closed."""

    class ReplyToClose:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    def close(scope: SocketScope) -> None:
        scope.reply = reply = cast(Any, ReplyToClose())
        scope.close()
        assert reply.closed == 1

    aborted_at_each_step(close, lambda one: _assert_closed(one))


def _assert_closed(one: Pair) -> None:
    assert one.carried.fileno() == -1
    assert one.other.recv(1) == b""


def test_closing_at_any_step_of_an_abort_leaves_a_closed_socket() -> None:
    def attempt(step: int) -> int:
        with pair() as one:
            steps = run_interrupted(one.scope.abort, {step: one.scope.close}, file=file_of(SocketScope.abort))
            if step < steps:
                _assert_closed(one)
            return steps

    assert interrupt_at_each_step(attempt) > 10


def close_by_urllib3(one: Pair) -> None:
    one.carried.close()


def close_by_the_last_file(one: Pair) -> None:
    file = one.carried.makefile("rb")
    one.carried.close()
    file.close()


def close_inside_tls(one: Pair) -> None:
    """TLS takes the descriptor over into a socket of its own."""
    one.carried = LimitedSocket(fileno=one.carried.detach())
    with pytest.raises(ConnectionAbortedError):
        one.scope.adopt(one.carried)
    one.carried.close()


@pytest.mark.parametrize(
    "close", [lambda one: one.scope.close(), close_by_urllib3, close_by_the_last_file, close_inside_tls]
)
def test_a_socket_is_not_closed_while_an_abort_shuts_it_down(
    close: Callable[[Pair], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number would be another's by then, a new connection's perhaps, and that would be shut down."""
    shut_down = socket.socket.shutdown
    numbers: list[int] = []

    def shut_down_late(sock: socket.socket, how: int) -> None:
        closing = threading.Thread(target=close, args=[one])
        closing.start()
        closing.join()
        numbers.append(one.carried.fileno())
        shut_down(one.carried, how)

    with pair() as one:
        number = one.carried.fileno()
        monkeypatch.setattr(socket.socket, "shutdown", shut_down_late)
        one.scope.abort()
        assert numbers == [number]
        _assert_closed(one)


def test_an_abort_at_any_step_of_a_release_is_told_or_spares_the_socket() -> None:
    """A socket that serves another call by now must not be shut down."""

    def attempt(step: int) -> int:
        told: list[BaseException] = []

        def release(one: Pair) -> None:
            try:
                one.scope.release()
            except ConnectionAbortedError as error:
                told.append(error)

        with pair() as one:
            steps = run_interrupted(lambda: release(one), {step: one.scope.abort}, file=file_of(SocketScope.abort))
            if told:
                one.scope.close()
                _assert_closed(one)
            else:
                assert one.is_open()
            return steps

    assert interrupt_at_each_step(attempt) > 10


def test_an_abort_at_any_step_of_another_ends_the_connection() -> None:
    aborted_at_each_step(SocketScope.abort, lambda one: _assert_shut(one))


def _assert_shut(one: Pair) -> None:
    assert one.other.recv(1) == b""


def test_an_abort_at_any_step_of_dropping_what_was_not_sent_is_known() -> None:
    aborted_at_each_step(SocketScope.drop_unsent, lambda one: None)


def test_an_abort_of_what_was_closed_or_never_connected_does_nothing() -> None:
    with pair() as one:
        one.carried.close()
        one.scope.abort()
    SocketScope(Limits(Timeout(), None)).abort()


def test_an_exception_of_somebody_else_comes_out_of_an_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler's may be of the kind that a closed socket raises."""

    def interrupted(sock: socket.socket, how: int) -> None:
        raise TimeoutError("the job took too long")

    with pair() as one, monkeypatch.context() as patched:
        patched.setattr(socket.socket, "shutdown", interrupted)
        with pytest.raises(TimeoutError, match="the job"):
            one.scope.abort()


def test_a_name_that_no_host_can_have_is_no_host() -> None:
    scope = SocketScope(Limits(Timeout(), None))
    with pytest.raises(socket.gaierror):
        scope.connect("a" * 64 + ".example", 80, [])


def tls_error(reason: str | None, kind: type[ssl.SSLError] = ssl.SSLError) -> ssl.SSLError:
    error = kind(1, "[SSL] no")
    error.reason = reason  # type: ignore[assignment]
    return error


STRAY = tls_error("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError)
AGAIN = tls_error(None, ssl.SSLEOFError)  # a connection that failed before
WAITS = ssl.SSLWantReadError(2, "nothing has arrived")
OWN = tls_error("DECRYPTION_FAILED_OR_BAD_RECORD_MAC")


@pytest.mark.parametrize("operate", ["read", "send"])
@pytest.mark.parametrize(
    ("outcomes", "last"),
    [
        ([STRAY, 5], 5),
        ([STRAY, WAITS], WAITS),
        ([WAITS], WAITS),
        ([OWN, AGAIN], OWN),
        ([tls_error(None), AGAIN], AGAIN),  # a signal handler's call had its error told
    ],
    ids=["another's", "another's, and nothing has arrived", "nothing has arrived", "its own", "its own, told already"],
)
def test_an_error_of_tls_counts_where_it_is_of_this_connection(
    operate: str, outcomes: list[Any], last: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = list(outcomes)

    def play(sock: ssl.SSLSocket, *arguments: object) -> int:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return cast(int, outcome)

    monkeypatch.setattr(ssl.SSLSocket, operate, play)
    with new_tls_context(verified=False).wrap_socket(socket.socket(), do_handshake_on_connect=False) as sock:
        act = partial(sock.read, 9, bytearray(9)) if operate == "read" else partial(sock.send, b"x")
        if last == 5 or (last is AGAIN and operate == "read"):
            assert act() == (5 if last == 5 else 0)  # the end is none of the errors of a receive
        else:
            with pytest.raises(type(last)) as caught:
                act()
            assert caught.value is last
    assert not left
