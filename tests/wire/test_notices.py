"""The advertisement after a reply is recognised wherever the network cuts it, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acytoo_sdk._wire.notices import NoticeFilter

SENTENCES = (
    "You can try our new always-free website: https://chat.acytoo.com",
    "Or telegram bot @chatacytoo_bot",
    "For developers, you can use https://api.acytoo.net directly.",
)
# As g4f issue 900 shows it.
SEEN = "".join(sentence + " " * 200 for sentence in SENTENCES)
NOTICE = (" " * 5).join(SENTENCES)


def filtered(pieces: Iterable[str]) -> tuple[str, str | None]:
    notices = NoticeFilter()
    shown = "".join(map(notices.feed, pieces))
    return shown + notices.flush(), notices.notice


def test_the_notice_that_was_seen_is_taken_off() -> None:
    assert filtered(["Hi!\n\n" + SEEN]) == ("Hi!", SEEN.strip())


def test_a_notice_is_recognised_in_every_cut() -> None:
    text = f"Hi\n\nthere!\n\n{NOTICE}  \n"

    assert filtered(text) == ("Hi\n\nthere!", NOTICE)
    for at in range(len(text) + 1):
        assert filtered([text[:at], text[at:]]) == ("Hi\n\nthere!", NOTICE)


@pytest.mark.parametrize("gap", [" ", "\n", "\n\n", "\t \r\n", " " * 900])
def test_any_white_space_may_separate_the_sentences(gap: str) -> None:
    assert filtered(["Hi\n\n" + gap.join(SENTENCES) + gap]) == ("Hi", gap.join(SENTENCES))


def test_a_notice_is_recognised_behind_a_reply_of_any_length() -> None:
    assert filtered(["x" * 10_000 + "\n\n" + NOTICE]) == ("x" * 10_000, NOTICE)


def test_a_reply_that_is_nothing_but_a_notice_is_empty() -> None:
    assert filtered(["\n\n" + NOTICE]) == ("", NOTICE)


def test_further_line_ends_before_the_blank_line_are_text() -> None:
    assert filtered(["Hi\n\n\n\n" + NOTICE]) == ("Hi\n\n", NOTICE)


@pytest.mark.parametrize(
    "text",
    [
        "Hi\n\nYou can go now.",
        "Hi\n\nYes.",
        "Hi\n\nYou",
        "Hi\n\n",
        "Hi\n",
        "\n",
        f"Hi\n{NOTICE}",
        f"Hi {NOTICE}",
        NOTICE,
        f"Hi\n\n {NOTICE}",
        f"Hi\n\n{NOTICE} More.",
        f"Hi\n\n{NOTICE}.",
        f"Hi\n\n{NOTICE}\n\n{NOTICE[:-1]}",
        f"Hi\n\n{SENTENCES[0]}",
        f"Hi\n\n{SENTENCES[0]}  {SENTENCES[1]}",
        f"Hi\n\n{SENTENCES[0]}{SENTENCES[1]}",
        f"Hi\n\n{''.join(SENTENCES)}",
        f"Hi\n\n{SENTENCES[0]} and {SENTENCES[1]}",
        f"Hi\n\n{NOTICE[:-1]}",
        f"Hi\n\n{NOTICE.upper()}",
        "Hi\n\n" + (" " * 3000).join(SENTENCES),
    ],
)
def test_what_is_no_notice_stays_in_every_cut(text: str) -> None:
    assert filtered(text) == (text, None)
    for at in range(0, len(text) + 1, 1 + len(text) // 500):
        assert filtered([text[:at], text[at:]]) == (text, None)


def test_only_the_last_of_two_notices_is_taken_off() -> None:
    text = f"Hi\n\n{NOTICE}\n\n{NOTICE}"

    assert filtered([text]) == filtered(text) == (f"Hi\n\n{NOTICE}", NOTICE)


def test_text_is_held_back_only_while_it_may_be_a_notice() -> None:
    notices = NoticeFilter()

    assert notices.feed("Hi") == "Hi"
    assert notices.feed(" there\n") == " there"
    assert notices.feed("\nYo") == ""
    assert notices.feed("u m") == "\n\nYou m"
    assert notices.feed("ay go\n\n\n") == "ay go\n"
    assert notices.feed(NOTICE) == ""
    assert notices.feed("   \n") == ""
    assert notices.feed("\n") == ""
    assert notices.feed("Bye") == f"\n\n{NOTICE}   \n\nBye"
    assert notices.flush() == ""
    assert notices.notice is None


@pytest.mark.parametrize("text", [SENTENCES[0] + "O", SENTENCES[0] + " x", " ".join(SENTENCES[:2]) + "F", NOTICE + "!"])
def test_text_comes_out_as_soon_as_a_sentence_goes_on_differently(text: str) -> None:
    assert NoticeFilter().feed("\n\n" + text) == "\n\n" + text


@pytest.mark.parametrize("beginning", [SENTENCES[0], NOTICE])
def test_an_endless_run_of_blanks_is_not_held_back_for_ever(beginning: str) -> None:
    notices = NoticeFilter()
    held = notices.feed("Hi\n\n" + beginning)
    assert held == "Hi"

    shown = "".join(notices.feed(" " * 100) for _ in range(50))

    assert shown == f"\n\n{beginning}{' ' * 5000}"


@pytest.mark.parametrize(("longer", "taken"), [(0, True), (1, False)])
def test_the_longest_notice_has_4096_characters(longer: int, taken: bool) -> None:
    notice = "\n\n" + NOTICE
    text = notice + " " * (4096 - len(notice) + longer)

    for pieces in ([text], list(text)):
        assert filtered(pieces) == (("", NOTICE) if taken else (text, None))


FRAGMENTS = [
    "\n", "\n\n", " ", "  \n", "You", "You can try our", "Hi", NOTICE, "\n\n" + NOTICE, *SENTENCES, SENTENCES[2][:20],
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join), st.data())
def test_the_cut_never_matters(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    shown, notice = filtered(pieces)

    assert (shown, notice) == filtered([text])
    assert text.startswith(shown)
    assert text[len(shown) :].strip() == (notice or "")
