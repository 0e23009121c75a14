"""cnnzoo-bench as it is called from a shell."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from keras_cnnzoo import InputError
from keras_cnnzoo.mobile_bench.artifact import CARD_SCHEMA
from keras_cnnzoo.mobile_bench.cli.measure import one_flag_per_value, seconds, thread_counts
from keras_cnnzoo.mobile_bench.cli.micro import size
from keras_cnnzoo.mobile_bench.statistics import Verdict

COMMAND = [sys.executable, "-c", "from keras_cnnzoo.mobile_bench.cli import main; main()"]


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CNNZOO_DEBUG"}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )


def sentence_of_a_refusal(*arguments: object) -> str:
    done = bench(*arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    words = " ".join(done.stderr.split())
    assert words.startswith("error: ")
    assert words.count("error:") == 1
    return words


def test_help_shows_an_example() -> None:
    done = bench("--help")
    assert done.returncode == 0
    assert "cnnzoo-bench out/*.tflite --threads 1 2" in done.stdout


def test_one_run_prints_a_table_and_writes_json_and_csv(model: Path, larger_model: Path, tmp_path: Path) -> None:
    samples, rows = tmp_path / "new" / "samples.json", tmp_path / "rows.csv"
    done = bench(model, larger_model, "--threads", 1, 2, "--runs", 60, "--json", samples, "--csv", rows)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines())
    for word in ("small", "larger", "2 CONV_2D, 1 ADD", "verdict", "p10"):
        assert word in done.stdout
    check_json(json.loads(samples.read_text()), model)
    check_csv(list(csv.DictReader(io.StringIO(rows.read_text()))), larger_model)


def check_json(document: dict[str, Any], model: Path) -> None:
    assert document["schema_version"] == 2
    assert document["settings"].items() >= {"threads": [1, 2], "runs": 60, "block": 20, "seed": 0}.items()
    assert {"date", "python", "numpy", "litert", "cpu", "cores", "load_average", "governor"} <= set(
        document["environment"]
    )
    assert document["environment"]["date"].endswith("+00:00")
    assert os.uname().nodename not in json.dumps(document["environment"])
    assert [(Path(m["artifact"]["path"]).stem, m["threads"]) for m in document["measurements"]] == [
        ("small", 1), ("small", 2), ("larger", 1), ("larger", 2),
    ]  # fmt: skip
    first, *_, last = document["measurements"]
    assert first["artifact"]["bytes"] == model.stat().st_size
    assert first["ratio_to_first"] is None
    assert last["ratio_to_first"]["verdict"] in get_args(Verdict)
    assert first["probe"]["operators"] == {"CONV_2D": 2, "ADD": 1}
    durations = first["samples"]["durations_ns"]
    assert sum(map(len, durations)) == 60
    assert [len(block) for block in first["samples"]["starts_ns"]] == [len(block) for block in durations]
    assert first["summary_ms"]["min"]["value"] == min(map(min, durations)) / 1e6


def check_csv(rows: list[dict[str, str]], larger_model: Path) -> None:
    assert [(Path(row["file"]).name, row["threads"]) for row in rows] == [
        ("small.tflite", "1"), ("small.tflite", "2"), ("larger.tflite", "1"), ("larger.tflite", "2"),
    ]  # fmt: skip
    last = rows[-1]
    assert (last["runs"], last["bytes"]) == ("60", str(larger_model.stat().st_size))
    assert last["verdict"] in get_args(Verdict)
    assert float(last["p10_ms"]) <= float(last["median_ms"]) <= float(last["p90_ms"])
    assert float(last["ratio_low"]) <= float(last["ratio"]) <= float(last["ratio_high"])


def test_a_dash_puts_json_alone_on_standard_output(model: Path) -> None:
    done = bench(model, "--runs", 6, "--json", "-")
    assert json.loads(done.stdout)["settings"]["runs"] == 6
    assert "median" in done.stderr


def test_what_exists_is_replaced_with_force_only(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept.csv"
    target.write_text("kept")
    assert "kept.csv: exists already" in sentence_of_a_refusal(model, "--runs", 5, "--csv", target)
    assert target.read_text() == "kept"
    assert bench(model, "--runs", 5, "--csv", target, "--force").returncode == 0
    assert target.read_text().startswith("target,file,runner,options,threads")


def test_more_threads_than_cores_are_warned_of_and_measured(model: Path) -> None:
    done = bench(model, "--runs", 5, "--threads", len(os.sched_getaffinity(0)) + 1)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--runs", "0"], "0 runs cannot be measured"),
        (["--runs", "-3"], "-3 runs cannot be measured"),
        (["--threads", "0"], "0 threads cannot run a model"),
        (["--threads", "1", "-2"], "-2 threads cannot run a model"),
        (["--threads", "two"], "--threads two: this is not a thread count"),
        (["--block", "2"], "a block of 2 calls leaves none"),
        (["--budget", "soon"], "--budget soon: this is no time"),
        (["--runner", "tvm"], "--runner tvm: there is none of that name"),
        (["--runner", "keras"], "none of the runners keras takes such a file"),
        (["--backend", "jax"], "--backend: none of the runners litert has this option"),
        (["--cpus", "999"], "--cpus 999: this process may use"),
        (["--batch", "9" * 5000], "give whole numbers by comma"),
        (["--json", "r", "--csv", "./r"], "--csv r: --json goes there too"),
        (["--resume", "r", "--html", "r"], "--html r: --resume goes there too"),
        (["--install"], "--install: no target of local has a use for it"),
        (["--target", "ftp://there"], "target 'ftp://there': give local"),
        (["--data", "no/photographs"], "no/photographs: expected a folder of pictures"),
        (["--target", "ssh://pi@board", "--runner", "litert, web", "--install"], "it needs this machine's browser"),
    ],
)
def test_values_out_of_range_are_named_in_a_sentence(model: Path, arguments: list[str], sentence: str) -> None:
    assert sentence in sentence_of_a_refusal(model, *arguments)


def test_files_that_cannot_be_measured_are_named_in_a_sentence(
    model: Path, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    truncated, empty, foreign = tmp_path / "truncated.tflite", tmp_path / "empty.tflite", tmp_path / "foreign.tflite"
    truncated.write_bytes(model.read_bytes()[:3000])
    empty.touch()
    foreign.write_text("a shopping list")
    for path, words in {
        tmp_path / "absent.tflite": "there is no such file",
        tmp_path: "this is a folder",
        truncated: "the file is corrupt",
        empty: "the file is empty",
        foreign: "this is not a .tflite file",
        make_model("crash.tflite", middle="SPLIT"): "litert crashed while loading it; the file is corrupt",
    }.items():
        sentence = sentence_of_a_refusal(path)
        assert path.name in sentence.replace(" ", "")
        assert words in sentence


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"schema_version": CARD_SCHEMA + 1}, "update keras-cnnzoo"),
        ({"schema_version": CARD_SCHEMA, "artifact": {"bytes": 1}}, "describes another file"),
    ],
)
def test_cards_that_do_not_fit_are_named_in_a_sentence(make_model: Callable[..., Path], card: dict, words: str) -> None:
    path = make_model("carded.tflite")
    path.with_name(path.name + ".json").write_text(json.dumps(card))
    assert words in sentence_of_a_refusal(path)


def test_an_output_that_cannot_be_written_is_named_before_anything_is_measured(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in sentence_of_a_refusal(model, "--json", tmp_path / "file" / "samples.json")
    assert "is a folder" in sentence_of_a_refusal(model, "--csv", tmp_path, "--force")


@pytest.mark.parametrize(
    ("given", "expanded"),
    [
        ("a --threads 1 2 --runs 9", "a --threads 1 --threads 2 --runs 9"),
        ("--threads 1 2 3 a", "--threads 1 --threads 2 --threads 3 a"),
        ("--threads 1,2 4 a", "--threads 1,2 --threads 4 a"),
        ("--threads 1 --threads 2 a 3", "--threads 1 --threads 2 a 3"),
        ("--threads 1 -- 2", "--threads 1 -- 2"),
        ("--threads=1 2", "--threads=1 2"),
        ("--runs 1 2", "--runs 1 2"),
        ("--threads", "--threads"),
    ],
)
def test_a_flag_takes_all_numbers_behind_it(given: str, expanded: str) -> None:
    assert one_flag_per_value(given.split(), "--threads") == expanded.split()


@pytest.mark.parametrize(("text", "expected"), [("60s", 60), ("1.5m", 90), ("1h", 3600), ("7", 7)])
def test_a_budget_is_a_time(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "1 s s", "0", "0.0h"])
def test_a_budget_that_is_no_time_is_named(text: str) -> None:
    with pytest.raises(InputError, match="this is no time"):
        seconds(text)


def test_what_was_measured_before_ctrl_c_is_shown_and_written(model: Path, tmp_path: Path) -> None:
    samples, journal = tmp_path / "samples.json", tmp_path / "journal.jsonl"
    arguments = [model, "--runs", 2_000_000, "--resume", journal, "--json", samples]
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not (journal.exists() and journal.read_text().count("\n") > 20):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "small" in output
    assert "what was measured until then is shown" in errors
    assert json.loads(samples.read_text())["measurements"][0]["failure"] == "it was interrupted"


def test_switches_come_by_comma_with_or_without_a_space(model: Path) -> None:
    done = bench(model, "--runs", 5, "--xnnpack", "on, off", "--json", "-")
    assert [m["options"]["xnnpack"] for m in json.loads(done.stdout)["measurements"]] == [True, False]


def test_what_was_measured_is_shown_beside_what_failed(model: Path, make_model: Callable[..., Path]) -> None:
    done = bench(model, make_model("crash.tflite", middle="SPLIT"), "--runs", 5, "--json", "-")
    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert [m["label"] for m in document["measurements"]] == ["small.tflite (1 thread)"]
    assert "litert crashed" in document["unmeasured"][0]["reason"]
    assert "error: " in done.stderr


def test_a_regression_that_the_interval_supports_fails_with_3(model: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    assert bench(model, "--runs", 60, "--json", old).returncode == 0
    document = json.loads(old.read_text())
    samples = document["measurements"][0]["samples"]
    samples["durations_ns"] = [[round(3 * t) for t in block] for block in samples["durations_ns"]]
    new.write_text(json.dumps(document))
    assert bench("compare", old, new).returncode == 0
    failed = bench("compare", old, new, "--fail-above", "5%")
    assert failed.returncode == 3
    assert "slower: small.tflite (1 thread) takes +200" in failed.stderr
    assert bench("compare", new, old, "--fail-above", "5%").returncode == 0
    assert "give a share in percent" in sentence_of_a_refusal("compare", old, new, "--fail-above", "5")
    samples["durations_ns"] = samples["durations_ns"][:7]
    new.write_text(json.dumps(document))
    assert bench("compare", old, new).returncode == 0
    unjudged = bench("compare", old, new, "--fail-above", "5%")
    assert unjudged.returncode == 3
    assert "not judged: small.tflite (1 thread): too few rounds for an interval" in unjudged.stderr
    new.write_text(old.read_text())
    document["measurements"] = [json.loads(old.read_text())["measurements"][0]]
    document["measurements"].append(document["measurements"][0] | {"label": "gone.tflite (1 thread)"})
    old.write_text(json.dumps(document))
    unjudged = bench("compare", old, new, "--fail-above", "5%")
    assert unjudged.returncode == 3
    assert "not judged: gone.tflite (1 thread): it has no latency in the new report" in unjudged.stderr
    new.write_text("{}")
    assert "schema version None" in sentence_of_a_refusal("compare", old, new)


@pytest.mark.parametrize(("text", "expected"), [("256K", 262_144), ("1m", 1_048_576), ("0.5M", 524_288), ("7", 7)])
def test_a_size_is_in_bytes(text: str, expected: int) -> None:
    assert size("--arena", text) == expected


def test_a_size_without_end_is_named() -> None:
    with pytest.raises(InputError, match="give bytes, as in 256K or 1M"):
        size("--arena", "9" * 400)


def test_a_microcontroller_that_is_too_small_fails_with_3(model: Path) -> None:
    pytest.importorskip("tflite_micro")
    done = bench("micro", model, "--arena", "1M", "--flash", "1M", "--json")
    assert done.returncode == 0, done.stderr
    needed = json.loads(done.stdout)[0]["arena_bytes"]
    assert needed > 16 * 16 * 8 * 4
    small = bench("micro", model, "--arena", needed - 1)
    assert small.returncode == 3
    assert f"it needs an arena of {needed:,} bytes" in small.stdout
    assert "give bytes, as in 256K or 1M" in sentence_of_a_refusal("micro", model, "--arena", "much")


def test_thread_counts_come_by_comma_too() -> None:
    assert thread_counts(["1,2", "4"]) == [1, 2, 4]
    for wrong in ("", "1,", "1.5", "two"):
        with pytest.raises(InputError, match="not a thread count"):
            thread_counts([wrong])
