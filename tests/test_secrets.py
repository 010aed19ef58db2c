"""Secrets do not show themselves, however a server may have spelled them."""

from __future__ import annotations

import copy
import html
import json
import pickle
from base64 import b64encode
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from between_steps import file_of, interrupt_at_each_step, run_interrupted
from hypothesis import assume, given
from hypothesis import strategies as st

from acytoo_sdk._secrets import MASK, Mask, Secret, _clear_frames, clears_frames, header_secrets, proxy_secrets

PLAIN = "sk-Abc123"
ODD = "p\"a's/s\\w&<ö€😀> +%d\n"
SPELLINGS = {
    "plain": ODD,
    "json": json.dumps(ODD)[1:-1],
    "json, not escaped to ASCII": json.dumps(ODD, ensure_ascii=False)[1:-1],
    "json of PHP": json.dumps(ODD)[1:-1].replace("/", "\\/"),
    "json of Go": json.dumps(ODD)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
    "url": quote(ODD, safe=""),
    "url, slashes kept": quote(ODD),
    "url, lower case": quote(ODD, safe="").lower(),
    "url of browsers": quote(ODD, safe="!'()*"),
    "form": quote_plus(ODD),
    "html": html.escape(ODD),
    "html, quotes kept": html.escape(ODD, quote=False),
    "html of Jinja": html.escape(ODD).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
    "html of PHP": html.escape(ODD).replace("&#x27;", "&#039;"),
    "repr": repr(ODD)[1:-1],
    "utf-8 in a header": ODD.encode().decode("latin-1"),
    "upper case": ODD.upper(),
}


def test_a_secret_shows_a_mask_and_gives_itself_away_only_when_asked() -> None:
    secret = Secret(PLAIN)

    assert repr(secret) == str(secret) == f"{secret}" == "'***'"
    assert PLAIN not in repr([secret]) + repr({"key": secret})
    assert secret.reveal() == PLAIN
    assert secret


def test_no_secret_shows_that_it_is_none() -> None:
    assert repr(Secret("")) == str(Secret("")) == "''"
    assert not Secret("")


def test_a_secret_that_is_still_being_made_shows_a_mask() -> None:
    """As where a debugger looks at one that is being unpickled."""
    assert repr(object.__new__(Secret)) == "'***'"


def test_secrets_compare_hash_copy_and_pickle_by_value() -> None:
    secret = Secret(PLAIN)

    assert secret == Secret(PLAIN) != Secret("other")
    assert hash(secret) == hash(Secret(PLAIN))
    assert pickle.loads(pickle.dumps(secret)) == copy.deepcopy(secret) == secret


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_secret_is_masked_in_every_spelling(spelling: str) -> None:
    assert Mask([ODD])(f"before {spelling} between {spelling} after") == f"before {MASK} between {MASK} after"


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_cut_secret_is_masked_at_every_index(spelling: str) -> None:
    mask = Mask([PLAIN, ODD])

    for length in range(1, len(spelling) + 1):
        assert mask("said: " + spelling[:length], cut=True) == "said: " + MASK


def test_without_a_cut_the_beginning_of_a_secret_is_text() -> None:
    assert Mask([PLAIN])("sk-A") == "sk-A"


def test_a_cut_text_that_ends_in_no_secret_stays() -> None:
    assert Mask([PLAIN])("said: hello", cut=True) == "said: hello"
    assert Mask([PLAIN])("", cut=True) == ""
    assert Mask([PLAIN])(f"{PLAIN}, said it", cut=True) == f"{MASK}, said it"


def test_letters_that_grow_in_lower_case_do_not_shift_the_cut() -> None:
    assert Mask([PLAIN])("İ" * 20 + "sk-Ab", cut=True) == "İ" * 20 + MASK


def test_the_longer_of_two_secrets_is_masked_first() -> None:
    assert Mask(["abcd", "abcdef"])("abcdef abcd") == f"{MASK} {MASK}"
    assert Mask(["abcd", "xabcdy"])("xabcdy") == MASK
    assert Mask(["abcd", "ABCDEF"])("abcdef") == MASK


def test_without_secrets_nothing_is_masked() -> None:
    for mask in (Mask(), Mask([""]), Mask(iter(()))):
        assert mask("text", cut=True) == "text"
        assert mask.header("") == ""


def test_secrets_are_no_patterns() -> None:
    assert Mask(["ab.d"])("abcd ab.d") == f"abcd {MASK}"
    assert Mask(["(?[("])("(?[(") == MASK


@pytest.mark.parametrize("short", ["e", "er", "key"])
def test_a_secret_of_one_to_three_characters_is_masked_where_it_is_all_of_a_header_alone(short: str) -> None:
    mask = Mask([short, PLAIN])
    text = f"the server erred: key {short}"

    assert mask(text) == mask(text, cut=True) == mask.quote(text) == mask.header(text) == text
    assert mask.header(short) == mask.header(f" {short.upper()} ") == MASK
    assert mask.header(f"{short} {PLAIN}") == f"{short} {MASK}"


def test_a_mask_does_not_show_its_secrets() -> None:
    assert repr(Mask([PLAIN])) == str(Mask([PLAIN])) == "Mask()"


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("accept", "text/plain", ()),
        ("user-agent", "mine/1 (key=value)", ()),
        ("x-api-key", " k-1 ", ("k-1",)),
        ("x-signature", "t=169,v1=abcd", ("t=169,v1=abcd", "169", "abcd")),
        ("x-pass", "k-1 k-2", ("k-1 k-2",)),
        ("x-auth", "token k-1", ("token k-1", "k-1")),
        ("x-auth", 'Token token="k-1", nonce=k-2', ('Token token="k-1", nonce=k-2', "k-1", "k-2")),
        ("x-authorization", "Own k-1", ("Own k-1", "k-1")),
        ("authorization", "Bearer  k-1 ", ("Bearer  k-1", "k-1")),
        ("authorization", "Basic dXNlcjpwQDE=", ("Basic dXNlcjpwQDE=", "dXNlcjpwQDE=", "user:p@1", "user", "p@1")),
        ("proxy-authorization", "BASIC dXNlcjpwQDE", ("BASIC dXNlcjpwQDE", "dXNlcjpwQDE", "user:p@1", "user", "p@1")),
        ("authorization", "Basic dTpwOjE=", ("Basic dTpwOjE=", "dTpwOjE=", "u:p:1", "u", "p:1")),
        ("authorization", "Basic w7w6w7Y=", ("Basic w7w6w7Y=", "w7w6w7Y=", "\u00fc:\u00f6", "\u00fc", "\u00f6")),
        ("authorization", "Basic /Dr2", ("Basic /Dr2", "/Dr2", "\u00fc:\u00f6", "\u00fc", "\u00f6")),
        ("authorization", "Basic abcde", ("Basic abcde", "abcde")),
        (
            "authorization",
            'Digest username="me, myself", realm="here", nonce="n-1", uri="/x", qop=auth, response=r-1, opaque=""',
            ("me, myself", "n-1", "r-1"),
        ),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKID/2026/eu/s3, SignedHeaders=host;x-date, Signature=f00d",
            ("AKID/2026/eu/s3", "AKID", "f00d"),
        ),
        ("cookie", "sid=abcd; consent=1; x = efgh ; bare", ("sid=abcd; consent=1; x = efgh ; bare", "abcd", "efgh")),
        ("cookie", 'uri=a,b; sid="c d"', ('uri=a,b; sid="c d"', "a,b", '"c d"')),
    ],
)
def test_a_header_s_secrets_are_its_value_and_the_parts_of_it(name: str, value: str, secrets: Sequence[str]) -> None:
    found = header_secrets(name, value)

    assert {*secrets} <= {*found}
    assert {secret.strip() for secret in found} - {*secrets} <= {"", "1", value.strip(), value.partition(" ")[2]}


def test_a_second_word_is_no_secret_of_its_own_where_the_first_names_no_scheme() -> None:
    assert header_secrets("x-title", "My page") == ("My page",)


@pytest.mark.parametrize("proxy", ["", "http://p:1", "http://user@p:1", "http://user:@p:1"])
def test_a_proxy_without_a_password_has_no_secret(proxy: str) -> None:
    assert proxy_secrets(proxy) == ()


@pytest.mark.parametrize("proxy", ["http://u%20r:p%40\u00fc@p:1", "socks5h://u%20r:p%40%C3%BC@p:1"])
def test_a_proxy_s_secrets_are_its_credentials_as_they_are_written_and_as_they_are_sent(proxy: str) -> None:
    secrets = proxy_secrets(proxy)

    assert {"u%20r", "u r", "p@\u00fc"} < set(secrets)
    assert proxy.partition("@p:1")[0].rpartition(":")[2] in secrets
    for encoding in ("latin-1", "utf-8"):
        assert b64encode("u r:p@\u00fc".encode(encoding)).decode() in secrets


def test_a_proxy_s_credentials_are_secrets_in_any_alphabet() -> None:
    assert {"имя", "пароль", b64encode("имя:пароль".encode()).decode()} < {*proxy_secrets("http://имя:пароль@p:1")}


def test_a_proxy_s_password_needs_no_user() -> None:
    assert {*proxy_secrets("http://:word@p:1")} == {"", "word", b64encode(b":word").decode()}


def test_a_lone_surrogate_is_masked_too() -> None:
    assert Mask(["a\udcffbc"])("a\udcffbc") == MASK


@given(st.lists(st.text(min_size=4), min_size=1, max_size=3), st.text(), st.text())
def test_any_secret_is_masked_in_any_text(secrets: list[str], before: str, after: str) -> None:
    secret = max(secrets, key=len)

    masked = Mask(secrets)(before + secret + after)

    # What is left of the secret can only be a part of the texts around it, or of the mask itself.
    assert masked.count(secret) <= (before + MASK + after).count(secret)


@given(st.text(min_size=4), st.text(), st.data())
def test_any_cut_secret_is_masked(secret: str, before: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, len(secret)))
    assume(secret not in (before + secret[:length])[:-1])  # a whole one that reaches into it is masked first

    masked = Mask([secret])(before + secret[:length], cut=True)

    assert masked.endswith(MASK)


def came_through_frames(cause: BaseException | None = None) -> BaseException:
    """An exception that two frames with a secret in them are behind."""

    def inner(secret: str) -> None:
        raise ValueError(len(secret)) from cause

    def outer(secret: str) -> None:
        inner(secret)

    try:
        outer(PLAIN)
    except ValueError as error:
        return error
    raise AssertionError("it was not raised")


def shows_secret(error: BaseException) -> bool:
    step, found = error.__traceback__, False
    while step is not None:
        found = found or "secret" in step.tb_frame.f_locals
        step = step.tb_next
    return found


def test_no_frame_of_an_exception_or_of_any_behind_it_keeps_its_locals() -> None:
    cause, context, behind = came_through_frames(), came_through_frames(), came_through_frames()
    error = came_through_frames(cause)
    error.__context__, context.__cause__, cause.__context__ = context, behind, error
    errors = (error, cause, context, behind)
    assert all(map(shows_secret, errors))

    _clear_frames(error, None)

    assert not any(map(shows_secret, errors))


def test_the_frames_of_what_the_caller_is_handling_are_the_caller_s() -> None:
    handled = came_through_frames()
    error = came_through_frames(handled)

    _clear_frames(error, handled)

    assert shows_secret(handled)
    assert not shows_secret(error)


def test_what_was_raised_in_another_frame_is_not_taken_for_a_running_frame_s() -> None:
    """The clearing itself raises in no frame of Python's."""

    def interrupt() -> None:
        raise RuntimeError("the handler's")

    traceback = SimpleNamespace(tb_frame=SimpleNamespace(clear=interrupt), tb_next=None)
    error: Any = SimpleNamespace(__cause__=None, __context__=None, __traceback__=traceback)
    with pytest.raises(RuntimeError, match="the handler's"):
        _clear_frames(error, None)


def test_what_a_signal_handler_raises_while_frames_are_cleared_is_not_taken_for_a_running_frame_s() -> None:
    @clears_frames
    def broken() -> None:
        raise ValueError("broken")

    def interrupt() -> None:
        raise RuntimeError("the handler's")

    def attempt(step: int) -> int:
        raised: list[str] = []

        def run() -> None:
            try:
                broken()
            except Exception as error:
                raised.append(str(error))

        steps = run_interrupted(run, {step: interrupt}, file=file_of(clears_frames))
        assert raised == ["the handler's" if step < steps else "broken"]
        return steps

    assert interrupt_at_each_step(attempt) > 20
