"""The tree of errors: who is whose child, and that nothing is lost on the way to another process."""

from __future__ import annotations

import copy
import pickle
import sys
import traceback
from collections.abc import Callable

import pytest

from acytoo_sdk import errors
from acytoo_sdk.errors import (
    AcytooError,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    DecodeError,
    EmptyReplyError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    Phase,
    RateLimitError,
    RedirectError,
    ReplyTooLargeError,
    ServerError,
    StreamCancelledError,
    StreamInterruptedError,
    UnexpectedReplyError,
)

PARENTS: dict[type[AcytooError], tuple[type[BaseException], ...]] = {
    AcytooError: (Exception,),
    InvalidRequestError: (AcytooError, ValueError),
    APIConnectionError: (AcytooError,),
    APITimeoutError: (APIConnectionError, TimeoutError),
    APIStatusError: (AcytooError,),
    BadRequestError: (APIStatusError,),
    AuthenticationError: (APIStatusError,),
    PermissionDeniedError: (APIStatusError,),
    NotFoundError: (APIStatusError,),
    RateLimitError: (APIStatusError,),
    ServerError: (APIStatusError,),
    RedirectError: (APIStatusError,),
    UnexpectedReplyError: (AcytooError,),
    EmptyReplyError: (UnexpectedReplyError,),
    DecodeError: (UnexpectedReplyError,),
    ReplyTooLargeError: (UnexpectedReplyError,),
    StreamInterruptedError: (AcytooError,),
    StreamCancelledError: (AcytooError,),
    ClientClosedError: (AcytooError, RuntimeError),
}
RETRYABLE = {APIConnectionError, APITimeoutError, EmptyReplyError, StreamInterruptedError}
PLAIN = [kind for kind in PARENTS if not issubclass(kind, (APIStatusError, APITimeoutError, UnexpectedReplyError))]


def status_error(kind: type[APIStatusError]) -> APIStatusError:
    return kind(
        "said: no",
        status_code=418,
        headers={"x": "y"},
        body="the body",
        retry_after=1.5,
        retryable=True,
        hint="drink coffee",
    )


def an_error(kind: type[AcytooError]) -> AcytooError:
    """One with every attribute set."""
    error: AcytooError
    if issubclass(kind, APIStatusError):
        error = status_error(kind)
    elif issubclass(kind, APITimeoutError):
        error = kind("said: no", phase="idle", hint="drink coffee")
    elif issubclass(kind, UnexpectedReplyError):
        error = kind("said: no", body="the body", hint="drink coffee")
    else:
        error = kind("said: no", hint="drink coffee", retryable=True)
    error.partial_text = "Привет"
    error.request_id = "r-1"
    return error


def test_the_table_names_every_error() -> None:
    found = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, BaseException)}

    assert set(PARENTS) == found


def test_the_tree_is_the_one_of_the_contract() -> None:
    for kind, parents in PARENTS.items():
        assert kind.__bases__ == parents, kind


def test_the_docstring_draws_every_error() -> None:
    for kind in PARENTS:
        assert kind.__name__ in (errors.__doc__ or ""), kind


def test_attributes_are_there_without_being_given() -> None:
    for kind in PLAIN:
        error = kind("said: no")

        assert str(error) == "said: no", kind
        assert error.args == ("said: no",), kind
        assert (error.partial_text, error.request_id, error.hint) == ("", None, None), kind
        assert error.retryable is (kind in RETRYABLE), kind
        assert not hasattr(error, "__notes__"), kind


def test_the_class_says_whether_a_fresh_call_could_succeed() -> None:
    for kind in PARENTS:
        assert kind.retryable is (kind in RETRYABLE), kind


def test_attributes_can_be_given() -> None:
    for kind in PLAIN:
        error = kind("said: no", partial_text="so far", request_id="r-1", retryable=not kind.retryable, hint="wait")

        assert (error.partial_text, error.request_id, error.hint) == ("so far", "r-1", "wait"), kind
        assert error.retryable is not kind.retryable, kind


@pytest.mark.parametrize("phase", ["connect", "first_byte", "idle", "total"])
def test_a_timeout_names_its_phase(phase: Phase) -> None:
    error = APITimeoutError("too slow", phase=phase, partial_text="so far")

    assert (error.phase, error.partial_text, error.retryable) == (phase, "so far", True)
    assert (error.errno, str(error)) == (None, "too slow")
    assert APITimeoutError("too slow", phase=phase).partial_text == ""
    assert APITimeoutError("too slow", phase=phase, hint="wait longer").hint == "wait longer"


def test_a_status_error_has_the_reply() -> None:
    error = APIStatusError("no", status_code=500)
    assert (error.status_code, error.headers, error.body, error.retry_after) == (500, {}, "", None)
    assert error.retryable is False

    error = status_error(ServerError)
    assert (error.status_code, error.headers, error.body, error.retry_after) == (418, {"x": "y"}, "the body", 1.5)
    assert error.retryable is True


def test_an_unexpected_reply_has_its_body() -> None:
    assert UnexpectedReplyError("no").body == ""
    assert DecodeError("no", body="x").body == "x"


@pytest.mark.parametrize(
    "way",
    [
        *(lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol)) for protocol in range(6)),
        copy.copy,
        copy.deepcopy,
    ],
    ids=[*(f"pickle {protocol}" for protocol in range(6)), "copy", "deepcopy"],
)
def test_an_error_pickles_and_copies_with_all_of_its_attributes(way: Callable[[AcytooError], AcytooError]) -> None:
    for kind in PARENTS:
        error = an_error(kind)

        twin = way(error)

        assert type(twin) is kind, kind
        assert twin is not error, kind
        assert (str(twin), twin.args, repr(twin)) == (str(error), error.args, repr(error)), kind
        assert vars(twin) == vars(error), kind
        assert twin.retryable is error.retryable, kind


def test_a_copy_shares_no_notes_after_a_deep_copy() -> None:
    error = APIConnectionError("no", hint="wait")

    twin = copy.deepcopy(error)

    assert getattr(twin, "__notes__") is not getattr(error, "__notes__")  # noqa: B009 - newer than 3.10


def test_a_subclass_of_the_user_pickles_too() -> None:
    error = pickle.loads(pickle.dumps(Mine("no", phase="total")))

    assert (type(error), error.phase, error.mine) == (Mine, "total", "mine")


class Mine(APITimeoutError):
    mine = "mine"


def test_a_hint_is_printed_below_the_traceback() -> None:
    error = APIConnectionError("no", hint="wait")

    assert getattr(error, "__notes__") == ["Hint: wait"]  # noqa: B009 - newer than 3.10
    if sys.version_info >= (3, 11):
        assert "Hint: wait" in "".join(traceback.format_exception(error))


def test_errors_are_caught_by_the_classes_everybody_knows() -> None:
    for kind, known in (
        (InvalidRequestError, ValueError),
        (APITimeoutError, OSError),
        (ClientClosedError, RuntimeError),
    ):
        with pytest.raises(known):
            raise an_error(kind)
