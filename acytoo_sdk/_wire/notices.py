"""Notices: the advertisement the old service put after its replies, recognised in a stream of text.

Only text comes in and goes out here, in whatever pieces the network cuts it.

Source: g4f issue 900 shows the advertisement: three sentences, runs of about 200 spaces between them and after the
last; https://github.com/xtekky/gpt4free/issues/900
"""

from __future__ import annotations

import re

_BLANK_LINE = "\n\n"
_SENTENCES = (
    "You can try our new always-free website: https://chat.acytoo.com",
    "Or telegram bot @chatacytoo_bot",
    "For developers, you can use https://api.acytoo.net directly.",
)
_NOTICE = re.compile(_BLANK_LINE + r"\s+".join(map(re.escape, _SENTENCES)) + r"\s*")
# The one that was seen has about 800 characters; an endless run of spaces must not be held back for ever.
_LONGEST = 4096


class NoticeFilter:
    """Takes a notice off the end of a reply; text passes as soon as it cannot be the beginning of one.

    A notice is a blank line, the three sentences with white space between them, and nothing but white space after them.
    A reply that ends inside one, or goes on after one, keeps it as text.

    Attributes:
        notice: the notice, without the white space around it; None until the reply's end, and where there was none.
        held: the text that may be the beginning of one.
    """

    def __init__(self) -> None:
        self.notice: str | None = None
        self.held = ""

    def feed(self, text: str) -> str:
        """Takes the next text; returns what can be shown, "" if that is nothing."""
        text = self.held + text
        start = _possible_start(text)
        self.held = text[start:]
        return text[:start]

    def flush(self) -> str:
        """The reply is over: returns what was held back, unless it is a notice."""
        held, self.held = self.held, ""
        if _NOTICE.fullmatch(held):
            self.notice = held.strip()
            return ""
        return held


def _possible_start(text: str) -> int:
    """Where a notice may begin in a text; its length if nowhere."""
    start = text.find("\n")
    while start != -1:
        if len(text) - start <= _LONGEST and _may_be_notice(text, start):
            return start
        start = text.find("\n", start + 1)
    return len(text)


def _may_be_notice(text: str, at: int) -> bool:
    """Whether the text from `at` on is the beginning of a notice, or the whole of one."""
    expected = _BLANK_LINE
    for sentence in _SENTENCES:
        expected += sentence
        if not text.startswith(expected, at):
            return expected.startswith(text[at:])
        after = at + len(expected)
        at = len(text) - len(text[after:].lstrip())
        if at == after and at < len(text):
            return False
        expected = ""
    return at == len(text)
