"""What happens to streams meanwhile: from other threads and tasks, from signal handlers, and by forks."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import anyio

from acytoo_sdk import AcytooError, Client, InvalidRequestError, Stream

from .judge import Judge, Reading
from .plan import Plan, reply_to, short_question


class Exposed:
    """What may be ended by others, and looked at. All of it is of one operation on a deque: anybody may, at any time.

    Attributes:
        anywhere: ends that may come from any thread, and from a signal handler.
        in_loop: those that a task has to await.
    """

    def __init__(self) -> None:
        self.anywhere: deque[Callable[[], object]] = deque()
        self.in_loop: deque[Callable[[], Awaitable[object]]] = deque()
        self._visible: deque[tuple[Callable[[], Any], str]] = deque(maxlen=16)

    def show(self, reading: Reading) -> None:
        """From now on its stream may be looked at, for as long as somebody else holds it."""
        self._visible.append((weakref.ref(reading.stream), reading.question))

    def show_end(self, thing: Any) -> None:
        """A client or a stream, which somebody may close from now on."""
        if hasattr(thing, "aclose"):
            self.in_loop.append(thing.aclose)
        else:
            self.anywhere.append(thing.close)

    def look(self, judge: Judge) -> None:
        """Looks at some streams."""
        for reference, question in list(self._visible):
            if (stream := reference()) is not None:
                text, _, _ = stream.text, stream.stats, repr(stream)
                if not "".join(reply_to(question)).startswith(text):
                    judge.blame(f"seen from outside, the text is not the reply's: {question}, {text[-80:]!r}")

    def end_one(self) -> None:
        """Ends something, if there is anything."""
        try:
            end = self.anywhere.popleft()
        except IndexError:
            return
        end()


class Meddler(threading.Thread):
    """A thread that ends and looks at what is exposed, and collects garbage."""

    def __init__(self, exposed: Exposed, judge: Judge, *, seed: int) -> None:
        super().__init__(name="meddler")
        self._exposed = exposed
        self._judge = judge
        self._draw = random.Random(seed)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._draw.uniform(0, 0.004)):
            self._exposed.end_one()
            if self._draw.random() < 0.5:
                self._exposed.look(self._judge)
            if self._draw.random() < 0.01:
                gc.collect()  # or streams in cycles might keep the places of others for too long

    def stop(self) -> None:
        self._over.set()
        self.join()


async def meddle_in_loop(exposed: Exposed, seed: int) -> None:
    """The same in a task, until it is cancelled."""
    draw = random.Random(seed)
    while True:
        await anyio.sleep(draw.uniform(0, 0.004))
        if exposed.in_loop:
            await exposed.in_loop.popleft()()


class Signals:
    """Signals to the main thread, one after another; and what their handler does.

    As a context manager, the place in which the handler may raise: once.
    """

    def __init__(self, plan: Plan, exposed: Exposed, client: Client, judge: Judge) -> None:
        self._plan = plan
        self._exposed = exposed
        self._client = client
        self._judge = judge
        self._draw = random.Random(plan.seed)
        self._depth = 0
        self._may_raise = False
        self._raised: Exception | None = None
        self._over = threading.Event()
        self._sender = threading.Thread(target=self._send, name="signals")

    def start(self) -> None:
        signal.signal(signal.SIGUSR1, self._handle)
        self._sender.start()

    def stop(self) -> None:
        self._over.set()
        self._sender.join()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def take_raised(self) -> Exception | None:
        """What was raised since this was asked last."""
        raised, self._raised = self._raised, None
        return raised

    def __enter__(self) -> None:
        self._may_raise = True

    def __exit__(self, *error: object) -> None:
        self._may_raise = False

    def _send(self) -> None:
        draw = random.Random(self._plan.seed)
        while not self._over.wait(draw.uniform(0, self._plan.gap)):
            if self._depth < draw.choice((1, 1, 1, 2)):  # or the handler might be all that ever runs
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._depth >= 2:
            return
        self._depth += 1
        try:
            self._act(self._draw.choice(self._plan.handlers))
        finally:
            self._depth -= 1

    def _act(self, what: str) -> None:
        if what == "raise" and self._may_raise and self._depth == 1 and self._draw.random() < 0.2:
            self._may_raise = False
            error = self._raised = self._plan.kind("the handler's")
            error.of_a_handler = True  # type: ignore[attr-defined]
            raise error
        if what == "cancel":
            self._exposed.end_one()
        elif what == "look":
            self._exposed.look(self._judge)
        elif what == "collect":
            gc.collect()
        elif what == "call" and self._draw.random() < 0.05:
            self._call()

    def _call(self) -> None:
        # What is interrupted must not be silent for too long.
        reading = Reading(short_question(time.monotonic_ns(), self._draw), self._judge.pulse)
        try:
            reading.stream = self._client.stream(reading.question)
            for piece in reading.stream:
                reading.receive(piece)
            reading.finished = True
        except AcytooError as error:
            self._judge.weigh(reading, error)
        else:
            self._judge.weigh(reading, None)


def fork(stream: Any, client: Client, judge: Judge, draw: random.Random) -> None:
    """Forks; the child does something with its parent's running stream, and with the client, and leaves.

    A child that leaves by `sys.exit` goes through all the frames, finalisers and exit functions of its parent.
    """
    by_exit = isinstance(stream, Stream) and draw.random() < 0.5  # beside a loop, it would close the parent's poll
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.alarm(20)  # dumps the tracebacks, and ends it
        try:
            _use_in_child(stream, client, draw)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        if by_exit:
            sys.exit()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    judge.count("forked")
    if code and not judge.pulse.stood_still_since(began):  # its alarm goes on meanwhile
        judge.blame(f"a forked child ended with {code}, {by_exit=}")


def _use_in_child(stream: Any, client: Client, draw: random.Random) -> None:
    use = draw.choice(("read", "cancel", "close", "leave"))
    if use == "read" and isinstance(stream, Stream):
        try:
            stream.read()
        except InvalidRequestError:
            pass
        else:
            assert stream.whole, "the parent's stream was read in the child"
    elif use == "close" and isinstance(stream, Stream):
        stream.close()
    elif use != "leave":
        stream.cancel()
    assert client.complete("0:3") == "".join(reply_to("0:3"))
