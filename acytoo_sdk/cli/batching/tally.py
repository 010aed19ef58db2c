"""The tally of a batch: what has become of its prompts so far, and what is said of it at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..._batch.task import Result
from ..statuses import OK, SERVICE, hint_of, in_one_line, sentence_of, status_of


@dataclass
class Kind:
    """The failures of one kind.

    Attributes:
        example: the first of them, in a sentence.
        count: how many there are.
    """

    example: str
    count: int = 0


class Tally:
    """What was counted.

    Args:
        total: prompts there are; None where that is not known yet.
        output: the file that keeps the answers; None: there is none.

    Attributes:
        answered: prompts with an answer, the resumed ones included.
        resumed: those of them whose answers an earlier run had brought.
        failed: prompts without one.
        status: the exit status of the command: that of the failures, if all have the same.
    """

    def __init__(self, total: int | None, *, output: str | None) -> None:
        self.answered = self.resumed = self.failed = 0
        self.status = OK
        self._total = total
        self._output = output
        self._kinds: dict[str, Kind] = {}

    @property
    def done(self) -> int:
        """Prompts of which it is known what became of them."""
        return self.answered + self.failed

    @property
    def total(self) -> int | None:
        """Prompts there are, of a file that may grow; None where that is not known."""
        return None if self._total is None else max(self._total, self.done)

    @property
    def first_failure(self) -> str:
        """In a sentence, where there is one."""
        return next(iter(self._kinds.values())).example

    def add(self, result: Result[Any]) -> None:
        """Counts what became of one more."""
        error = result.error
        if error is None:
            self.answered += 1
            self.resumed += result.resumed
            return
        status = status_of(error)
        self.status = status if not self.failed else self.status if self.status == status else SERVICE
        self.failed += 1
        kind = type(error).__name__
        if kind not in self._kinds:
            self._kinds[kind] = Kind(in_one_line(f"prompt {result.index + 1}: {sentence_of(error)}", hint_of(error)))
        self._kinds[kind].count += 1

    def summary(self) -> str:
        """What became of all prompts, in a line; or, if some failed, with one more for each kind of failures."""
        of_all = f"of {self.done} {_prompts(self.done)}"
        before = f", {self.resumed} of them by an earlier run" if self.resumed else ""
        if not self.failed:
            return f"{self.answered} {of_all} answered{before}"
        failed = f"{self.failed} {of_all} failed, {self.answered} answered{before}:"
        return "\n".join([failed, *self._failures(), self._again()])

    def stopped(self, *, by_input: bool = False) -> str:
        """How far it came, for a batch that was ended early, and how to go on.

        Args:
            by_input: whether a line of the input ended it, which has to be mended before the batch can go on.
        """
        of_all = "" if self.total is None else f" of {self.total} {_prompts(self.total)}"
        if self._output is None:
            return f"{self.answered}{of_all} answered; with -o FILE, the same command again would go on"
        again = "once that line is mended, the same command goes on" if by_input else "the same command again goes on"
        return f"{self.answered}{of_all} answered; {again}: {self._output} keeps the answers"

    def _failures(self) -> Iterator[str]:
        for name, kind in sorted(self._kinds.items(), key=lambda item: -item[1].count):
            yield f"  {kind.count} {name}, as of {kind.example}"

    def _again(self) -> str:
        if self._output is None:
            return "With -o FILE, the same command again would ask for the failed ones alone"
        return f"The same command again asks for the failed ones alone: {self._output} keeps the answers"


def _prompts(count: int) -> str:
    return "prompt" if count == 1 else "prompts"
