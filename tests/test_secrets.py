"""Secrets do not show themselves, however a server may have spelled them."""

from __future__ import annotations

import copy
import html
import json
import pickle
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from acytoo_sdk._secrets import MASK, Mask, Secret, header_secrets

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
    assert repr(Secret()) == str(Secret("")) == "''"
    assert not Secret()


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
    assert Mask(["abc", "abcdef"])("abcdef abc") == f"{MASK} {MASK}"
    assert Mask(["abc", "xabcy"])("xabcy") == MASK


def test_without_secrets_nothing_is_masked() -> None:
    for mask in (Mask(), Mask([""]), Mask(iter(()))):
        assert mask("text", cut=True) == "text"


def test_secrets_are_no_patterns() -> None:
    assert Mask(["a.c"])("abc a.c") == f"abc {MASK}"
    assert Mask(["(["])("([") == MASK


def test_a_mask_does_not_show_its_secrets() -> None:
    assert PLAIN not in repr(Mask([PLAIN])) + str(Mask([PLAIN]))


def test_basic_credentials_that_are_not_base64_are_masked_as_they_are() -> None:
    assert set(header_secrets("authorization", "Basic abcde")) == {"Basic abcde", "abcde", ""}


def test_a_lone_surrogate_is_masked_too() -> None:
    assert Mask(["a\udcffb"])("a\udcffb") == MASK


@given(st.lists(st.text(min_size=2), min_size=1, max_size=3), st.text(), st.text())
def test_any_secret_is_masked_in_any_text(secrets: list[str], before: str, after: str) -> None:
    secret = max(secrets, key=len)

    masked = Mask(secrets)(before + secret + after)

    # What is left of the secret can only be a part of the texts around it, or of the mask itself.
    assert masked.count(secret) <= (before + MASK + after).count(secret)


@given(st.text(min_size=1), st.text(), st.data())
def test_any_cut_secret_is_masked(secret: str, before: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, len(secret)))
    assume(secret not in (before + secret[:length])[:-1])  # a whole one that reaches into it is masked first

    masked = Mask([secret])(before + secret[:length], cut=True)

    assert masked.endswith(MASK)
