"""Secrets: a string that does not show itself, and the mask for texts that may quote one.

A `Secret` is unwrapped only where the request is built; whatever a server or a proxy says passes a `Mask` before it is
shown.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

MASK = "***"


@dataclass(frozen=True, repr=False)
class Secret:
    """A string whose `repr` and `str` are a mask; `reveal()` gives it away."""

    _value: str = ""

    def reveal(self) -> str:
        """The string itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return repr(MASK) if self._value else "''"

    __str__ = __repr__


class Mask:
    """Replaces secrets in a text, however a server may have written them: plain, or escaped for JSON, a URL or HTML.

    Args:
        secrets: the strings to hide; empty ones are ignored.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {spelling for secret in secrets if secret for spelling in _spellings(secret)}
        self._spellings = sorted(spellings, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._spellings)), re.IGNORECASE) if spellings else None

    def __repr__(self) -> str:
        return "Mask()"

    def __call__(self, text: str, *, cut: bool = False) -> str:
        """The text with every secret replaced by `***`.

        Args:
            text: what a server said.
            cut: the text ends by force, perhaps inside a secret: the beginning of one at its end is replaced too.
        """
        if self._pattern is None:
            return text
        text = self._pattern.sub(MASK, text)
        return self._without_cut_secret(text) if cut else text

    def _without_cut_secret(self, text: str) -> str:
        lowered = text.lower()
        for length in range(min(len(text), len(self._spellings[0]) - 1), 0, -1):
            ending = lowered[len(text) - length :]
            if any(spelling.lower().startswith(ending) for spelling in self._spellings):
                return text[: len(text) - length] + MASK
        return text


def _spellings(secret: str) -> set[str]:
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        html.escape(secret),
        repr(secret)[1:-1],
    }
