"""The table of faults: what a server does, and what a call of ours must make of it. Data only, a file a topic."""

from __future__ import annotations

from .bodies import bodies
from .case import Case
from .connecting import connecting
from .heads import heads
from .statuses import statuses
from .texts import texts
from .times import times

CASES: list[Case] = [*connecting(), *heads(), *statuses(), *bodies(), *texts(), *times()]
