"""Error objects: what servers say of their failures, and the failure that a client is told of. No I/O.

Source: https://platform.openai.com/docs/guides/error-codes, and what other servers send, each named where it is read.
"""

from __future__ import annotations

import re
from typing import Any

from .._secrets import Mask
from .failures import Failure, upstream_failure

_WORDS = ("message", "msg", "detail", "text")  # OpenAI's and most servers', Pydantic's, FastAPI's, FastChat's
_DEPTH = 5  # Mistral's: {"message": {"detail": [{"msg": "..."}]}}
_CODES = ("code", "status", "status_code")  # most servers', those of RFC 9457, FastAPI's exceptions
_TYPE = re.compile(r"[\w.-]{1,64}", re.ASCII)


def tells_of_error(said: dict[str, Any]) -> bool:
    """Whether an object says that the server failed."""
    return bool(
        said.get("error")
        or said.get("object") == "error"  # vLLM before 2025, Mistral
        or said.get("error_code")  # FastChat
        or _stopped_early(said)
    )


def reported_failure(
    said: object, how: str, *, mask: Mask, status: int | None = None, otherwise: str, cut: bool = False
) -> Failure:
    """The failure that a server tells of.

    Args:
        said: the object, or mere words.
        how: for the log.
        mask: applied to whatever the server said.
        status: for the client; None for the one that the object names, or 502.
        otherwise: the message, if there are no words in the object.
        cut: it may have been cut inside a secret.
    """
    if isinstance(said, list) and said:
        said = said[0]  # Google wraps its objects so
    outer = said if isinstance(said, dict) else {}
    error = outer.get("error") or _stopped_early(outer) or said
    words = mask.quote(mask(_words_of(error, _DEPTH) or _words_of(outer, _DEPTH), cut=cut))
    failure = upstream_failure(
        words or otherwise, how, status=_code_of(error) or _code_of(outer) or 502 if status is None else status
    )
    kind = error.get("type") if isinstance(error, dict) else None
    if isinstance(kind, str) and _TYPE.fullmatch(kind) and mask.header(kind) == kind:
        failure.type = kind
    return failure


def _stopped_early(said: dict[str, Any]) -> object:
    """Groq's word for it; https://github.com/groq/groq-python, `XGroq.error`."""
    groq = said.get("x_groq")
    return groq.get("error") if isinstance(groq, dict) else None


def _words_of(said: object, depth: int) -> str:
    if isinstance(said, str):
        return said
    inside: list[object] = []
    if depth and isinstance(said, dict):
        inside = [said.get(name) for name in _WORDS]
    elif depth and isinstance(said, list):
        inside = said
    return next((words for each in inside if (words := _words_of(each, depth - 1))), "")


def _code_of(said: object) -> int | None:
    """The HTTP status of an error that an object names; a number, or its digits as litellm writes them."""
    for name in _CODES:
        code = said.get(name) if isinstance(said, dict) else None
        if isinstance(code, str) and re.fullmatch("[0-9]{3}", code):
            code = int(code)
        if isinstance(code, int) and 400 <= code < 600:
            return code
    return None
