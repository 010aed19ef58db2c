"""Cassettes of vcrpy record what a client asks, and answer it; also where the client's first request is inside one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import anyio
import pytest
import vcr

from acytoo_sdk import AsyncClient, Client
from acytoo_sdk.testing import FakeServer


async def _complete(url: str) -> str:
    async with AsyncClient(url) as client:
        return await client.complete("Hi")


def test_a_recorded_reply_is_played_back_to_both_clients(tmp_path: Path) -> None:
    with FakeServer("Привет!") as server:
        with vcr.use_cassette(str(tmp_path / "cassette.yaml")), Client(server.url) as client:
            assert client.complete("Hi") == "Привет!"
        assert len(server.requests) == 1
        with vcr.use_cassette(str(tmp_path / "cassette.yaml"), record_mode="none"), Client(server.url) as client:
            assert client.complete("Hi") == "Привет!"
        with vcr.use_cassette(str(tmp_path / "cassette.yaml"), record_mode="none"):
            assert anyio.run(_complete, server.url) == "Привет!"
        assert len(server.requests) == 1
        assert Client(server.url).complete("Hi") == "Привет!"  # the cassette is out
        assert len(server.requests) == 2


def test_a_request_that_is_in_no_cassette_is_an_error_of_the_cassette(tmp_path: Path) -> None:
    with (
        vcr.use_cassette(str(tmp_path / "none.yaml"), record_mode="none"),
        pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException),
    ):
        Client("http://127.0.0.1:1").complete("Hi")


def test_the_first_request_of_a_process_may_be_inside_a_cassette(tmp_path: Path) -> None:
    code = """
import sys, vcr
from acytoo_sdk import Client
from acytoo_sdk.testing import FakeServer

with FakeServer("Hello!") as server:
    with vcr.use_cassette(sys.argv[1]):
        print(Client(server.url).complete("Hi"))
    print(Client(server.url).complete("Hi"), len(server.requests))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "cassette.yaml")], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("Hello!\nHello! 2\n", "")
