"""Bodies that are no text: how web pages and JSON errors are told from a reply, and what they say in short.

Source: challenge pages as Cloudflare sends them; error objects as OpenAI's endpoint sends them, and others after it.
"""

from __future__ import annotations

import json
import re

_BOM = b"\xef\xbb\xbf"
_PAGE_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body")


def is_page(held: bytearray, ended: bool) -> bool | None:
    """Whether a body is a web page; None while its first characters do not tell."""
    beginning = _beginning(held)
    if beginning.startswith(_PAGE_STARTS):
        return True
    if not ended and any(start.startswith(beginning) for start in _PAGE_STARTS):
        return None
    return False


def is_json_error(held: bytearray, ended: bool) -> bool | None:
    """Whether a body is a JSON object with an error in it; None while it may become one."""
    if ended:
        return _json_error_in(held.decode("utf-8-sig", "replace")) is not None
    return None if _beginning(held)[:1] in (b"", b"{") else False


def _beginning(held: bytearray) -> bytes:
    """The first characters of a body, in lower case, as many as tell a page; none while they may be blanks or a BOM."""
    if _BOM.startswith(held):
        return b""
    return bytes(held.removeprefix(_BOM).lstrip()[: len(_PAGE_STARTS[0])]).lower()


def _json_error_in(body: str) -> object:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed.get("error") if isinstance(parsed, dict) else None


# Neither part runs over a "<": a search that does takes seconds on 64 KiB made for it.
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)


def gist(body: str) -> str:
    """What an error body says in short: the message of its JSON, the title of its page, or its first line."""
    error = _json_error_in(body)
    if error is not None:
        message = error.get("message") if isinstance(error, dict) else error
        return message if isinstance(message, str) else body
    if title := _TITLE.search(body):
        return title[1]
    return next((line for line in body.splitlines() if line.strip()), "")
