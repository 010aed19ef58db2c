"""Whatever an upstream sends, and however it is cut: the text is whole, the end is true, and no secret shows."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from completion_readers import (
    BROKEN,
    DONE,
    Outcome,
    choice_of,
    completion,
    cuts_of,
    delta,
    event,
    hi,
    outcome,
    reader_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from acytoo_sdk.server.completions import CompletionReader
from acytoo_sdk.server.failures import Failure
from acytoo_sdk.server.surrogates import HalfJoiner, join_halves

ENDS = st.sampled_from(["\n\n", "\r\r", "\r\n\r\n", "\n\r\n", "\r\n\r"])
WHOLE_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.text("a👋é\n", min_size=1)
ANY_TEXT = st.text(st.characters()) | st.text("a\ud83d\udc4b\ufeff👋")


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Bytes in any cut."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=9)))
    return [data[one:other] for one, other in zip([0, *places], [*places, len(data)], strict=True)]


@st.composite
def halves(draw: st.DrawFn, text: str) -> list[str]:
    """A text in parts, cut anywhere, also between the halves that JSON writes a character as."""
    units = text.encode("utf-16-le", "surrogatepass")
    pairs = [units[at : at + 2] for at in range(0, len(units), 2)]
    single = [pair.decode("utf-16-le", "surrogatepass") for pair in pairs]
    places = sorted(draw(st.lists(st.integers(0, len(single)), max_size=9)))
    return ["".join(single[one:other]) for one, other in zip([0, *places], [*places, len(single)], strict=True)]


def escaped(content: str, end: str, **more: Any) -> bytes:
    """An event whose JSON is ASCII."""
    return f"data:{json.dumps(delta(content, **more))}{end}".encode()


@given(text=WHOLE_TEXT, end=ENDS, data=st.data())
def test_a_text_in_any_deltas_with_any_line_ends_comes_out_as_it_was(text: str, end: str, data: st.DataObject) -> None:
    parts = data.draw(halves(text))
    stream = b"".join(escaped(part, end) for part in parts) + f"data: [DONE]{end}".encode()

    assert outcome(reader_of(), data.draw(cut(stream))) == Outcome(text)


@given(text=ANY_TEXT, data=st.data())
def test_halves_that_are_alone_become_replacements_and_nothing_is_lost(text: str, data: st.DataObject) -> None:
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    parts = data.draw(halves(text))
    joiner = HalfJoiner()

    assert join_halves(text) == expected
    assert "".join([joiner.receive(part) for part in parts]) + joiner.receive_eof() == expected
    assert joiner.receive_eof() == ""


def test_a_first_half_waits_for_the_second_and_for_nothing_else() -> None:
    joiner = HalfJoiner()

    assert [joiner.receive(part) for part in ("a\ud83d", "", "\udc4bb", "\udc4b", "\ud83d", "\ud83dc")] == [
        "a",
        "",
        "👋b",
        "\ufffd",
        "",
        "\ufffd\ufffdc",
    ]
    assert [joiner.receive(part) for part in ("\ud83d", "a", "\ud83d")] == ["", "\ufffda", ""]
    assert joiner.receive_eof() == "\ufffd"


@pytest.mark.parametrize("char", ["\U00010000", "\U000103ff", "\U0010fc00", "\U0010ffff"])
def test_the_first_and_the_last_of_the_halves_are_some(char: str) -> None:
    units = char.encode("utf-16-be")
    first, second = (units[at : at + 2].decode("utf-16-be", "surrogatepass") for at in (0, 2))
    joiner = HalfJoiner()

    assert [joiner.receive(part) for part in ("a", first, second, "\ud7ff", "\ue000")] == [
        "a",
        "",
        char,
        "\ud7ff",
        "\ue000",
    ]


def test_a_half_at_the_end_is_shown_where_the_server_says_that_this_is_the_end() -> None:
    half = escaped("\ud83d", "\n\n")

    assert outcome(reader_of(), [hi() + half + DONE]) == Outcome("Hi\ufffd")
    assert outcome(reader_of(), [half + event(delta(finish="stop"))]) == Outcome("\ufffd")
    assert outcome(reader_of(), [hi() + half])[:3] == ("Hi", 502, "ended in the middle")
    assert outcome(reader_of(), [half], broken=BROKEN)[:3] == ("", 504, "broke")


@given(
    texts=st.lists(WHOLE_TEXT, min_size=1, max_size=4),
    end=ENDS,
    blank=st.booleans(),
    broken=st.booleans(),
    data=st.data(),
)
def test_a_beginning_of_a_reply_without_a_reason_is_never_whole_and_loses_no_text(
    texts: list[str], end: str, blank: bool, broken: bool, data: st.DataObject
) -> None:
    events = [event(delta(text), end=end if blank else end[: len(end) // 2]) for text in texts]
    stream = b"".join(events)
    length = data.draw(st.integers(0, len(stream)))
    beginning = stream[:length] + (DONE[: data.draw(st.integers(0, 11))] if length == len(stream) else b"")
    whole, size = "", 0
    for one, text in zip(events, texts, strict=True):
        size += len(one)
        if size <= length:
            whole += text

    found = outcome(reader_of(), data.draw(cut(beginning)), broken=BROKEN if broken else None)

    assert found.status is not None
    assert "".join(texts).startswith(found.text)
    assert found.text.startswith(whole)


FRAGMENTS = st.sampled_from(
    [
        *(
            b"\n",
            b"\r",
            b"\n\n",
            b" ",
            b":",
            b"data:",
            b"data: ",
            b"event: error\n",
            b"error: ",
            b"[DONE]",
            b"\xef\xbb\xbf",
        ),
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b"<html>",
            b"<title>",
            b'"',
            b"\\ud83d",
            b"\xff",
            b"null",
            b"1" * 5000,
            b"NaN",
            b"-0",
        ),
        *(
            hi(),
            hi(finish="stop"),
            DONE,
            event({"error": {"message": "x"}}),
            completion("Hi"),
            event(delta([], finish=[])),
        ),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5) | st.just("error"),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "finish_reason",
                    "error",
                    "code",
                    "type",
                    "index",
                    "text",
                    "x_groq",
                ]
            )
            | st.text(max_size=3),
            inside,
            max_size=5,
        )
    ),
)


def check_end(reader: CompletionReader, pieces: list[bytes], broken: Failure | None) -> None:
    found = outcome(reader, pieces, broken=broken)
    if found.status is None:
        assert found.text, "an empty reply is never whole"
    else:
        assert reader.failure is not None
        assert 400 <= found.status < 600
        assert json.loads(reader.failure.body)["error"]["message"]
        assert found.message
        assert found.message.isprintable()
        assert found.how


@given(
    parts=st.lists(FRAGMENTS | st.binary(max_size=8), max_size=12),
    status=st.sampled_from([200, 200, 200, 429, 500]),
    broken=st.sampled_from([None, BROKEN]),
    data=st.data(),
)
def test_any_bytes_are_text_and_an_end(
    parts: list[bytes], status: int, broken: Failure | None, data: st.DataObject
) -> None:
    everything = b"".join(parts)

    check_end(reader_of(status=status), [everything], broken)
    one, other = (
        outcome(reader_of(status=status), pieces, broken=broken)
        for pieces in ([everything], data.draw(cut(everything)))
    )
    assert one == other


@settings(max_examples=50)
@given(said=JSON, choice=JSON, broken=st.sampled_from([None, BROKEN]))
def test_any_json_is_text_and_an_end(said: object, choice: object, broken: Failure | None) -> None:
    wrapped = [said, {"choices": [choice]}, {"choices": [{"delta": choice}]}, {"error": said}, {"x_groq": said}]
    for each in wrapped:
        data = json.dumps(each).encode()
        for body in (data, b"data: " + data + b"\n\n", b"error: " + data + b"\n\n", hi() + b"data: " + data + b"\n\n"):
            check_end(reader_of(), [body], broken)
        check_end(reader_of(status=400), [data], broken)


# Secrets

SECRET = "Ωq7\"/&s \\k<é%+ 'y"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in JSON": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "in ASCII JSON": lambda text: json.dumps(text)[1:-1],
    "in a URL": lambda text: quote(text, safe=""),
    "in HTML": html.escape,
    "in Python": lambda text: repr(text)[1:-1],
    "in capitals": str.upper,
}
TWICE = ("in Python", "in capitals")  # in JSON that is quoted as it is, they would be escaped twice
CANARY = "canary"
OUTSIDE_JSON: dict[str, Callable[[str], bytes]] = {
    "a page's title": lambda said: f"<html><title>{said}</title>".encode(),
    "a page's first line": lambda said: f"<p>{said}</p>".encode(),
    "garbage": lambda said: f"[{said}".encode(),
    "an error event's words": lambda said: f"event: error\ndata: {said}\n\n".encode(),
    "an error field's words": lambda said: f"error: {said}\n\n".encode(),
}
INSIDE_JSON: dict[str, Callable[[str], object]] = {
    "an error's message": lambda said: {"error": {"message": said, "type": said, "code": said}},
    "an error": lambda said: {"error": said},
    "an error's detail": lambda said: {"error": {"detail": [{"msg": said}]}},
    "Groq's error": lambda said: {"x_groq": {"error": said}},
    "a choice's error": lambda said: {"choices": [choice_of({}, finish="error", error={"message": said})]},
    "a finish reason": lambda said: delta(finish=said),
    "no completion": lambda said: {"no": said},
}


def check_shows_nothing(found: Outcome, body: bytes) -> None:
    told = " ".join(
        [str(found.message), str(found.type), str(found.headers), body.decode(), json.loads(body)["error"]["message"]]
    )
    for text in (told, str(found.how)):
        assert "Ω" not in text.upper()
        assert "q7" not in text.lower()
        assert "\\u03" not in text.lower().replace("\\\\", "\\")
        assert "%CE" not in text.upper()
    assert CANARY not in str(found.how), "what a server says may quote a prompt"


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("status", [200, 401])
def test_no_secret_shows_wherever_and_however_it_is_quoted(spelling: str, status: int) -> None:
    said = f"{CANARY} {SPELLINGS[spelling](SECRET)} {CANARY}"
    bodies = [make(said) for make in OUTSIDE_JSON.values()]
    for make in INSIDE_JSON.values() if spelling not in TWICE else ():
        raw = json.dumps(make("@")).replace("@", said if "JSON" in spelling else json.dumps(said)[1:-1]).encode()
        bodies += [raw, b"data: " + raw + b"\n\n" + DONE, b"event: error\ndata: " + raw + b"\n\n"]
    for body in bodies:
        reader = reader_of(status=status, secrets=["other secret", SECRET])
        found = outcome(reader, [body])

        assert reader.failure is not None
        check_shows_nothing(found, reader.failure.body)


@pytest.mark.parametrize("place", OUTSIDE_JSON)
@pytest.mark.parametrize("status", [200, 401])
def test_no_beginning_of_a_secret_shows_where_the_body_breaks_inside_it(place: str, status: int) -> None:
    for spelling in ("plain", "in JSON", "in a URL", "in HTML"):
        body = OUTSIDE_JSON[place](SPELLINGS[spelling](SECRET))
        for length in range(len(body)):
            reader = reader_of(status=status, secrets=[SECRET])
            found = outcome(reader, [body[:length]], broken=BROKEN)

            assert reader.failure is not None
            check_shows_nothing(found, reader.failure.body)


@pytest.mark.parametrize("status", [200, 401])
def test_no_beginning_of_a_secret_shows_where_a_body_is_longer_than_is_quoted(status: int) -> None:
    for more in range(len(SECRET.encode()) + 9):
        before = b"<html>" + b" " * (64 * 1024 - 13 - more) + b"<title>"
        reader = reader_of(status=status, secrets=[SECRET])
        found = outcome(reader, [before + SECRET.encode() + b"</title>"])

        assert reader.failure is not None
        check_shows_nothing(found, reader.failure.body)


def test_what_is_not_cut_may_end_as_a_secret_begins() -> None:
    said = {"error": {"message": "who is s"}}
    raw = json.dumps(said).encode()
    for status, body in (
        *((200, event(said)), (200, event(said)[:-2]), (200, raw), (401, raw), (401, b"who is s")),
        *((200, b"event: error\ndata: who is s\n\n"), (200, b"event: error\ndata: " + raw + b"\n")),
    ):
        assert outcome(reader_of(status=status, secrets=["sesame"]), [body]).message == "who is s"
    for body in (b"<title>who is s", b"[who is s"):
        message = outcome(reader_of(secrets=["sesame"]), [body]).message
        assert message is not None
        assert message.endswith("who is s")


@pytest.mark.parametrize("secret", ["sk-abcdef0123", "1234567", "abc"])
def test_a_secret_that_looks_like_a_type_or_a_retry_after_is_not_passed_on(secret: str) -> None:
    headers: Mapping[str, str] = {"retry-after": secret}
    error = {"error": {"message": "x", "type": secret}}
    for status, body in ((200, event(error)), (429, json.dumps(error).encode())):
        found = outcome(reader_of(status=status, headers=headers, secrets=[secret]), [body])

        assert found.type == "upstream_error"
        assert found.headers == {}
    finish = outcome(reader_of(secrets=["sk-abcdef0123"]), [event(delta(finish="SK-ABCDEF0123"))])
    assert finish.how == "no text, another finish reason"
    assert finish.message == "the model gave no text: there was nothing in its reply (finish reason ***)"


def test_every_cut_of_a_stream_with_everything_in_it_is_the_same() -> None:
    stream = (
        b"\xef\xbb\xbf: ping\r\n\r\n"
        + event(delta("", role="assistant"), end="\r\n\r\n")
        + escaped("\ud83d", "\r\r")
        + escaped("\udc4b Привет", "\n\r\n")
        + event(delta(reasoning="so"), end="\r\n\r")
        + event(delta("!"), end="\n\n")
        + b"event: error\r\ndata: no\rdata: luck\n\n"
    )
    for pieces in cuts_of(stream):
        assert outcome(reader_of(), pieces)[:4] == ("👋 Привет!", 502, "error event", "no luck")
