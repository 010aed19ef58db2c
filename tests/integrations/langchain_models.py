"""What the tests of `ChatAcytoo` share: a model that asks a server, and what it was asked."""

from __future__ import annotations

from typing import Any

import pytest

from acytoo_sdk.integrations.langchain import ChatAcytoo
from acytoo_sdk.testing import FakeServer

KEY, PASSWORD, TOKEN = "key-of-langchain", "password-of-langchain", "token-of-langchain"


def turn_tracing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run is told to LangSmith, whatever the machine's environment says."""
    for name in ("LANGCHAIN_TRACING_V2", "LANGCHAIN_TRACING", "LANGSMITH_TRACING", "LANGSMITH_TRACING_V2"):
        monkeypatch.setenv(name, "false")


def chat(server: FakeServer, **fields: Any) -> ChatAcytoo:
    return ChatAcytoo(base_url=server.url, **fields)


def asked(server: FakeServer) -> dict[str, Any]:
    """The last request."""
    request = server.requests[-1].json
    assert request is not None
    return request
