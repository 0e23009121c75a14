"""Two devices of a host train as one does with the whole batch."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

TWICE = """
    import json
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_visible_devices([], "GPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    from keras_cnnzoo.training import Data, Recipe, train
    from keras_cnnzoo.training.build import mirrored
    from small import coloured, small_network
    data = Data(coloured(60, 0), coloured(31, 1), ("red", "green", "blue"), (12, 12, 3), "coloured noise")
    recipe = Recipe(epochs=2, batch=20, learning_rate=0.05, ema=0.9)
    curves, replicas = [], []
    for devices in (1, 2):
        with mirrored(devices).scope():
            model = small_network(norm=False, dropout=0.0)
        run = train(model, data, recipe, out=f"{out}/{{devices}}")
        replicas.append(model.distribute_strategy.num_replicas_in_sync)
        curves.append([(row.loss, row.accuracy, row.test_loss, row.test_accuracy) for row in run.history])
    print(json.dumps([replicas, curves]))
"""


@pytest.mark.slow
def test_two_devices_have_the_curve_of_one(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    code = textwrap.dedent(TWICE.replace("{out}", str(tmp_path)).replace("{{devices}}", "{devices}"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    replicas, curves = json.loads(done.stdout.splitlines()[-1])
    assert replicas == [1, 2]
    one, two = np.array(curves)
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert one[1, 0] < one[0, 0]
