"""The local server in the box: a real socket that speaks the wire, and goes wrong on request.

For the tests of everyone who uses this package, and for its own. It shares no code with the client it tests: what the
two agree on is the wire alone. Standard library only.
"""

from ._faults import NOTICE, Fault
from ._gate import Gate
from ._server import FakeServer
from ._wire import Framing, ReceivedRequest, Reply

__all__ = ["NOTICE", "FakeServer", "Fault", "Framing", "Gate", "ReceivedRequest", "Reply"]
