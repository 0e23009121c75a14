"""What disturbed a measurement is found where it was, and not where it was not."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_cnnzoo.mobile_bench.disturbances import disturbances, outliers, slowdown
from keras_cnnzoo.mobile_bench.events import Health
from keras_cnnzoo.mobile_bench.health import EnergyMeter, HealthMeter, _others, _own_seconds


def rounds(factor: np.ndarray | float = 1.0, *, seed: int = 0) -> list[np.ndarray]:
    """Thirty rounds of 17 calls of some 5 ms, with a tail."""
    calls = 5 * (1 + np.random.default_rng(seed).gamma(2, 0.01, (30, 17)))
    return list(calls * np.broadcast_to(factor, (30,))[:, None])


def health(**ramps: tuple[float, float]) -> list[Health]:
    """Thirty states; each field goes from one value to another."""
    return [
        Health(number, **{name: low + (high - low) * number / 29 for name, (low, high) in ramps.items()})
        for number in range(30)
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_quiet_measurement_has_no_disturbance(seed: int) -> None:
    quiet = health(frequency_mhz=(3000, 3000), temperature_c=(50, 52), others=(0.05, 0.1))
    assert list(disturbances({"a": rounds(seed=seed)}, quiet)) == []


def test_outliers_are_counted_and_drift_makes_none() -> None:
    disturbed = rounds()
    before = outliers(disturbed)
    assert before < 0.05
    for block in disturbed:
        block[3:6] *= 3
    assert outliers(disturbed) == pytest.approx(3 / 17, abs=before)
    assert outliers(rounds(np.linspace(1, 2, 30))) == before
    (sentence,) = disturbances({"a": disturbed}, [])
    assert sentence.startswith(f"a: {outliers(disturbed):.0%} of the calls are outliers")


def test_a_machine_that_slows_down_is_named_and_throttling_where_the_clock_shows_it() -> None:
    slower = rounds(np.linspace(1, 1.3, 30))
    assert slowdown([slower]) == pytest.approx(1.2, abs=0.03)
    (sentence,) = disturbances({"a": slower}, [])
    assert sentence == "the machine slowed down by 20% from the first third to the last"
    hot = health(frequency_mhz=(3000, 2000), temperature_c=(50, 90))
    assert "it was throttled, the clock fell from 2845 to 2155 MHz at 84 degrees" in next(
        disturbances({"a": slower}, hot)
    )
    assert "it grew hotter" in next(disturbances({"a": slower}, health(temperature_c=(50, 90))))
    assert "got faster" in next(disturbances({"a": rounds(np.linspace(1.3, 1, 30))}, []))


def test_the_load_of_other_processes_is_named() -> None:
    (sentence,) = disturbances({"a": rounds()}, health(others=(1.0, 2.0)))
    assert sentence.startswith("other processes used 1.5 cores")


def test_a_processor_below_its_own_speed_is_named_where_no_process_did_it() -> None:
    slow = [Health(number, pulse_ns=170_000 if number % 3 else 300_000) for number in range(30)]
    (sentence,) = disturbances({"a": rounds()}, slow)
    assert sentence.startswith("the processor was well below its own speed in 33% of the rounds")
    even = [Health(number, pulse_ns=170_000 + 1000 * (number % 9)) for number in range(30)]
    assert list(disturbances({"a": rounds()}, even)) == []
    assert (HealthMeter().read().pulse_ns or 0) > 0


def test_this_process_s_own_work_is_not_that_of_others() -> None:
    assert _others((0.0, 10.0, 2.0), (1.0, 12.0, 4.0)) == 0
    assert _others((0.0, 10.0, 2.0), (1.0, 13.0, 4.0)) == 1
    assert _others((0.0, None, 2.0), (1.0, None, 4.0)) is None


def test_this_process_s_own_work_is_that_of_its_children_too() -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    before, began = _own_seconds(), time.process_time()
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        while time.process_time() < began + 0.3:
            pass
        assert 0.5 < _own_seconds() - before < 1
        child.communicate(b"\n")


def test_the_clock_is_that_of_the_cores_that_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, clock in enumerate((1_800_000, 3_000_000)):
        path = tmp_path / f"cpu{number}" / "cpufreq" / "scaling_cur_freq"
        path.parent.mkdir(parents=True)
        path.write_text(f"{clock}\n")
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.health.CPUS", tmp_path)
    for used, expected in (({0}, 1800), ({0, 1}, 3000), ({2}, None)):
        monkeypatch.setattr("os.sched_getaffinity", lambda process, used=used: used)
        assert HealthMeter().read().frequency_mhz == expected


@pytest.fixture
def power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where counters and batteries are looked for."""
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.health.COUNTERS", tmp_path)
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.health.SUPPLIES", tmp_path)
    return tmp_path


def files(folder: Path, **content: str) -> Path:
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    return folder


def test_energy_is_read_from_counters_and_none_without(power: Path) -> None:
    assert EnergyMeter().joules() is None
    counter = files(power / "intel-rapl:0", name="package-0\n", energy_uj="1000000") / "energy_uj"
    meter = EnergyMeter()
    counter.write_text("3500000")
    assert meter.joules() == 2.5
    counter.write_text("10")  # it began anew
    assert meter.joules() is None


def test_what_holds_the_package_is_not_counted_beside_it(power: Path) -> None:
    counter = files(power / "intel-rapl:0", name="package-0\n", energy_uj="0") / "energy_uj"
    whole = files(power / "intel-rapl:1", name="psys\n", energy_uj="0") / "energy_uj"
    meter = EnergyMeter()
    counter.write_text("2000000")
    whole.write_text("5000000")
    assert meter.joules() == 2


@pytest.mark.parametrize(("status", "joules"), [("Discharging\n", 18.0), ("Charging\n", None), ("Full\n", None)])
def test_a_battery_tells_of_the_machine_only_while_it_feeds_it(
    power: Path, monkeypatch: pytest.MonkeyPatch, status: str, joules: float | None
) -> None:
    files(power / "BAT0", power_now="9000000", status=status)
    clock = iter((5.0, 7.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert EnergyMeter().joules() == joules
