"""Whose an exception is: the network stack's, or somebody else's that surfaced in it."""

from __future__ import annotations

import http.client
import socket
import ssl
from concurrent.futures import Future

import pytest
import requests
import urllib3

from acytoo_sdk import APITimeoutError, InvalidRequestError
from acytoo_sdk._checks import check_text
from acytoo_sdk._network.provenance import chain, is_foreign


class JobTimeout(TimeoutError):
    """What a job queue's signal handler raises."""


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("no"),
        urllib3.exceptions.ProtocolError("no"),
        http.client.BadStatusLine("no"),
        ssl.SSLEOFError(8, "no"),
        socket.gaierror(-2, "no"),
        InvalidRequestError("ours"),
        ConnectionResetError(104, "made by the stack, raised by nobody"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_stack_defines_is_its_own(error: BaseException) -> None:
    assert not is_foreign(error)


def test_python_s_own_are_whose_frame_raised_them() -> None:
    with pytest.raises(ConnectionRefusedError) as refused:
        socket.create_connection(("127.0.0.1", 1), timeout=5)
    with pytest.raises(TimeoutError) as late:
        raise_late()
    by_the_stack = refused.value.with_traceback(refused.tb.tb_next)  # without the frame of this test

    assert not is_foreign(by_the_stack)
    assert is_foreign(late.value)


def raise_late() -> None:
    raise TimeoutError("the job took too long")


def test_this_package_s_own_are_foreign_once_they_came_through_anybody_else_s_frame() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        check_text("model", 7)
    with pytest.raises(APITimeoutError) as made_up:
        raise APITimeoutError("the job took too long", phase="total")
    by_the_package = refused.value.with_traceback(refused.tb.tb_next)  # without the frame of this test

    assert not is_foreign(by_the_package)
    assert is_foreign(made_up.value)


def test_what_makes_the_attempts_of_a_call_is_part_of_it_but_not_of_the_stack() -> None:
    def fail(error: Exception) -> Exception:
        future = Future[None]()
        future.set_exception(error)
        with pytest.raises(type(error)) as caught:
            future.result()
        return caught.value.with_traceback(caught.tb.tb_next)

    assert not is_foreign(fail(APITimeoutError("nothing came", phase="connect")))
    assert is_foreign(fail(TimeoutError("the job took too long")))


@pytest.mark.parametrize("error", [JobTimeout(), KeyError("x"), type("Odd", (http.client.HTTPException,), {})()])
def test_what_others_define_is_theirs(error: BaseException) -> None:
    assert is_foreign(error) is (not isinstance(error, KeyError))
    with pytest.raises(type(error)) as caught:
        raise error
    assert is_foreign(caught.value)


def test_a_chain_holds_what_can_be_reached_but_not_what_the_caller_was_handling() -> None:
    root, middle, outer = TimeoutError("root"), OSError(5, "middle"), requests.ConnectionError("outer")
    middle.__context__ = root
    outer.args = (middle, "words")
    callers = KeyError("the caller's")
    root.__context__ = callers
    callers.__context__ = ValueError("the caller's, before")

    assert list(chain(outer)) == [outer, middle, root, callers, callers.__context__]
    try:
        raise callers
    except KeyError:
        assert list(chain(outer)) == [outer, middle, root]


def test_a_chain_that_comes_back_to_itself_ends() -> None:
    one, two = OSError(1, "one"), OSError(2, "two")
    one.__cause__, two.__context__ = two, one

    assert list(chain(one)) == [one, two]
