"""Stop words: where a reply ends for the caller, though the server goes on.

The endpoint knows none, so that whoever is to honour them looks for them in what arrives, however it is cut.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence

from ..._checks import check_text, type_name
from ..._streams.async_stream import AsyncStream
from ..._streams.stream import Stream
from ...errors import AcytooError, InvalidRequestError


def check_stop(name: str, value: object) -> list[str]:
    """The stop words; a `str` is one, and None stands for none.

    Raises:
        InvalidRequestError: it is no sequence of texts, or one of them is empty; the place is named, as `stop[0]`.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [check_text(name, value)]
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray | memoryview):
        raise InvalidRequestError(f"{name} must be a list of str, not {type_name(value)}")
    return [check_text(f"{name}[{index}]", word) for index, word in enumerate(value)]


class StopWords:
    """Lets a reply through up to the first stop word; where several overlap, to the one that begins first. No I/O.

    Text is held back only while it may be the beginning of a stop word.

    Args:
        words: none of them empty; without any, all text passes at once.

    Example:
        >>> words = StopWords(["END"])
        >>> [words.receive(piece) for piece in ("It is E", "nough. E", "ND of it")]
        ['It is ', 'Enough. ', '']
        >>> words.found
        True
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._held = ""
        self.found = False
        """Whether a stop word has come: nothing passes any more."""

    def receive(self, piece: str) -> str:
        """Takes the next piece; returns the text that can be handed out now, or ""."""
        if not self._words:
            return piece
        if self.found:
            return ""
        text = self._held + piece
        end = self._first_word(text)
        begun = self._first_beginning(text)
        if begun < end:  # if it becomes a word, that is the first one
            self._held = text[begun:]
            return text[:begun]
        self._held, self.found = "", end < len(text)
        return text[:end]

    def receive_eof(self) -> str:
        """Takes the end of the reply; returns the text that was held back, up to a stop word in it."""
        text, self._held = self._held, ""
        end = self._first_word(text)
        self.found = self.found or end < len(text)
        return text[:end]

    def _first_word(self, text: str) -> int:
        """Where the first stop word begins; the length of the text, if there is none."""
        return min((start for word in self._words if (start := text.find(word)) >= 0), default=len(text))

    def _first_beginning(self, text: str) -> int:
        """Where the text's end is the beginning of a stop word, or one; the length of the text, if it is none."""
        longest = max(map(len, self._words))
        for start in range(max(0, len(text) - longest + 1), len(text)):
            rest = text[start:]
            if any(word.startswith(rest) for word in self._words):
                return start
        return len(text)


def pieces_before(stream: Stream, words: StopWords) -> Generator[str, None, None]:
    """The text up to the first stop word; the connection is closed as soon as that is there.

    An error comes after all the text before it, what was held back too.
    """
    with stream:
        try:
            for piece in stream:
                text = words.receive(piece)
                if words.found:
                    stream.close()
                if text:
                    yield text
        except AcytooError:
            if text := words.receive_eof():
                yield text
            raise
        if text := words.receive_eof():
            yield text


async def async_pieces_before(stream: AsyncStream, words: StopWords) -> AsyncGenerator[str, None]:
    """The twin of `pieces_before`."""
    async with stream:
        try:
            async for piece in stream:
                text = words.receive(piece)
                if words.found:
                    await stream.aclose()
                if text:
                    yield text
        except AcytooError:
            if text := words.receive_eof():
                yield text
            raise
        if text := words.receive_eof():
            yield text
