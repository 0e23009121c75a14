"""Where many jobs run: processes of this machine, or a Dask cluster; both are executors of concurrent.futures."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

from ..errors import InputError

PATIENCE = 10  # seconds until a scheduler must answer
RETRIES = 3  # of a job whose worker died
JOBS_A_PROCESS = 8  # then a new one, so that no network's memory stays


class Processes(ThreadPoolExecutor):
    """So many processes, each behind a thread that waits for it; one that dies is replaced, and its job runs again.

    A pool of concurrent.futures loses all jobs with one process, and with max_tasks_per_child it stands still as soon
    as its first processes have had their number while jobs wait (CPython's issue 115634).
    """

    def __init__(self, processes: int) -> None:
        super().__init__(processes)
        self._own = threading.local()
        self._pools: list[ProcessPoolExecutor] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        return super().submit(self._elsewhere, function, args, options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait, cancel_futures=cancel_futures)
        for pool in self._pools:
            pool.shutdown(wait, cancel_futures=cancel_futures)

    def _elsewhere(self, function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        for left in reversed(range(1 + RETRIES)):
            try:
                return self._process().submit(function, *args, **options).result()
            except BrokenProcessPool:
                self._own.jobs = JOBS_A_PROCESS
                if not left:
                    raise
        raise AssertionError("the loop returns or raises")

    def _process(self) -> ProcessPoolExecutor:
        """This thread's, for one job more."""
        if getattr(self._own, "jobs", JOBS_A_PROCESS) >= JOBS_A_PROCESS:
            if hasattr(self._own, "pool"):
                self._own.pool.shutdown()
                self._pools.remove(self._own.pool)
            self._own.pool, self._own.jobs = ProcessPoolExecutor(1, get_context("spawn")), 0
            self._pools.append(self._own.pool)
        self._own.jobs += 1
        pool: ProcessPoolExecutor = self._own.pool
        return pool


@contextmanager
def executor(jobs: int, scheduler: str | None = None) -> Iterator[Executor]:
    """`jobs` processes here, or a cluster's workers, which need this package and see the same paths.

    Args:
        jobs: processes; a cluster has its own.
        scheduler: a Dask scheduler's address, "tcp://HOST:8786". It runs the jobs of a worker that died elsewhere.

    Raises:
        InputError: no Dask, no scheduler at that address, or a job that killed each process that it was given to.
    """
    if scheduler is None:
        processes = Processes(jobs)
        try:
            yield processes
        except BrokenProcessPool as error:
            raise InputError(
                f"--jobs {jobs}: a process died {1 + RETRIES} times over the same job, of too little memory perhaps; "
                "give fewer --jobs"
            ) from error
        finally:
            processes.shutdown(cancel_futures=True)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError(f"--scheduler {scheduler} needs Dask; pip install 'keras-cnnzoo[dask]'") from error
    try:
        _knock(scheduler)
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler {scheduler}: no Dask scheduler answers there; write tcp://HOST:PORT") from error
    with client:
        yield client.get_executor(retries=RETRIES)


def _knock(scheduler: str) -> None:
    """Raises OSError or ValueError where nothing listens, at once; Dask's client would try for a while."""
    place = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
    if place.scheme in ("tcp", "tls"):
        if place.hostname is None or place.port is None:
            raise ValueError(f"{scheduler}: no host and port")
        socket.create_connection((place.hostname, place.port), PATIENCE).close()
