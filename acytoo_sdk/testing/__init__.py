"""A local chat server for tests: a real socket that speaks the wire, and goes wrong on request.

It is for the tests of everyone who uses this package, and for its own. It shares no code with the client that it tests:
what the two agree on is the wire alone. Standard library only.

`FakeServer` listens on a free port of this machine. It answers with a text, with pieces, or with what a function of the
request returns; a `Gate` holds pieces back until the test lets them go; a `Fault` is what goes wrong with one reply;
and `requests` keeps what arrived:

    from acytoo_sdk import Client
    from acytoo_sdk.testing import Fault, FakeServer

    faults = [Fault.status(429, retry_after=0)]
    with FakeServer(lambda request: f"{len(request['messages'])} heard", faults=faults) as server:
        assert Client(server.url).complete("Hi") == "1 heard"  # the second attempt
        assert [request.json["temperature"] for request in server.requests] == [0.5, 0.5]

The `responses` library works with this package, too, for payloads and statuses. vcrpy records what a real server said,
and plays it back; its cassettes hold requests in clear, keys and passwords too, unless its filters take them out. Both
serve whole bodies from memory, so they show no timing and no cuts. requests-mock sees nothing: it patches sessions,
which are not used.
"""

from ._faults import NOTICE, Fault
from ._gate import Gate
from ._server import FakeServer
from ._wire import Framing, ReceivedRequest, Reply

__all__ = ["NOTICE", "FakeServer", "Fault", "Framing", "Gate", "ReceivedRequest", "Reply"]
