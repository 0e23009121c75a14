"""Where many jobs run: processes of this machine, or a Dask cluster; both are executors of concurrent.futures."""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

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
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler {scheduler}: no Dask scheduler answers there; write tcp://HOST:PORT") from error
    with client:
        yield client.get_executor(retries=RETRIES)
