"""Failures: why a request gets no reply, or no whole one, as a client is told before any text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(eq=False)
class Failure(Exception):
    """Raised, or kept, where a reply cannot be whole.

    Attributes:
        status: the HTTP status, where nothing of a reply was sent yet; later there is none to be sent any more.
        message: for the client, without secrets.
        how: for the log, in words of this package alone: what a server says may quote a prompt.
        type: the kind of error, as OpenAI's error objects have it.
        headers: further ones of the answer.
    """

    status: int
    message: str
    how: str
    type: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The error object."""
        return json.dumps({"error": {"message": self.message, "type": self.type}}).encode()


def upstream_failure(message: str, how: str, *, status: int = 502) -> Failure:
    """What is the upstream's fault."""
    return Failure(status, message, how, type="upstream_error")
