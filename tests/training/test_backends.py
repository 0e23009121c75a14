"""Under JAX and torch the loop trains as under TensorFlow."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

CURVES = """
    import json
    import numpy as np
    from small import coloured, small_network
    from keras_cnnzoo.training import Data, Recipe, loop, train
    loop.LOST = loop.WORTH = 0.0
    data = Data(coloured(60, 0), coloured(31, 1), ("red", "green", "blue"), (12, 12, 3), "coloured noise")
    recipe = Recipe(epochs=3, batch=10, learning_rate=0.05, weight_decay=0.01, warmup=1, clip=1.0, shift=0.1, mixup=0.2,
                    ema=0.5, accumulate=2, unfreeze=1.0)

    def network(seed):
        model, rng = small_network(dropout=0.0), np.random.default_rng(seed)
        for variable in model.trainable_variables:
            variable.assign(rng.normal(float("gamma" in variable.path), 0.3, variable.shape))
        return model

    def killed_at_8(batches, done=[0]):
        done[0] += int(batches)
        if done[0] == 8:
            raise KeyboardInterrupt

    def curve(run):
        return [(row.loss, row.accuracy, row.test_loss, row.test_accuracy) for row in run.history]

    whole = train(network(0), data, recipe)
    try:
        train(network(0), data, recipe, out="run", step=killed_at_8)
    except KeyboardInterrupt:
        print(json.dumps([curve(whole), curve(train(network(1), data, recipe, out="run"))]))
"""


def curves(backend: str, folder: Path) -> np.ndarray:
    """(2, epochs, 4): losses and accuracies of an unbroken run and of one that was killed and taken up again."""
    (folder / "small.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CURVES)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return np.array(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def by_tensorflow(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return curves("tensorflow", tmp_path_factory.mktemp("tensorflow"))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend_has_the_same_curve_and_goes_on_after_a_kill(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip(backend)  # before TensorFlow's curve is trained for nothing
    by_tensorflow = request.getfixturevalue("by_tensorflow")
    whole, resumed = curves(backend, tmp_path)
    np.testing.assert_allclose(resumed, whole, rtol=1e-4)
    np.testing.assert_allclose(whole, by_tensorflow[0], rtol=1e-3)
    assert whole[2, 0] < whole[0, 0]
