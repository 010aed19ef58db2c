"""Exit statuses, and hints for who typed a command, for every failure that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import acytoo_sdk
from acytoo_sdk import _checks as checks
from acytoo_sdk import errors
from acytoo_sdk._wire.payloads import prompt_payload
from acytoo_sdk.cli.statuses import EXPLAINED, hint_of, sentence_of, status_of

# To these, who typed a command can do nothing.
FOR_PROGRAMS_ALONE = {
    "an ssl.SSLContext as verify= may load_cert_chain() with its password",
    "it may want to see a certificate of yours that it trusts: pass cert=",
    "raise max_streams=, or Timeout(total=...)",
    "Timeout(connect=...) sets the limit",
}

# Words that a program's author knows, not who typed a command.
OF_PROGRAMS = re.compile(r"\bstr\b|\bfloat\b|\bint\b|\b[a-z_]+=(?![A-Z])|surrogate|max_reply_bytes")


def hints() -> Iterator[str]:
    """Every hint that the package gives, but for those made of several parts."""
    package = Path(acytoo_sdk.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent.name == "cli":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if (isinstance(node, ast.keyword) and node.arg == "hint") or (
                isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "hint"
            ):
                yield from texts(node.value)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and "_STATUS_RULES" in ast.unparse(node).split("=")[0]:
                yield from texts(node)
    yield from (f"Timeout({phase}=...) sets the limit" for phase in ("connect", "first_byte", "idle", "total"))
    yield "the new address is https://h.test/: pass it as base_url if you trust it"


def texts(node: ast.AST) -> Iterator[str]:
    parts = [part for each in ast.walk(node) if isinstance(each, ast.JoinedStr) for part in each.values]
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and each not in parts and " " in each.value:
            yield each.value


HINTS = sorted(set(hints()))


def test_the_hints_are_found() -> None:
    assert len(HINTS) > 20
    assert "check key= and password=, or ACYTOO_KEY and ACYTOO_PASSWORD" in HINTS


@pytest.mark.parametrize("hint", HINTS)
def test_a_hint_speaks_to_who_typed_a_command(hint: str) -> None:
    said = hint_of(errors.AcytooError("It failed", hint=hint))
    assert (said is None) == (hint in FOR_PROGRAMS_ALONE)
    assert said is None or not re.search(r"\b\w+=(?![A-Z])|partial_text|base_url|max_|retry_after|Timeout\(", said)


@pytest.mark.parametrize(
    ("check", "value", "sentence"),
    [
        (checks.check_text, 5, "x must be a text, not a number"),
        (checks.check_text, {}, "x must be a text, not a table"),
        (checks.check_text, None, "x must be a text, not nothing"),
        (checks.check_text, "", "x is empty"),
        (checks.check_text, "a\udc80", "x is not UTF-8"),
        (checks.check_number, "5", "x must be a number, not a text"),
        (checks.check_number, float("inf"), "x must be finite, not inf"),
        (checks.check_number, 10**400, "x must be finite, not a number of many digits"),
        (checks.check_temperature, 5.0, "x must be 0 to 2, not 5.0"),
        (checks.check_temperature, -1, "x must be 0 to 2, not -1"),
        (checks.check_count, 1.5, "x must be a whole number, not 1.5"),
        (checks.check_count, [], "x must be a whole number, not a list"),
        (checks.check_count, 0, "x must be 1 or more, not 0"),
        (checks.check_flag, "yes", "x must be True or False, not a text"),
        (checks.check_payload, "y", "x must be one of acytoo, ai-sdk, prompt"),
        (checks.check_payload, 5, "x must be one of acytoo, ai-sdk, prompt"),
        (
            checks.check_base_url,
            "http://u:p@h",
            "x holds credentials: they are set by `acytoo config set key`, or in ACYTOO_KEY",
        ),
        (
            checks.check_base_url,
            "http://h/?a",
            "x has a query or a fragment: the endpoint's path is set by --path",
        ),
        (checks.check_base_url, "http://h h", "x must be without blanks, backslashes and control characters"),
        (checks.check_base_url, "ftp://h", "x must begin with http:// or https://"),
        (checks.check_base_url, "http://", "x has no host, or with a malformed host or port"),
        (
            checks.check_path,
            "a",
            "x must begin with a slash, without blanks, backslashes, control characters or a fragment",
        ),
        (
            checks.check_proxy,
            "a b",
            "x must be like http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, with special characters in USER and "
            "PASSWORD percent-encoded",
        ),
        (checks.check_proxy, "ftp://h:1", "x must begin with http://, https:// or socks5h://"),
        (checks.check_headers, "a", "x must be a table of texts, not a text"),
        (checks.check_headers, {5: "a"}, "x has a name that is no text but a number"),
        (checks.check_headers, {"a": 5}, "x['a'] must be a text, not a number"),
        (checks.check_headers, {"a": "\n"}, "x['a'] has a line break or another control character"),
        (checks.check_headers, {"a": "\u20ac"}, "x['a'] has a character at index 0 that no header holds"),
    ],
)
def test_what_is_wrong_is_told_to_who_typed_a_command(
    check: Callable[[str, Any], object], value: Any, sentence: str
) -> None:
    with pytest.raises(errors.InvalidRequestError) as caught:
        check("x", value)
    assert sentence_of(caught.value) == sentence
    assert not OF_PROGRAMS.search(sentence)


@pytest.mark.parametrize(
    "messages",
    [
        5,
        [5],
        [{"role": 5}],
        [{"role": "cook", "content": ""}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": "Hi", 5: ""}],
        [{"role": "user", "content": "Hi", "x": float("nan")}],
        [{"role": "user", "content": "Hi", "x": "\ud800"}],
        [{"role": "user", "content": "Hi"}] * 2,
        [{"role": "system", "content": "Hi"}],
    ],
)
def test_so_is_what_is_wrong_with_a_conversation(messages: Any) -> None:
    with pytest.raises(errors.InvalidRequestError) as caught:
        prompt_payload({"messages": checks.check_messages(messages)})
    assert not OF_PROGRAMS.search(sentence_of(caught.value))


def test_a_reply_that_is_too_long_is_told_with_its_bound() -> None:
    error = errors.ReplyTooLargeError("The reply is longer than max_reply_bytes=16777216")
    assert sentence_of(error) == "The reply is longer than 16 MiB, which is the most that is taken"


@pytest.mark.parametrize(
    "error",
    [
        errors.APIConnectionError("The server answered HTTP 400: model=x is an empty str"),
        errors.UnexpectedReplyError("The server sent an error instead of a reply: x must be a str, not int"),
        errors.InvalidRequestError("verify names no file or folder: '/a must be a str, not int/b'"),
        errors.InvalidRequestError("--model=x is an empty str of sorts"),
    ],
)
def test_what_is_quoted_stays_as_it_is(error: errors.AcytooError) -> None:
    assert sentence_of(error) == str(error)


@pytest.mark.parametrize(
    ("peer", "is_here"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:8000", True),
        ("[::1]:8000", True),
        ("chat.example.com", False),
        ("192.0.2.1:3128", False),
        ("[2001:db8::1]:80", False),
    ],
)
def test_a_server_is_to_be_started_where_nothing_listens_on_this_machine(peer: str, is_here: bool) -> None:
    hint = hint_of(errors.APIConnectionError(f"No connection to {peer}: Connection refused"))
    assert hint == ("nothing listens there; `acytoo serve` starts a server" if is_here else None)


def test_nothing_is_to_be_started_where_a_proxy_is_spoken_of() -> None:
    assert hint_of(errors.APIConnectionError("The proxy 127.0.0.1:1 made no connection: Connection refused")) is None


def test_every_error_has_a_status_that_is_explained() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AcytooError)]
    made = [kind.__new__(kind, "It failed") for kind in kinds]
    for error in made:
        error.partial_text = ""
        assert f"\n  {status_of(error):<4} " in EXPLAINED


@pytest.mark.parametrize("phase", ["connect", "first_byte", "idle", "total"])
def test_a_limit_that_runs_out_after_text_is_a_broken_stream(phase: errors.Phase) -> None:
    assert status_of(errors.APITimeoutError("Too late", phase=phase)) == 3
    assert status_of(errors.APITimeoutError("Too late", phase=phase, partial_text="some")) == 6
