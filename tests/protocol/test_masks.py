"""Secrets that a server quotes back are masked, the text of a reply is not."""

from __future__ import annotations

import json
import pickle

import pytest
from reply_readers import (
    HTML,
    JSON,
    KEY,
    LIMIT,
    PLAIN,
    broken,
    failure,
    head_failure,
    reader_of,
    result,
    result_of_break,
)

from acytoo_sdk._secrets import Mask
from acytoo_sdk.errors import ServerError


@pytest.mark.parametrize(
    "quoted",
    [KEY, json.dumps(KEY)[1:-1], 'p\\"a\\/s&s wörd', "p%22a%2Fs%26s%20w%C3%B6rd", "p&quot;a/s&amp;s wörd"],
    ids=["plain", "json", "json of PHP", "url", "html"],
)
def test_secrets_are_masked_wherever_the_server_quotes_them(quoted: str) -> None:
    mask = Mask([KEY])
    headers = {"x-echo": f"<{quoted}>", "x-request-id": quoted}
    for error in (
        failure(PLAIN | headers, f"bad key {quoted}!".encode(), status=401, mask=mask),
        failure(HTML | headers, f"<html><title>bad key {quoted}!</title>".encode(), mask=mask),
        failure(JSON | headers, json.dumps({"error": f"bad key {quoted}!"}).encode(), mask=mask),
        head_failure(200, {"content-encoding": f"bad key {quoted}!"} | headers, mask=mask),
        head_failure(200, {"transfer-encoding": f"bad key {quoted}!"} | headers, mask=mask),
    ):
        assert "bad key ***!" in str(error)
        for shown in (str(error), repr(error), repr(vars(error)), str(pickle.loads(pickle.dumps(error)).__dict__)):
            assert quoted not in shown
            assert KEY not in shown

    reader = reader_of(headers, mask=mask)
    assert reader.head is not None
    assert reader.head.headers == {"x-echo": "<***>", "x-request-id": "***"}


def test_the_text_of_a_reply_is_not_masked() -> None:
    assert result(reader_of(mask=Mask([KEY])), [KEY.encode()]) == (KEY, None)


def test_a_secret_cut_at_the_limit_of_a_body_is_masked_at_every_index() -> None:
    secret = KEY.encode()
    for inside in range(1, len(secret)):
        data = b"x" * (LIMIT - inside) + secret + b"more"
        for pieces in ([data], [data[:LIMIT], data[LIMIT:]], [data[: LIMIT + 1], data[LIMIT + 1 :]]):
            _, error = result(reader_of(status=500, mask=Mask([KEY])), pieces)
            assert isinstance(error, ServerError)
            assert error.body == "x" * (LIMIT - inside) + "***"


def test_a_secret_cut_by_a_break_is_masked() -> None:
    reader = reader_of(status=500, mask=Mask([KEY]))
    reader.receive_data(b"bad key " + KEY.encode()[:-2])

    _, error = result_of_break(reader, broken())

    assert isinstance(error, ServerError)
    assert error.body == "bad key ***"


def test_a_reader_does_not_show_its_secrets() -> None:
    assert KEY not in repr(vars(reader_of(mask=Mask([KEY]))))
