"""Flask's recipe, behind werkzeug's server with threads, asked over raw sockets as FastAPI's is."""

from __future__ import annotations

import logging
import threading

from check_fastapi import FAULTS, ask, check_breaks, check_passing_on, check_refusals, read, wait_for
from recipes import PIECES, play, served
from werkzeug.serving import WSGIRequestHandler, make_server

from acytoo_sdk.testing import Fault


def check() -> None:
    WSGIRequestHandler.protocol_version = "HTTP/1.1"  # whose chunks tell a reply that broke
    with served(faults=[*FAULTS, Fault.drip(0.05)]) as server:
        front = make_server("127.0.0.1", 0, play("flask")["app"], threaded=True)
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        check_passing_on(front.server_port, server)
        check_refusals(front.server_port, server)
        check_breaks(front.server_port)
        server.reply = PIECES * 100
        with ask(front.server_port) as connection:
            read(connection, b"\r\n\r\n")
            assert server.open_connections >= 1
        wait_for(lambda: not server.open_connections)
        server.close()
        with ask(front.server_port) as connection:
            assert read(connection).startswith("HTTP/1.1 502")
        front.shutdown()
        thread.join(20)
        front.server_close()
        assert not thread.is_alive()


if __name__ == "__main__":
    for name in ("werkzeug", "recipe"):
        logging.getLogger(name).disabled = True
    check()
    print("Flask: all checks passed")
