"""What an upstream sends, in every form that servers are known to use, in every cut: its text, and how it ended."""

from __future__ import annotations

import json
from typing import Any

import pytest
from completion_readers import (
    BROKEN,
    DONE,
    Outcome,
    choice_of,
    completion,
    delta,
    event,
    hi,
    outcome,
    outcome_in_every_cut,
    reader_of,
)

from acytoo_sdk.server import completions, sse
from acytoo_sdk.server.completions import completion_body
from acytoo_sdk.server.failures import Failure

STOP = event(delta(finish="stop"))
THOUGHT = event(delta(reasoning_content="Hm"))
MESSAGE = "the model is overloaded"
ERROR = {"error": {"message": MESSAGE, "type": "overloaded", "code": 429}}

WHOLE: dict[str, bytes] = {
    "OpenAI's": event(delta("", role="assistant", refusal=None)) + hi() + STOP + DONE,
    "no space behind the colon": hi().replace(b"data: ", b"data:") + b"data:[DONE]\n\n",
    "both line ends": (hi() + STOP + DONE).replace(b"\n", b"\r\n"),
    "carriage returns": (hi() + STOP + DONE).replace(b"\n", b"\r"),
    "a mark before all": b"\xef\xbb\xbf" + hi() + DONE,
    "blank lines before all": b"\r\n\n \t\n" * 40 + hi() + DONE,
    "a mark and blank lines": b"\xef\xbb\xbf\n\n" + hi() + DONE,
    "comments as signs of life": b": OPENROUTER PROCESSING\n\n:\n\n" + hi() + b": keep-alive\n\n" + STOP + DONE,
    "one object over several data lines": event(delta("Hi")).replace(b', "', b',\ndata: "') + DONE,
    "no blank lines between events": hi().strip() + b"\n" + STOP.strip() + b"\n" + DONE.strip() + b"\n\n",
    "no blank lines, and blanks": hi().strip() + b"\ndata:   \ndata: [DONE] \ndata: {}\n\n",
    "no blank lines, and none at the end": hi().strip() + b"\ndata:\n" + DONE.strip(),
    "a named event": b"event: message\n" + hi() + DONE,
    "empty data": b"data:\n\n" + hi() + b"data: \n\ndata:   \n\n" + DONE,
    "blanks around DONE": hi() + b"data:  [DONE] \n\n" + b"data: nonsense\n\n",
    "null and empty contents": event(delta(None, content=None)) + event(delta("")) + hi() + event(delta("")) + STOP,
    "a delta that is null": event({"choices": [choice_of(None)]}) + hi() + DONE,
    "reasoning, before and beside text": THOUGHT + event(delta("Hi", reasoning="so")) + STOP + DONE,
    "figures at the end": hi() + STOP + event({"choices": [], "usage": {"total_tokens": 3}}) + DONE,
    "figures without choices": hi() + STOP + event({"usage": {}}) + event({"choices": None}) + DONE,
    "Azure's filter results first": event({"choices": [], "prompt_filter_results": [{}]}) + hi() + STOP + DONE,
    "Azure's late filter results": hi()
    + event({"choices": [{"index": 0, "content_filter_offsets": {}}]})
    + STOP
    + DONE,
    "finish length": hi(finish="length") + DONE,
    "a reason of the server's own": hi(finish="eos_token") + DONE,
    "a reason of Google's": hi(finish="STOP") + DONE,
    "no DONE": hi() + STOP,
    "an empty reason, and null, behind the reason": hi(finish="stop")
    + hi(finish="").replace(b"Hi", b"")
    + event(delta()),
    "DONE alone": hi() + DONE,
    "DONE without a line end": hi() + DONE.strip(),
    "something behind DONE": hi() + DONE + b"data: nonsense\n\nerror: late\n\n" + hi(),
    "empty reasons in each chunk, of old Ollama": hi(finish="") + event(delta("", finish="stop")) + DONE,
    "Perplexity's, all of the text beside each delta": event(
        {"object": "chat.completion", "choices": [choice_of({"content": "H"}, message={"content": "H"})]}
    )
    + event({"choices": [choice_of({"content": "i"}, message={"content": "Hi"}, finish="stop")]}),
    "Mistral's parts": event(
        delta(
            [
                {"type": "thinking", "thinking": [], "text": "Hm"},
                {"type": "text", "text": "H"},
                {"type": "text", "text": "i"},
            ]
        )
    )
    + STOP
    + DONE,
    "parts that are none": event(delta(["x", {"type": "text", "text": 1}, {"type": "text", "text": "Hi"}])) + DONE,
    "a refusal": event(delta(None, refusal="Hi")) + STOP + DONE,
    "other answers": event({"choices": [choice_of({"content": "No"}) | {"index": 1}, choice_of({"content": "Hi"})]})
    + event({"choices": [choice_of({}, finish="error") | {"index": 1}]})
    + DONE,
    "choices that are none": event({"choices": "Hi"}) + event({"choices": ["x", None]}) + hi() + DONE,
    "a delta in place of which there is a message": event({"choices": [{"message": {"content": "Hi"}}]}) + DONE,
    "errors that are null": event(delta("Hi") | {"error": None, "error_code": 0, "x_groq": {"error": None}}) + DONE,
    "Groq's own": event(delta("Hi") | {"x_groq": {"id": "req_1"}}) + event(delta() | {"x_groq": None}) + STOP + DONE,
    "in one list": event([delta("Hi")]) + DONE,
    "JSON": completion("Hi"),
    "JSON without a reason": completion("Hi", finish=None),
    "JSON on many lines, behind blanks and a mark": b"\xef\xbb\xbf\n\n " + completion("Hi").replace(b", ", b",\r\n"),
    "JSON with empty figures": completion("Hi", usage={}, error=None),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_reply_is_whole_in_every_cut(name: str) -> None:
    assert outcome_in_every_cut(WHOLE[name]) == Outcome("Hi")


ENDED = Outcome("Hi", 502, "ended in the middle")
SILENT = "the model gave no text: there was nothing in its reply"
NOT_WHOLE: dict[str, tuple[bytes, Outcome]] = {
    # The text is there, and the reply is not whole.
    "an end with neither": (hi(), ENDED),
    "an end after an empty delta, Ollama's": (hi() + event(delta("", role="assistant")), ENDED),
    "null reasons": (hi(finish=None) + event(delta(finish="null")), ENDED),
    "a reason that is no text": (hi() + event(delta(finish=1)) + event(delta(finish={"type": "stop"})), ENDED),
    "an event cut short": (hi() + STOP[:40], ENDED),
    "a DONE cut short": (hi() + DONE[:9], ENDED),
    "an event cut short behind a line that is half an object": (hi() + hi().strip() + b"\ndata: {\ndata: {", ENDED),
    "half an object before a whole one, in the last event": (hi() + b"data: {\n" + hi().strip(), ENDED),
    "an error object": (hi() + event(ERROR) + DONE, Outcome("Hi", 429, "error object", MESSAGE, "overloaded")),
    "an error object without a blank line": (hi() + event(ERROR)[:-2], Outcome("Hi", 429, "error object", MESSAGE)),
    "an error beside text": (event(delta("Hi") | ERROR), Outcome("Hi", 429, "error object", MESSAGE)),
    "an error after the reason": (hi(finish="stop") + event(ERROR), Outcome("Hi", 429, "error object", MESSAGE)),
    "Groq's error": (
        hi() + event(delta() | {"x_groq": {"id": "req_1", "error": MESSAGE}}) + STOP + DONE,
        Outcome("Hi", 502, "error object", MESSAGE, "upstream_error"),
    ),
    "FastChat's error": (
        hi() + event({"text": MESSAGE, "error_code": 50001}) + DONE,
        Outcome("Hi", 502, None, MESSAGE),
    ),
    "vLLM's old error": (
        hi() + event({"object": "error", "message": MESSAGE, "type": "BadRequestError", "code": 400}) + DONE,
        Outcome("Hi", 400, "error object", MESSAGE, "BadRequestError"),
    ),
    "OpenRouter's, beside the choice": (
        hi() + event({"error": {"code": 502, "message": MESSAGE}, "choices": [choice_of({}, finish="error")]}) + DONE,
        Outcome("Hi", 502, "error object", MESSAGE),
    ),
    "OpenRouter's, in the choice": (
        hi() + event({"choices": [choice_of({}, finish="error", error={"code": 429, "message": MESSAGE})]}) + DONE,
        Outcome("Hi", 429, "finish reason error", MESSAGE),
    ),
    "an error event": (
        hi() + b"event: error\n" + event(ERROR | {"message": "other"}),
        Outcome("Hi", 429, "error event", MESSAGE, "overloaded"),
    ),
    "an error event of mere words": (hi() + b"event: error\ndata: no luck\n\n", Outcome("Hi", 502, None, "no luck")),
    "an error event in two lines": (
        hi() + b"event: error\ndata: no\ndata: luck\n\n",
        Outcome("Hi", 502, None, "no luck"),
    ),
    "an error event that says nothing": (
        hi() + b"event: error\n\n" + DONE,
        Outcome("Hi", 502, "error event", "the upstream server failed: error event"),
    ),
    "an error event that says DONE": (hi() + b"event: error\n" + DONE, Outcome("Hi", 502, "error event", "[DONE]")),
    "an error field, of old llama.cpp": (
        hi() + b'error: {"code": 500, "message": "' + MESSAGE.encode() + b'", "type": "server_error"}\n\n',
        Outcome("Hi", 500, "error event", MESSAGE, "server_error"),
    ),
    "an error field at the very end": (hi() + b"error: no luck", Outcome("Hi", 502, "error event", "no luck")),
    "an event that is not JSON": (hi() + b"data: nonsense\n\n" + STOP + DONE, Outcome("Hi", 502, "event not JSON")),
    "an event that is not UTF-8": (hi() + b'data: {"a": "\xff"}\n\n' + DONE, Outcome("Hi", 502, "event not JSON")),
    "lines that are not all JSON": (
        hi() + hi().strip() + b"\ndata: nonsense\n\n" + DONE,
        Outcome("Hi", 502, "event not JSON"),
    ),
    "an event that is no object": (hi() + b"data: 7\n\n" + DONE, Outcome("Hi", 502, "no object")),
    "an event that is a list": (hi() + b"data: [{}, {}]\n\n" + DONE, Outcome("Hi", 502, "no object")),
    "an event nested beyond all measure": (
        hi() + b"data: " + b"[" * 500_000 + b"\n\n",
        Outcome("Hi", 502, "event not JSON"),
    ),
    "no blank lines, and cut short": (
        hi().strip() + b"\n" + hi().strip() + b"\n" + STOP[:20],
        Outcome("HiHi", 502, "ended in the middle"),
    ),
    # There is no text.
    "nothing": (b"", Outcome("", 502, "ended before any text")),
    "blanks": (b"\r\n\n  \n", Outcome("", 502, "ended before any text")),
    "a mark": (b"\xef\xbb\xbf", Outcome("", 502, "ended before any text")),
    "comments": (b": ping\n\n: ping\n\n", Outcome("", 502, "ended before any text")),
    "a role": (event(delta("", role="assistant")), Outcome("", 502, "ended before any text")),
    "words": (b"Internal server error", Outcome("", 502, "ended before any text")),
    "DONE alone": (DONE, Outcome("", 502, "no text, no finish reason", f"{SILENT} (no finish reason)")),
    "a reason alone": (STOP + DONE, Outcome("", 502, "no text, finish reason stop", f"{SILENT} (finish reason stop)")),
    "a reason alone, no DONE": (STOP, Outcome("", 502, "no text, finish reason stop")),
    "a reason of its own": (
        event(delta(finish="load")) + DONE,
        Outcome("", 502, "no text, another finish reason", f"{SILENT} (finish reason load)"),
    ),
    "tool calls": (
        event(delta(tool_calls=[{}])) + event(delta(finish="tool_calls")) + DONE,
        Outcome(
            "",
            502,
            "no text, finish reason tool_calls",
            "the model gave no text: it asked for a tool, of which this server has none (finish reason tool_calls)",
        ),
    ),
    "an old function call": (
        event(delta(finish="function_call")) + DONE,
        Outcome(
            "",
            502,
            "no text, finish reason function_call",
            "the model gave no text: it asked for a tool, of which this server has none (finish reason function_call)",
        ),
    ),
    "an error event alone": (b"event: error\n" + event(ERROR), Outcome("", 429, "error event", MESSAGE)),
    "JSON of an error": (json.dumps(ERROR).encode(), Outcome("", 429, "error object", MESSAGE, "overloaded")),
    "JSON of an error in a list, Google's": (json.dumps([ERROR]).encode(), Outcome("", 429, "error object", MESSAGE)),
    "JSON of LM Studio's at a wrong address": (
        b'{"error": "Unexpected endpoint"}',
        Outcome("", 502, "error object", "Unexpected endpoint"),
    ),
    "JSON without text": (completion("", finish="stop"), Outcome("", 502, "no text, finish reason stop")),
    "JSON with nothing": (completion(None, finish=None), Outcome("", 502, "ended before any text")),
    "JSON that is no completion": (
        b'{"status": "ok"}',
        Outcome("", 502, "no completion", 'the upstream server sent no completion: {"status": "ok"}'),
    ),
    "JSON without choices": (b'{"choices": []}', Outcome("", 502, "no completion")),
    "JSON that is no object": (b"[1, 2]", Outcome("", 502, "no object")),
    "JSON cut short": (completion("Hi")[:-9], Outcome("", 502, "garbage")),
    "Ollama's own lines": (
        b'{"message": {"content": "Hi"}}\n{"done": true}\n',
        Outcome("", 502, "garbage", 'the upstream server sent neither events nor JSON: {"message": {"content": "Hi"}}'),
    ),
    "a web page": (
        b"\r\n<!doctype html><html><title>Just a\nmoment</title>",
        Outcome("", 502, "web page", "the upstream server sent a web page: Just a moment"),
    ),
    "a page that says nothing": (b"<", Outcome("", 502, "web page", "the upstream server sent a web page: <")),
    "a mark behind a blank": (b"\n\xef\xbb\xbf" + completion("Hi"), Outcome("", 502, "ended before any text")),
    "a page whose title is empty": (
        b"<title></title>",
        Outcome("", 502, "web page", "the upstream server sent a web page"),
    ),
    "a page that is not UTF-8": (
        b"<title>\xffWait\xd0",
        Outcome("", 502, "web page", "the upstream server sent a web page: \ufffdWait\ufffd"),
    ),
    "words of an error that are not UTF-8": (
        hi() + b"event: error\ndata: \xffoverloaded\xd0\n\n",
        Outcome("Hi", 502, "error event", "\ufffdoverloaded\ufffd"),
    ),
}


@pytest.mark.parametrize("name", NOT_WHOLE)
def test_a_reply_that_is_not_whole_is_a_failure_behind_its_text_in_every_cut(name: str) -> None:
    data, expected = NOT_WHOLE[name]

    found = outcome_in_every_cut(data) if len(data) < 10_000 else outcome(reader_of(), [data])

    assert found.text == expected.text
    assert found.status == expected.status
    assert found.how == (expected.how or found.how)
    assert found.message == (expected.message or found.message)
    assert found.type == (expected.type or found.type)
    assert found.headers == {}


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("error", "error"),
        ("content_filter", "content_filter"),
        ("abort", "abort"),
        ("insufficient_system_resource", "insufficient_system_resource"),
        ("network_error", "network_error"),
        ("sensitive", "sensitive"),
        ("SAFETY", "safety"),
        ("RECITATION", "recitation"),
        ("BLOCKLIST", "blocklist"),
        ("PROHIBITED_CONTENT", "prohibited_content"),
        ("SPII", "spii"),
        ("content_filter: RECITATION", "content_filter"),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", "function_call_filter"),
        ("Content_Filter ", "content_filter"),
    ],
)
def test_a_reason_that_takes_back_what_was_said_breaks_the_reply(reason: str, how: str) -> None:
    for finish in (event(delta(finish=reason)), event(delta("", finish=reason)) + event({"usage": {}})):
        for data in (hi() + finish + DONE, hi() + finish, hi(finish=reason) + DONE):
            found = outcome(reader_of(), [data])

            assert found[:3] == ("Hi", 502, f"finish reason {how}")
            assert found.message == f"the upstream server failed: finish reason {how}"
    assert outcome(reader_of(), [completion("Hi", finish=reason)])[:3] == ("Hi", 502, f"finish reason {how}")


def test_reasoning_alone_is_named() -> None:
    for thought in (
        delta(reasoning_content="Hm"),
        delta("", reasoning="Hm"),
        delta([{"type": "thinking", "thinking": []}]),
    ):
        found = outcome(reader_of(), [event(thought) + event(delta("", reasoning=None, finish="length")) + DONE])

        assert found[:3] == ("", 502, "no text, finish reason length")
        assert found.message == (
            "the model gave no text: all that came was reasoning, which is no part of a reply (finish reason length)"
        )


@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        ({"error": {"message": "x", "code": 400}}, 400, "x"),
        ({"error": {"message": "x", "code": 599}}, 599, "x"),
        ({"error": {"message": "x", "code": "429"}}, 429, "x"),
        ({"error": {"message": "x", "code": 399}}, 502, "x"),
        ({"error": {"message": "x", "code": 600}}, 502, "x"),
        ({"error": {"message": "x", "code": "4290"}}, 502, "x"),
        ({"error": {"message": "x", "code": "４２９"}}, 502, "x"),
        ({"error": {"message": "x", "code": True}}, 502, "x"),
        ({"error": {"message": "x", "code": 429.0}}, 502, "x"),
        ({"error": {"message": "x", "code": "rate_limit", "status": 429}}, 429, "x"),
        ({"error": {"message": "x", "status_code": 503}}, 503, "x"),
        ({"error": {"message": "x", "code": None}, "status_code": 503}, 503, "x"),
        ({"error": {"message": "x", "code": 401}, "code": 503}, 401, "x"),
        ({"error": "x", "code": 418}, 418, "x"),
        ({"error": True, "message": "x"}, 502, "x"),
        ({"error": {"code": 500}, "message": "x"}, 500, "x"),
        ({"error": {"detail": "x"}}, 502, "x"),
        ({"error": {"message": {"detail": [{"loc": ["body"], "msg": "x"}, {"msg": "y"}]}}}, 502, "x"),
        ({"object": "error", "message": {"detail": [{"msg": "x"}]}, "type": "t"}, 502, "x"),
        ({"error": {"message": ""}}, 502, "the upstream server failed: error object"),
        ({"error": {"message": 5}}, 502, "the upstream server failed: error object"),
        ({"error": [[[[[["too deep"]]]]]]}, 502, "the upstream server failed: error object"),
        (
            {"error": {"message": {"detail": {"detail": {"detail": {"detail": {"detail": "x"}}}}}}},
            502,
            "the upstream server failed: error object",
        ),
        ({"error": {"message": "a\n\t b\x00\u202e"}}, 502, "a b\\x00\\u202e"),
        ({"error": {"message": "x" * 300}}, 502, "x" * 200 + "..."),
    ],
)
def test_an_error_object_is_read_wherever_its_words_and_its_code_are(said: Any, status: int, message: str) -> None:
    for data in (event(said), json.dumps(said).encode(), b"event: error\n" + event(said)):
        found = outcome(reader_of(), [data])

        assert found.status == status
        assert found.message == message.replace("error object", found.how or "")


@pytest.mark.parametrize("kind", [None, 1, "", "two words", "x" * 65, "тип", "a\n"])
def test_a_type_that_is_none_is_not_passed_on(kind: object) -> None:
    assert outcome(reader_of(), [event({"error": {"message": "x", "type": kind}})]).type == "upstream_error"


# Breaks


def test_a_break_is_told_behind_the_text_that_came_before_it_in_every_cut() -> None:
    broken = Outcome("Hi", 504, "broke", "the connection broke", "upstream_error", {})

    assert outcome_in_every_cut(hi(), broken=BROKEN) == broken
    assert outcome_in_every_cut(hi() + STOP[:50], broken=BROKEN) == broken
    assert outcome_in_every_cut(hi() + b"data: nonsense", broken=BROKEN) == broken
    assert outcome_in_every_cut(hi()[:-2], broken=BROKEN) == broken, "all of its object had come"


@pytest.mark.parametrize("data", [b"", b": ping\n\n", b'{"choices": [', b"\xef\xbb", b"data: {", b"Hello"])
def test_a_break_before_any_text_is_what_is_told(data: bytes) -> None:
    assert outcome_in_every_cut(data, broken=BROKEN)[:3] == ("", 504, "broke")


def test_a_break_behind_the_end_is_none() -> None:
    assert outcome_in_every_cut(hi() + STOP, broken=BROKEN) == Outcome("Hi")
    assert outcome_in_every_cut(hi() + DONE, broken=BROKEN) == Outcome("Hi")
    assert outcome_in_every_cut(completion("Hi"), broken=BROKEN) == Outcome("Hi")
    assert outcome_in_every_cut(STOP, broken=BROKEN)[:3] == ("", 502, "no text, finish reason stop")


def test_a_failure_that_was_told_before_a_break_stays() -> None:
    assert outcome_in_every_cut(event(ERROR)[:-1], broken=BROKEN)[:3] == ("", 429, "error object")
    assert outcome_in_every_cut(b"<html>", broken=BROKEN)[:3] == ("", 502, "web page")
    assert outcome_in_every_cut(b"error: no luck", broken=BROKEN)[:4] == ("", 502, "error event", "no luck")
    assert outcome_in_every_cut(b"error: no lu\xd0", broken=BROKEN).message == "no lu", "half a character is none"


def test_what_comes_behind_the_end_changes_nothing() -> None:
    for data in (hi() + DONE, hi() + event(ERROR), completion("Hi")):
        reader = reader_of()
        text = reader.receive_data(data) + reader.receive_eof()
        failure = reader.failure

        assert text == "Hi"
        assert (reader.receive_data(hi() + event(ERROR)), reader.receive_eof(), reader.receive_break(BROKEN)) == (
            "",
        ) * 3
        assert reader.failure is failure
        assert reader.over


def test_a_server_that_said_why_its_text_ends_is_finished_before_it_is_over() -> None:
    reader = reader_of()

    reader.receive_data(hi())
    assert (reader.finished, reader.over) == (False, False)
    reader.receive_data(STOP)
    assert (reader.finished, reader.over) == (True, False)
    reader.receive_data(event(ERROR))
    assert (reader.finished, reader.over) == (False, True)


def test_text_is_there_with_the_last_byte_of_its_event() -> None:
    reader = reader_of()

    assert reader.receive_data(hi()[:-1]) == ""
    assert reader.receive_data(hi()[-1:] + hi()) == "HiHi"
    assert not reader.over


# Bounds


def test_an_event_that_is_too_large_breaks_the_reply_in_every_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", len(hi()))

    found = outcome_in_every_cut(hi() + event(delta("Hello")) + DONE)

    assert found[:4] == ("Hi", 502, "event too large", "the upstream server sent an event that is too large")
    assert outcome_in_every_cut(hi() + DONE + b"x" * 200) == Outcome("Hi"), "nothing behind the end is read"


def test_a_body_without_events_that_is_too_large_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "MAX_EVENT_BYTES", len(completion("Hi")))

    assert outcome_in_every_cut(completion("Hi")) == Outcome("Hi")
    assert outcome_in_every_cut(completion("Hi!"))[:3] == ("", 502, "too large")
    assert outcome_in_every_cut(b"\n" * 500 + completion("Hi")) == Outcome("Hi"), "blanks do not count"


def test_the_event_that_would_become_too_large_is_not_gathered_for_ever() -> None:
    reader = reader_of()
    reader.receive_data(b"[")
    for _ in range(5):
        reader.receive_data(b" " * 2**20)

    assert reader.over
    assert reader.failure is not None
    assert reader.failure.how == "too large"
    assert reader.receive_eof() == ""


# Errors by status


@pytest.mark.parametrize(
    ("status", "body", "message", "kind"),
    [
        (400, json.dumps(ERROR), MESSAGE, "overloaded"),
        (400, "no luck", "no luck", "upstream_error"),
        (401, '{"error": "who?"}', "who?", "upstream_error"),
        (404, '{"detail": "Not Found"}', "Not Found", "upstream_error"),
        (422, '{"detail": [{"loc": ["body", "model"], "msg": "Field required"}]}', "Field required", "upstream_error"),
        (400, json.dumps([{"error": {"code": 400, "message": MESSAGE, "status": "INVALID_ARGUMENT"}}]), MESSAGE, None),
        (500, '{"message": "boom"}', "boom", "upstream_error"),
        (500, '{"errors": [1]}', '{"errors": [1]}', "upstream_error"),
        (500, '"boom"', "boom", "upstream_error"),
        (500, "\n\n  Internal\tServer Error\nat x.py", "Internal Server Error", "upstream_error"),
        (502, "\ufeff<html><title>Bad gateway</title></html>", "Bad gateway", "upstream_error"),
        (500, "\ufeffboom", "boom", "upstream_error"),
        (503, "", "the upstream server answered 503 Service Unavailable", "upstream_error"),
        (599, " \n", "the upstream server answered 599", "upstream_error"),
        (429, "data: {}\n\n", "data: {}", "upstream_error"),
    ],
)
def test_an_error_status_is_the_clients_with_its_message(
    status: int, body: str, message: str, kind: str | None
) -> None:
    found = outcome_in_every_cut(body.encode(), status=status)

    assert found[:4] == ("", status, f"upstream {status}", message)
    assert found.type == (kind or "upstream_error")


def test_a_code_in_the_body_does_not_change_the_status() -> None:
    assert outcome(reader_of(status=403), [json.dumps(ERROR).encode()]).status == 403


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("7", True),
        (" 120 ", True),
        ("Fri, 31 Dec 1999 23:59:59 GMT", True),
        ("Friday, 31-Dec-99 23:59:59 GMT", True),
        ("Fri Dec 31 23:59:59 1999", True),
        ("", False),
        ("12345678901", False),
        ("soon", False),
        ("1.5", False),
        ("7\r\nx: y", False),
        ("secret-1", False),
        ("1234567", False),
    ],
)
def test_a_usable_retry_after_is_kept(value: str, kept: bool) -> None:
    headers = {"retry-after": value}

    found = outcome(reader_of(status=429, headers=headers, secrets=["1234567", "secret-1"]), [b"{}"])

    assert found.headers == ({"retry-after": value.strip()} if kept else {})
    assert outcome(reader_of(headers=headers), [event(ERROR)]).headers == {}, "it is a status' own"


def test_a_compressed_error_is_not_quoted() -> None:
    found = outcome(reader_of(status=500, headers={"content-encoding": "gzip"}), [b"\x1f\x8b\x08 message"])

    assert found.message == "the upstream server answered 500 Internal Server Error"


def test_of_an_error_no_more_is_kept_than_can_be_quoted() -> None:
    for pieces in ([b" " * 64 * 1024, b'{"error": "x"}'], [b" " * 64 * 1024 + b'{"error": "x"}']):
        found = outcome(reader_of(status=400), pieces)

        assert found.message == "the upstream server answered 400 Bad Request"
    fits = outcome(reader_of(status=400), [b" " * (64 * 1024 - 14) + b'{"error": "x"}'])
    assert fits.message == "x"


def test_an_error_that_is_cut_is_that_error_all_the_same() -> None:
    assert outcome(reader_of(status=429), [b'{"err'], broken=BROKEN)[:4] == ("", 429, "upstream 429", '{"err')


# Heads


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_a_redirect_is_not_followed(status: int) -> None:
    with pytest.raises(Failure) as failure:
        reader_of(status=status, headers={"location": "http://127.0.0.1/"})

    assert (failure.value.status, failure.value.how) == (502, f"upstream {status}")
    assert "redirect" in failure.value.message


@pytest.mark.parametrize("status", [0, 101, 199, 600, 999])
def test_a_status_that_is_none_is_a_failure(status: int) -> None:
    with pytest.raises(Failure) as failure:
        reader_of(status=status)

    assert failure.value.message == f"the upstream server answered with the status {status}"
    assert (failure.value.status, failure.value.how) == (502, f"upstream {status}")


@pytest.mark.parametrize("status", [200, 201, 299])
def test_any_good_status_may_have_a_reply(status: int) -> None:
    assert outcome(reader_of(status=status), [hi() + DONE]) == Outcome("Hi")


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", " GZIP"])
def test_a_compressed_reply_is_refused_by_its_head(coding: str) -> None:
    with pytest.raises(Failure) as failure:
        reader_of(headers={"content-encoding": coding})

    assert (failure.value.status, failure.value.how) == (502, "compressed")


@pytest.mark.parametrize("coding", ["", "identity", " Identity "])
def test_a_reply_that_is_not_compressed_may_say_so(coding: str) -> None:
    assert outcome(reader_of(headers={"content-encoding": coding}), [hi() + DONE]) == Outcome("Hi")


# Requests


def test_a_request_says_what_was_asked_and_asks_for_a_stream() -> None:
    messages = ({"role": "user", "content": "Привет \ud83d"},)

    body = completion_body(messages, model="m", temperature=0)

    assert json.loads(body) == {"model": "m", "messages": list(messages), "stream": True, "temperature": 0}
    assert body.isascii()
    assert "temperature" not in json.loads(completion_body(messages, model="m", temperature=None))


def test_a_number_that_is_none_is_not_sent() -> None:
    with pytest.raises(ValueError, match="JSON"):
        completion_body([], model="m", temperature=float("nan"))
