"""`--fault NAME` and `NAME=VALUE`: every fault of `Fault` that a line can name."""

from __future__ import annotations

import inspect
import math
import re

import pytest

from acytoo_sdk.errors import InvalidRequestError
from acytoo_sdk.server.offline import FAULT_NAMES, make_fault
from acytoo_sdk.testing import Fault

CONSTRUCTORS = {name for name, value in vars(Fault).items() if isinstance(value, staticmethod)}


def test_every_constructor_has_a_name_but_the_one_that_takes_bytes() -> None:
    assert set(FAULT_NAMES) == {name.replace("_", "-") for name in CONSTRUCTORS - {"raw"}}


@pytest.mark.parametrize("name", FAULT_NAMES)
def test_every_fault_can_be_had_by_its_name_alone(name: str) -> None:
    assert isinstance(make_fault(name), Fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("status", Fault.status(503)),
        ("status=429", Fault.status(429)),
        ("cut", Fault.cut()),
        ("cut=0", Fault.cut(0)),
        ("reset=3", Fault.reset(3)),
        ("drop", Fault.drop()),
        ("stall=2", Fault.stall(2)),
        ("no-head", Fault.no_head()),
        ("slow-head", Fault.slow_head(5.0)),
        ("slow-head=0.5", Fault.slow_head(0.5)),
        ("drip=0", Fault.drip(0.0)),
        ("split-characters", Fault.split_characters()),
        ("html-page", Fault.html_page()),
        ("html-page=Wait = a bit", Fault.html_page("Wait = a bit")),
        ("html-page=", Fault.html_page("")),
        ("json-error=no luck", Fault.json_error("no luck")),
        ("redirect", Fault.redirect("http://127.0.0.1:9/")),
        ("redirect=http://127.0.0.1/?a=b", Fault.redirect("http://127.0.0.1/?a=b")),
        ("notice", Fault.notice()),
        ("empty", Fault.empty()),
        ("event-stream", Fault.event_stream()),
        ("compressed", Fault.compressed()),
    ],
)
def test_a_value_is_the_constructors_first_argument(text: str, fault: Fault) -> None:
    assert make_fault(text) == fault


def test_the_values_stand_for_every_argument_that_must_be_given() -> None:
    for name in FAULT_NAMES:
        parameters = inspect.signature(getattr(Fault, name.replace("-", "_"))).parameters.values()
        kinds = {str(each.annotation) for each in list(parameters)[:1]}
        assert kinds <= {"str", "int", "float"}, f"{name} takes something that a line cannot say"


@pytest.mark.parametrize("text", ["", "list", "raw", "raw=x", "no_head", "CUT", "cut =2", "=2", "__init__"])
def test_a_fault_that_is_none_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(", ".join(FAULT_NAMES))):
        make_fault(text)


@pytest.mark.parametrize("text", ["drop=1", "no-head=", "notice=x", "split-characters=2", "empty=1", "compressed=gzip"])
def test_a_value_for_a_fault_that_takes_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^fault {text.partition('=')[0]} takes no value$"):
        make_fault(text)


@pytest.mark.parametrize("text", ["cut=", "cut=two", "cut=1.5", "status=teapot", "slow-head=soon", "drip="])
def test_a_value_that_is_no_number_is_refused(text: str) -> None:
    name, _, value = text.partition("=")
    with pytest.raises(InvalidRequestError, match=re.escape(f"fault {name} takes a number, not {value!r}")):
        make_fault(text)


@pytest.mark.parametrize(
    "text",
    [
        "cut=-1",
        "reset=-2",
        "slow-head=-0.1",
        f"slow-head={math.nan}",
        f"drip={math.inf}",
        "slow-head=1000001",
        "slow-head=1e300",
    ],
)
def test_a_number_that_is_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"^fault {text.partition('=')[0]} must be"):
        make_fault(text)


@pytest.mark.parametrize("code", [-1, 0, 99, 600, 1000, 10**30])
def test_a_status_that_no_reply_has_is_refused(code: int) -> None:
    with pytest.raises(InvalidRequestError, match=r"^fault status must be 100 to 599, not "):
        make_fault(f"status={code}")
