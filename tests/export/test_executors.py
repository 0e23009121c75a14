"""Sweep and verify run on any executor: other processes, a cluster, of which a part may die."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.export import to_tflite, verify
from keras_cnnzoo.export.comparison import Comparison
from keras_cnnzoo.export.executors import JOBS_A_PROCESS, executor
from keras_cnnzoo.export.sweep import sweep
from keras_cnnzoo.preprocessing import PRESETS

NETWORKS = ["resnet20", "mobilenet_v1_x0_25", "plain20"]


@pytest.fixture(scope="module")
def compared(
    resnet: keras.Model, tmp_path_factory: pytest.TempPathFactory, some_images: np.ndarray
) -> tuple[Comparison, np.ndarray, Any]:
    """A file beside its network, in words; pixels; and their verification in this process."""
    folder = tmp_path_factory.mktemp("compared")
    resnet.save(folder / "m.keras")
    to_tflite(resnet, folder / "m.tflite", quantize="float16")
    pixels = np.clip(128 + 50 * np.concatenate([some_images] * 3), 0, 255).astype(np.uint8)
    here = verify((folder / "m.tflite").read_bytes(), resnet, pixels, prepare=PRESETS["torch"])
    job = Comparison(folder / "m.tflite", str(folder / "m.keras"), None, (), PRESETS["torch"], PRESETS["torch"])
    return job, pixels, here


def elsewhere(job: Comparison, model: keras.Model, pixels: np.ndarray, pool: Any) -> Any:
    content = Path(job.file).read_bytes()
    return verify(content, model, pixels, prepare=PRESETS["torch"], answer=job, mapped=pool.map)


def test_verification_in_parts_elsewhere_is_that_of_one_process(
    compared: tuple[Comparison, np.ndarray, Any], resnet: keras.Model
) -> None:
    job, pixels, here = compared
    with ThreadPoolExecutor(1) as pool:
        assert elsewhere(job, resnet, pixels, pool) == here
    assert here.images == len(pixels) > 150  # four parts, the last one short


def test_processes_are_renewed_while_jobs_wait() -> None:
    with executor(2) as pool:
        jobs = [pool.submit(os.getpid) for _ in range(4 * JOBS_A_PROCESS + 1)]
        found = Counter(job.result(timeout=120) for job in jobs)
    assert os.getpid() not in found
    assert len(found) >= 5
    assert max(found.values()) <= JOBS_A_PROCESS


def test_a_job_that_kills_its_process_fails_alone() -> None:
    with executor(2) as pool:
        jobs = [pool.submit(os._exit, 1), *(pool.submit(abs, -number) for number in range(6))]
        assert [job.result(timeout=120) for job in jobs[1:]] == list(range(6))
        with pytest.raises(BrokenProcessPool):
            jobs[0].result(timeout=120)


def test_a_job_that_kills_every_process_is_a_sentence_to_who_waits_for_it() -> None:
    with pytest.raises(InputError, match="--jobs 1: a process died 4 times over the same job"), executor(1) as pool:
        pool.submit(os._exit, 1).result(timeout=120)


def test_what_waits_is_dropped_when_the_caller_gives_up() -> None:
    jobs: list[Any] = []

    def give_up() -> None:
        with executor(1) as pool:
            jobs.extend(pool.submit(time.sleep, 1) for _ in range(30))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert sum(job.cancelled() for job in jobs) >= 28


@pytest.mark.parametrize("address", ["nowhere", "tcp://nowhere", "127.0.0.1:1", "tcp://127.0.0.1:1", "tcp://a:b"])
def test_no_scheduler_is_a_sentence(address: str) -> None:
    pytest.importorskip("distributed", reason="dask's distributed is not installed")
    with (
        pytest.raises(InputError, match=r"no Dask scheduler answers there; write tcp://HOST:PORT"),
        executor(1, address),
    ):
        pass


@pytest.fixture
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="dask's distributed is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, scheduler_port=0
    ) as two:
        yield two


def kill_one_at_work(address: str, killed: list[int]) -> None:
    """Kills a worker's process while it has something to do."""
    from distributed import Client

    with Client(address) as client:
        processes = client.run(os.getpid)
        for _ in range(600):
            busy = [worker for worker, tasks in client.processing().items() if tasks]
            if busy:
                killed.append(processes[busy[0]])
                os.kill(killed[0], signal.SIGKILL)
                return
            time.sleep(0.05)


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_in_the_middle_finishes_sweep_and_verification(
    cluster: Any, compared: tuple[Comparison, np.ndarray, Any], resnet: keras.Model, tmp_path: Path
) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=kill_one_at_work, args=(cluster.scheduler_address, killed))
    with executor(1, cluster.scheduler_address) as pool:
        rows = sweep(NETWORKS, ["float32"], pool, size=32, record=tmp_path / "rows.jsonl")
        killer.start()
        found = [row for done in rows for row in done]
        killer.join()
        assert len(killed) == 1, "no worker was killed"
        assert {row.network: row.reason for row in found} == dict.fromkeys(NETWORKS, "")
        job, pixels, here = compared
        there = elsewhere(job, resnet, pixels, pool)
    assert there.agreement == here.agreement
    assert there.images == here.images
