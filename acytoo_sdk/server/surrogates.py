"""Surrogates: the halves of characters that JSON may hold one by one. No I/O.

JSON writes a character like a waving hand as two, `\\ud83d\\udc4b`, and both servers and web pages cut texts between
them. A half alone is no text: nothing can encode it.
"""

from __future__ import annotations


def join_halves(text: str) -> str:
    """The text with its halves joined to characters; one that is alone becomes U+FFFD."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class HalfJoiner:
    """Joins the halves in a text that comes in parts: one that waits for the other is held back."""

    def __init__(self) -> None:
        self._first = ""

    def receive(self, text: str) -> str:
        """Takes the next part, and returns the text that is whole."""
        if text.isascii() and not self._first:
            return text
        text, self._first = self._first + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._first = text[:-1], text[-1]
        return join_halves(text)

    def receive_eof(self) -> str:
        """There is no more: returns what stands for a half that is still alone."""
        alone, self._first = self._first, ""
        return join_halves(alone)
