"""What the tests of `ChatAcytoo` share: a model that asks a server, and what it was asked."""

from __future__ import annotations

from typing import Any

from acytoo_sdk.integrations.langchain import ChatAcytoo
from acytoo_sdk.testing import FakeServer

KEY, PASSWORD, TOKEN = "key-of-langchain", "password-of-langchain", "token-of-langchain"


def chat(server: FakeServer, **fields: Any) -> ChatAcytoo:
    return ChatAcytoo(base_url=server.url, **fields)


def asked(server: FakeServer) -> dict[str, Any]:
    """The last request."""
    request = server.requests[-1].json
    assert request is not None
    return request
