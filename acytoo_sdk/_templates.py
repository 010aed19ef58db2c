"""Templates: texts in which each `{name}` is replaced by a value. Nothing is evaluated, nor looked up in a value."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter


class Template:
    """A text with `{name}` in it. `{{` and `}}` stand for braces.

    Args:
        text: the template.

    Attributes:
        names: the names in it, in their order.

    Raises:
        ValueError: a brace stands alone, or between two there is anything but a name.

    Example:
        >>> Template("{{{name}}}: {name}").fill({"name": "x"})
        '{x}: x'
    """

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, str | None]] = []
        for before, name, spec, conversion in Formatter().parse(text):
            if name is not None and (not name or spec or conversion):
                raise ValueError("names are filled in, as {name}, and nothing else")
            self._parts.append((before, name))
        self.names = tuple(name for _, name in self._parts if name is not None)

    def fill(self, values: Mapping[str, object]) -> str:
        """The text, with a value in the place of each name.

        Raises:
            KeyError: there is no value of a name, which is the argument.
        """
        return "".join(before + ("" if name is None else str(values[name])) for before, name in self._parts)
