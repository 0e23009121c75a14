"""Where many jobs run: processes of this machine, or a Dask cluster; both are executors of concurrent.futures."""

import socket
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from urllib.parse import urlsplit

from ..errors import InputError

PATIENCE = 10  # seconds until a scheduler must answer
RETRIES = 3  # of a job whose worker died
JOBS_A_PROCESS = 8  # then a new one, so that no network's memory stays


@contextmanager
def executor(jobs: int, scheduler: str | None = None) -> Iterator[Executor]:
    """`jobs` processes here, or a cluster's workers, which need this package and see the same paths.

    Args:
        jobs: processes; a cluster has its own.
        scheduler: a Dask scheduler's address, "tcp://HOST:8786". It runs the jobs of a worker that died elsewhere.

    Raises:
        InputError: no Dask, or no scheduler at that address.
    """
    if scheduler is None:
        with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=JOBS_A_PROCESS) as processes:
            yield processes
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
