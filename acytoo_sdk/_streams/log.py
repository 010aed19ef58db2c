"""The log: a listener, which writes a line for each attempt that is made again."""

from __future__ import annotations

import logging

from ..events import AttemptFailed, Event

_logger = logging.getLogger("acytoo_sdk")


def log(event: Event) -> None:
    """Tells of attempts that are made again, on the level INFO, without any content."""
    if isinstance(event, AttemptFailed):
        _logger.info(
            "attempt %d failed with %s; the next one in %.2f s", event.attempt, type(event.error).__name__, event.wait
        )
