"""oneDNN is asked for before TensorFlow is loaded, and never against what the environment says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = "import os; from keras_cnnzoo.training import prefer_onednn; {}prefer_onednn(); print(os.environ.get({!r}))"
NAME = "TF_ENABLE_ONEDNN_OPTS"


@pytest.mark.parametrize(
    ("before", "set_to", "then"),
    [("", None, "1"), ("", "0", "0"), ("import sys; sys.modules['tensorflow'] = os; ", None, "None")],
    ids=("not said", "said", "loaded"),
)
def test_tensorflow_is_told_in_time_or_not_at_all(before: str, set_to: str | None, then: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != NAME}
    environment |= {} if set_to is None else {NAME: set_to}
    command = [sys.executable, "-c", ASK.format(before, NAME)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == then


@pytest.mark.parametrize("verb", ["train", "lab", "demo"])
def test_a_command_that_trains_asks_for_it(verb: str, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != NAME}
    command = {
        "train": "train resnet20 --data nowhere/ --out nowhere/",
        "lab": "lab degradation --data nowhere/ --preset quick --out nowhere/",
        "demo": "demo --data nowhere/ --out nowhere/",
    }[verb]
    script = f"import os, atexit; atexit.register(lambda: print(os.environ.get('{NAME}')))\n"
    script += f"import sys; sys.argv[1:] = {command.split()}; from keras_cnnzoo.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.splitlines()[-1] == "1"
    assert not list(tmp_path.iterdir())  # data that are not there leave no folder behind
