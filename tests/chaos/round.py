"""One round: the process in which everything happens at once, to the clients of one plan.

No watchdog of `faulthandler` runs here: forked children that leave would wait for its thread, which they do not have.
Whoever starts this process has it dump its tracebacks, by SIGABRT, when it takes too long.
"""

from __future__ import annotations

import faulthandler
import functools
import gc
import json
import signal
import sys
import threading
import time
from typing import Any

import anyio

from acytoo_sdk import AsyncClient, Client, RetryPolicy, Timeout

from .hearing import Hearing
from .interference import Exposed, Meddler, Signals, meddle_in_loop
from .judge import Judge, Leftovers
from .plan import Plan
from .worker import PATIENT, Clients, Worker, run

_THREADS = 3
_TASKS = 6

_ROUGH = Timeout(connect=20, first_byte=0.5, idle=0.5)
_RETRY = RetryPolicy(attempts=2, wait_initial=0.01, wait_max=0.02)


class Round:
    """What runs at once.

    Args:
        plan: what is varied.
        seconds: how long.
        calm, rough: the addresses of the servers.
        bundle: the certificate of the first one.
    """

    def __init__(self, plan: Plan, *, seconds: float, calm: str, rough: str, bundle: str) -> None:
        self._plan = plan
        self._judge = Judge()
        self._exposed = Exposed()
        self._until = time.monotonic() + seconds
        self._calm: dict[str, Any] = {"base_url": calm, "verify": bundle, "timeout": PATIENT, "retry": 1}
        self._rough: dict[str, Any] = {"base_url": rough, "timeout": _ROUGH, "retry": _RETRY}
        self._new_async = functools.partial(AsyncClient, max_streams=plan.max_streams)

    def play(self) -> dict[str, Any]:
        """Returns what is told of it."""
        self._judge.listen()
        self._warm_up()
        gc.collect()
        gc.freeze()  # or the oldest generation would wait until it has grown by a quarter
        leftovers = Leftovers()
        thresholds, switch = gc.get_threshold(), sys.getswitchinterval()
        gc.set_threshold(*self._plan.thresholds)
        sys.setswitchinterval(self._plan.switch)
        hearing = Hearing() if self._plan.listens else None
        self._interfere()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(switch)
        leftovers.check(self._judge)
        if hearing is not None:
            hearing.end()
            hearing.check(self._judge, interrupted="raise" in self._plan.handlers)
        return {"counts": self._judge.counts, "faults": self._judge.faults}

    def _warm_up(self) -> None:
        """Imports what is imported on demand."""
        with Client(**self._calm) as client:
            client.complete("0:1")
        self._run_loop(self._warm_up_async)

    async def _warm_up_async(self) -> None:
        async with self._new_async(**self._calm) as client:
            await client.complete("0:1")

    def _interfere(self) -> None:
        with Client(**self._calm) as calm, Client(**self._rough) as rough:
            signals = Signals(self._plan, self._exposed, calm, self._judge)
            meddler = Meddler(self._exposed, self._judge, seed=self._plan.seed)
            clients = Clients(calm, rough, functools.partial(Client, **self._calm))
            threads = [
                threading.Thread(target=self._work, args=(clients, number), name=f"worker {number}")
                for number in range(_THREADS)
            ]
            work_in_loop = functools.partial(self._run_loop, functools.partial(self._work_in_loop, calm))
            if self._plan.main == "blocking":
                threads.append(threading.Thread(target=work_in_loop, name="loop"))
            for thread in (*threads, meddler):
                thread.start()
            signals.start()
            if self._plan.main == "blocking":
                self._work(clients, _THREADS, signals=signals, forking=calm if self._plan.forks else None)
            else:
                work_in_loop()
            for thread in threads:
                thread.join()
            signals.stop()
            meddler.stop()
            self._exposed.anywhere.clear()

    def _work(self, clients: Clients, number: int, **main: Any) -> None:
        worker = Worker(clients, self._exposed, self._judge, seed=self._plan.seed + number, **main)
        run(worker.work(self._until))

    async def _work_in_loop(self, forking: Client) -> None:
        may_fork = self._plan.forks and self._plan.main == "async"
        async with self._new_async(**self._calm) as calm, self._new_async(**self._rough) as rough:
            clients = Clients(calm, rough, functools.partial(self._new_async, **self._calm))
            async with anyio.create_task_group() as meddling:
                meddling.start_soon(meddle_in_loop, self._exposed, self._plan.seed)
                async with anyio.create_task_group() as workers:
                    for number in range(_TASKS):
                        worker = Worker(
                            clients,
                            self._exposed,
                            self._judge,
                            seed=self._plan.seed - number - 1,
                            forking=forking if may_fork and not number else None,
                        )
                        workers.start_soon(worker.work, self._until)
                meddling.cancel_scope.cancel()
            self._exposed.in_loop.clear()

    def _run_loop(self, work: Any) -> None:
        anyio.run(work, backend=self._plan.loop)


if __name__ == "__main__":
    faulthandler.enable()
    faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)  # for forked children
    given = json.loads(sys.argv[1])
    told = Round(Plan.from_seed(given.pop("seed")), **given).play()
    print(json.dumps(told))
