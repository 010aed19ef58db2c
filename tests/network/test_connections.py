"""Idle connections are kept without a lock that a finaliser, or a signal handler, could wait for."""

from __future__ import annotations

import io
import queue
import socket
import ssl
from typing import Any

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted

from acytoo_sdk._network.connections import Connection, TLSConnection, new_tls_context, pool_classes
from acytoo_sdk._network.head import StrictHTTPResponse, _HeadLines


class NoSocket:
    """What http.client asks of a socket, with nothing to read."""

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO()


IDLE = pool_classes(Connection, TLSConnection)["http"].QueueCls


def test_the_one_that_was_given_back_last_is_taken_first() -> None:
    idle: Any = IDLE(2)
    idle.put("a")
    idle.put("b", block=False)

    assert idle.qsize() == 2
    assert (idle.get(block=False, timeout=1), idle.get()) == ("b", "a")
    with pytest.raises(queue.Empty):
        idle.get(block=False)


def test_one_too_many_is_closed_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """A log's handler may wait for a lock, and what gives it back may interrupt whoever holds that."""
    pool: Any = pool_classes(Connection, TLSConnection)["http"]("127.0.0.1", maxsize=1)
    mine, yours = socket.socketpair()
    with mine, yours:
        surplus: Any = Connection("127.0.0.1")
        surplus.sock = mine
        pool._put_conn(surplus)
        assert (yours.recv(1), pool.pool.qsize(), caplog.records) == (b"", 1, [])


def test_one_may_be_given_back_at_any_step_of_taking_one() -> None:
    def attempt(step: int) -> int:
        idle: Any = IDLE(3)
        taken: list[str] = []
        idle.put("a")
        steps = run_interrupted(
            lambda: taken.append(idle.get(block=False)), {step: lambda: idle.put("b")}, file=file_of(IDLE.get)
        )
        assert taken[0] in ("a", "b")
        left = {idle.get(block=False) for _ in range(idle.qsize())}
        assert left | {taken[0]} == ({"a", "b"} if step < steps else {"a"})
        return steps

    assert interrupt_at_each_step(attempt) > 3


@pytest.mark.parametrize("kind", ["http", "https"])
def test_a_pool_may_be_closed_at_any_step_of_closing_it(kind: str) -> None:
    """By another thread, or by a signal handler."""

    class Idle:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    def attempt(step: int) -> int:
        pool: Any = pool_classes(Connection, TLSConnection)[kind]("127.0.0.1", 9, maxsize=2)
        idle = [Idle(), Idle()]
        pool.pool.get(), pool.pool.get()  # there is nothing yet in their places
        for each in idle:
            pool.pool.put(each)
        steps = run_interrupted(pool.close, {step: pool.close}, file=file_of(type(pool).close))
        assert pool.pool is None
        assert [each.closed for each in idle] == [1, 1]
        return steps

    assert interrupt_at_each_step(attempt) > 10


def test_what_a_handler_raises_while_a_connection_is_taken_is_not_taken_for_none() -> None:
    def handler() -> None:
        raise IndexError("the handler's")

    def attempt(step: int) -> int:
        idle: Any = IDLE(3)
        idle.put("a")
        raised: list[str] = []

        def get() -> None:
            try:
                idle.get(block=False)
            except IndexError as error:
                raised.append(str(error))

        steps = run_interrupted(get, {step: handler}, file=file_of(IDLE.get))
        assert raised == ["the handler's"] * (step < steps)
        return steps

    assert interrupt_at_each_step(attempt) > 3


def test_a_head_that_is_interrupted_can_be_closed() -> None:
    """An interruption may come just before the file takes its place again, and http.client closes what is there."""
    sock: Any = NoSocket()
    reply = StrictHTTPResponse(sock)
    reply.fp = _HeadLines(sock, reply.fp)  # type: ignore[assignment]
    reply.flush()
    reply.close()

    assert reply.isclosed()


def test_a_reply_whose_constructor_was_interrupted_can_be_closed() -> None:
    reply = StrictHTTPResponse.__new__(StrictHTTPResponse)
    reply.close()

    assert reply.isclosed()


def test_a_context_needs_no_option_of_openssl_3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python may be built on OpenSSL 1.1.1, where a cut is told apart anyway."""
    monkeypatch.delattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", raising=False)

    assert new_tls_context(verified=True).verify_mode is ssl.CERT_REQUIRED
