"""The lab: every quick preset runs, goes on after a break, and writes its page; verdicts keep their rates."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_cnnzoo import InputError, cli
from keras_cnnzoo.app.lab.claims import NAMES, lab
from keras_cnnzoo.app.lab.framework import Cell, Claim, Lab, Preset, Row, Rows, Setup
from keras_cnnzoo.app.lab.verdict import Verdict, decide, interval, student

TIMED = ("kernels", "separable")  # they export and measure


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 of 16x16: noise, brighter in the channel of its class."""
    rng, count = np.random.default_rng(0), 150
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 160, (count, 16, 16, 3))
    pixels[np.arange(count), :, :, labels] += 60
    path = tmp_path_factory.mktemp("pictures") / "pictures.npz"
    np.savez(path, images=pixels.astype(np.uint8), labels=labels)
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all labs: what one trained serves the others."""
    return tmp_path_factory.mktemp("lab")


def require_extra() -> None:
    for package in ("matplotlib", "nbformat"):
        pytest.importorskip(package, reason="pip install -e .[lab]")


def broken_off(name: str, pictures: Path, folder: Path) -> None:
    """Runs a lab until its first cell is done."""
    from keras_cnnzoo.app.lab.run import run_lab

    def interrupt(done: float, total: float) -> None:
        if done >= 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_lab(lab(name), pictures, folder, preset="quick", watch=interrupt)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in TIMED else ()) for n in NAMES])
def test_a_quick_lab_goes_on_after_a_cell_and_writes_a_page_that_fetches_nothing(
    name: str, pictures: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.run import run_lab

    broken_off(name, pictures, folder)
    journal = folder / name / "cells.jsonl"
    first = journal.read_text().splitlines()
    assert len(first) == 2
    assert not (folder / f"{name}.html").exists()

    result = run_lab(lab(name), pictures, folder, preset="quick")
    lines = journal.read_text().splitlines()
    assert lines[:2] == first
    assert len(lines) == 1 + len(lab(name).presets["quick"].cells())
    assert [v.word for v in result.verdicts] == ["not shown"] * len(lab(name).claims)  # of one seed
    assert {v.seeds + v.silent for v in result.verdicts} == {1}
    assert [v.silent for v in result.verdicts] == [int(v.effect is None) for v in result.verdicts]

    kept = json.loads((folder / name / "results.json").read_text())
    assert len(kept["rows"]) == len((folder / name / "results.csv").read_text().splitlines()) - 1 == len(result.rows)
    assert {p.suffix for p in (folder / name).iterdir()} == {".jsonl", ".json", ".csv", ".svg", ".png"}
    check_page(folder / f"{name}.html", lab(name).chinese)
    check_page(folder / "index.html", lab(name).chinese)
    assert run_notebook(folder / f"{name}.ipynb", monkeypatch) == sorted((folder / name).glob("*.svg"))
    assert lab(name).claims[0].says in capsys.readouterr().out


def run_notebook(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Runs its code on the results that are there; returns the pictures that it shows."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    shown: list[Path] = []
    display = SimpleNamespace(SVG=lambda file: path.parent / file, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.chdir(path.parent)
    exec("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"), {})
    return sorted(shown)


def check_page(path: Path, chinese: str) -> None:
    text = path.read_text(encoding="utf-8")
    asked = re.findall(r"(?:src|href)=[\"']([^\"'#][^\"']*)", text)
    assert [each for each in asked if ":" in each or not (path.parent / each).is_file()] == []
    assert not re.search(r"url\((?!#)|@import|<script|xmlns", text)
    assert chinese in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert len(re.findall(r"<figure", text)) == len(re.findall(r"<svg", text))


# ---- the framework, by an experiment that costs nothing


def measured(setup: Setup, cell: Cell, seed: int) -> Iterable[Row]:
    CALLS.append((cell["kind"], seed))
    yield {"error": seed + (0.5 if cell["kind"] == "b" else 0.0)}


def drawn(rows: Rows) -> dict[str, Any]:
    from keras_cnnzoo.app.lab.figures import bars, panels

    figure, (axis,) = panels("both", x="kind", y="error")
    bars(axis, ("a", "b"), [rows.values("error", kind=kind) for kind in "ab"])
    return {"error": figure}


CALLS: list[tuple[str, int]] = []
PRESET = Preset({"kind": ("a", "b")}, seeds=2)
TRIED = Lab(
    name="tried", title="b errs more", chinese="试", claim="", source="", measures=("error",),
    presets={"quick": PRESET, "standard": PRESET, "full": PRESET}, experiment=measured, figures=drawn,
    claims=(Claim("b errs more", lambda rows: rows.mean("error", kind="b") - rows.mean("error", kind="a"), "points"),),
)  # fmt: skip


def test_more_seeds_add_their_cells_and_no_cell_runs_twice(pictures: Path, tmp_path: Path) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.run import run_lab

    CALLS.clear()
    assert run_lab(TRIED, pictures, tmp_path).verdicts[0].word == "confirmed"
    assert CALLS == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    found = run_lab(TRIED, pictures, tmp_path, seeds=3)
    assert CALLS[4:] == [("a", 2), ("b", 2)]
    assert found.rows.values("error", kind="b").tolist() == [0.5, 1.5, 2.5]
    assert found.verdicts[0] == Verdict("b errs more", "confirmed", 0.5, 0.5, 0.5, 3, 0, "points")


def test_the_quick_preset_shows_nothing_whatever_its_numbers_say(pictures: Path, tmp_path: Path) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.run import run_lab

    assert run_lab(TRIED, pictures, tmp_path, preset="quick", seeds=3).verdicts[0].word == "not shown"


def test_other_pictures_under_the_same_name_are_another_experiment(pictures: Path, tmp_path: Path) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.run import run_lab

    with np.load(pictures) as found:
        np.savez(tmp_path / pictures.name, images=found["images"], labels=found["labels"][::-1])
    run_lab(TRIED, pictures, tmp_path)
    with pytest.raises(InputError, match="is of another experiment"):
        run_lab(TRIED, tmp_path / pictures.name, tmp_path)


def test_a_second_process_is_refused_while_a_lab_runs(pictures: Path, tmp_path: Path) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.run import run_lab

    def again(done: float, total: float) -> None:
        with pytest.raises(InputError, match="another process runs this lab there"):
            run_lab(TRIED, pictures, tmp_path)

    run_lab(TRIED, pictures, tmp_path, watch=again)


def test_a_page_says_what_the_data_left_of_a_preset(pictures: Path, tmp_path: Path) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.run import run_lab

    page = run_lab(TRIED, pictures, tmp_path, preset="full", seeds=1).page.read_text(encoding="utf-8")
    assert "120, all that there are" in page
    assert "Smaller than preset full in: images, seeds." in page


def test_pictures_fewer_than_a_batch_that_is_compared_are_refused(pictures: Path, tmp_path: Path) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.run import run_lab

    with pytest.raises(InputError, match="120 pictures to train on, and batches of up to 128 are compared"):
        run_lab(lab("batch-size"), pictures, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_notebook_names_its_data_by_name_or_by_the_way_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.notebook import write_notebook

    for source, named in (("cifar10", "cifar10"), ("photographs", "../photographs")):
        (tmp_path / source).mkdir()
        monkeypatch.chdir(tmp_path)
        write_notebook(TRIED, source, "quick", 1, ["error"], Path("out") / "tried.ipynb")
        assert f'run_lab(this, \\"{named}\\"' in Path("out/tried.ipynb").read_text()


@pytest.mark.parametrize(
    ("said", "anew"),
    [("x is of another run; choose another --out, or --force to start anew", True), ("x: could not be written", False)],
)
def test_that_a_run_is_taken_anew_is_said_of_what_stands_in_its_folder_alone(
    said: str, anew: bool, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_cnnzoo.training import dataset

    def refuse(*arguments: Any, **options: Any) -> None:
        raise InputError(said)

    monkeypatch.setattr("keras_cnnzoo.training.train", refuse)
    model: Any = SimpleNamespace(name="net", count_params=lambda: 1)
    with pytest.raises(InputError) as refused:
        Setup(dataset(pictures), PRESET, tmp_path).train(model, 0)
    assert str(refused.value).startswith(said)
    assert ("this lab takes it anew once" in str(refused.value)) is anew


def test_a_block_that_is_not_timed_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_cnnzoo.app.lab.timing import latencies

    def benchmark(paths: list[Path], **settings: Any) -> SimpleNamespace:
        return SimpleNamespace(unmeasured=[SimpleNamespace(artifact=SimpleNamespace(path=paths[3]), reason="killed")])

    monkeypatch.setattr("keras_cnnzoo.export.to_tflite", lambda *model, **how: None)
    monkeypatch.setattr("keras_cnnzoo.mobile_bench.benchmark", benchmark)
    blocks: Any = {"1x1": None, "3x3": None}
    with pytest.raises(InputError, match=r"^3x3 as int8 could not be timed here \(killed\); "):
        latencies(blocks, ["float32", "int8"], np.zeros(1), runs=1, seed=0)


def test_results_of_another_experiment_are_refused_and_forced_away(pictures: Path, tmp_path: Path) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.run import run_lab

    run_lab(TRIED, pictures, tmp_path, preset="quick", seeds=1)
    with pytest.raises(InputError, match="its preset is quick, not full"):
        run_lab(TRIED, pictures, tmp_path, preset="full", seeds=1)
    (tmp_path / "tried" / "cells.jsonl").write_text("{")
    with pytest.raises(InputError, match="no journal of a lab"):
        run_lab(TRIED, pictures, tmp_path, preset="quick", seeds=1)
    run_lab(TRIED, pictures, tmp_path, preset="full", seeds=1, force=True)
    with pytest.raises(InputError, match="--preset slow: one of quick, standard, full"):
        run_lab(TRIED, pictures, tmp_path, preset="slow")


def test_every_lab_has_three_presets_of_one_grid_and_three_seeds_in_the_standard_one() -> None:
    for name in NAMES:
        found = lab(name)
        assert found.name == name
        assert list(found.presets) == ["quick", "standard", "full"]
        assert len({tuple(preset.grid) for preset in found.presets.values()}) == 1
        assert found.presets["standard"].seeds >= 3
        assert re.search("[一-鿿]", found.chinese)
    with pytest.raises(InputError, match="did you mean 'degradation'"):
        lab("degradatoin")


# ---- verdicts


def test_student_s_quantiles_are_those_of_the_tables() -> None:
    tables = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 10: 2.228, 15: 2.131, 30: 2.042, 120: 1.980}
    for freedom, value in tables.items():
        assert student(freedom) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize(("seeds", "effect", "least"), [(3, 6.0, 0.85), (5, 3.0, 0.9), (10, 1.5, 0.9)])
def test_an_effect_is_found_and_none_is_found_in_a_twentieth_where_there_is_none(
    seeds: int, effect: float, least: float
) -> None:
    rng = np.random.default_rng(seeds)
    claim = Claim("", lambda rows: rows.mean("effect"), "")

    def words(mean: float, count: int = 1500) -> list[str]:
        draws = rng.normal(mean, 1, (count, seeds))
        return [decide(claim, Rows({"seed": i, "effect": x} for i, x in enumerate(draw))).word for draw in draws]

    none, some = words(0.0), words(effect)
    assert 0.033 < 1 - none.count("not shown") / len(none) < 0.067  # 0.05, and three standard deviations
    assert 0.01 < none.count("confirmed") / len(none) < 0.04
    assert some.count("confirmed") / len(some) > least
    assert words(-effect, 200).count("contradicted") > 200 * (least - 0.1)


def test_one_seed_or_a_value_that_is_no_number_shows_nothing() -> None:
    assert interval([3.0]) == (None, None)
    assert interval([3.0, float("nan")]) == (None, None)


def test_a_seed_without_an_effect_has_no_say_and_is_counted() -> None:
    claim = Claim("", lambda rows: rows.mean("effect"), "")
    rows = Rows([{"seed": 0, "effect": 1.0}, {"seed": 1, "diverged": 1}, {"seed": 2, "effect": 1.2}])
    found = decide(claim, rows)
    assert (found.seeds, found.silent, found.effect) == (2, 1, pytest.approx(1.1))
    nothing = decide(claim, Rows([{"seed": 0, "diverged": 1}]))
    assert (nothing.word, nothing.effect, nothing.seeds, nothing.silent) == ("not shown", None, 0, 1)


def test_what_is_without_chance_is_counted_and_not_confirmed() -> None:
    claim = Claim("", lambda rows: rows.mean("fewer"), "", counted=True)
    for fewer, word in ((3.0, "counted"), (-3.0, "contradicted")):
        found = decide(claim, Rows({"seed": seed, "fewer": fewer} for seed in range(3)))
        assert (found.word, found.low, found.high) == (word, None, None)


@pytest.mark.parametrize("name", ["landscape", "ensemble", "gradient-flow", "bn-inference"])
def test_a_network_that_diverged_speaks_neither_for_nor_against(
    name: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_extra()
    from keras_cnnzoo.app.lab.run import run_lab

    monkeypatch.setattr(Setup, "train", lambda *arguments, **options: None)
    result = run_lab(lab(name), pictures, tmp_path, preset="quick")
    decided = [verdict for verdict in result.verdicts if "at the start" not in verdict.says]
    assert [(v.word, v.effect, v.seeds, v.silent) for v in decided] == [("not shown", None, 0, 1)] * len(decided)
    assert "NaN" not in (tmp_path / name / "results.json").read_text(encoding="utf-8")
    assert "1 said nothing" in result.page.read_text(encoding="utf-8")


def curves(plain: float, residual: float, noise: float) -> Rows:
    """Final losses of networks of 20 and 56 layers: how much more the deeper ones have."""
    rng = np.random.default_rng(1)
    return Rows(
        {"seed": s, "kind": k, "depth": d, "loss": 1 + growth * (d == 56) + noise * rng.standard_normal(), "epoch": 1}
        for s in range(5)
        for k, growth in (("plain", plain), ("residual", residual))
        for d in (20, 56)
    )


def test_degradation_is_confirmed_contradicted_or_not_shown_as_the_losses_say() -> None:
    claims = lab("degradation").claims
    assert [decide(c, curves(0.4, -0.2, 0.02)).word for c in claims] == ["confirmed"] * 3
    assert [decide(c, curves(-0.4, 0.2, 0.02)).word for c in claims] == ["contradicted"] * 3
    assert [decide(c, curves(0.0, 0.0, 0.02)).word for c in claims] == ["not shown"] * 3


def test_batchnorm_counts_doublings_of_the_rate_that_still_trains() -> None:
    shares = {("batch", 0.1): 0.2, ("batch", 0.4): 0.3, ("none", 0.1): 0.4, ("none", 0.4): 1.0}
    rows = Rows(
        {"seed": 0, "norm": norm, "rate": rate, "gain": gain, "depth": 8, "share": share, "epoch": 1}
        for (norm, rate), share in shares.items()
        for gain in (1.0, 2.0)
    )
    assert [claim.effect(rows) for claim in lab("batchnorm").claims] == pytest.approx([2.0, 0.2, 0.0])


def test_networks_of_one_cost_count_once_however_many_epochs_they_ended() -> None:
    """The place is 100, between 10 and 1,000; there ResNet errs 0.4 and DenseNet 0.45."""
    rows = Rows(
        {"seed": 0, "family": family, "depth": depth, "macs": 10 ** (depth // 8), "epoch": epoch, "test_error": error}
        for family, errors in (("residual", (0.6, 0.2)), ("dense", (0.5, 0.4)))
        for depth, error in zip((8, 24), errors, strict=True)
        for epoch in range(1 if (family, depth) == ("dense", 24) else 9)  # that one diverged
    )
    assert lab("dense-vs-residual").claims[1].effect(rows) == pytest.approx(-5)


def test_the_four_steps_are_drawn_of_the_first_seed_that_has_them() -> None:
    require_extra()
    from keras_cnnzoo.app.lab.claims.bn_inference import STEPS

    measured = {"batch_size": 2, "batch_statistics": 0.5, "moving_averages": 0.6}
    rows = Rows([{"seed": 0, "diverged": 1}, {"seed": 1, **measured}])
    rows += [{"seed": 1, "step": step, "value": x, "count": 1} for step in STEPS for x in (0.0, 1.0)]
    steps = lab("bn-inference").figures(rows)["steps"]
    assert all(len(axis.collections[0].get_paths()[0].vertices) > 4 for axis in steps.axes)


def test_the_landscape_of_a_network_that_learned_nothing_has_no_say() -> None:
    kinds = {"residual": (0.1, 1), "plain": (0.5, 1), "residual without normalisation": (0.0, 0)}
    rows = Rows({"seed": 0, "kind": k, "rise": rise, "trains": trains} for k, (rise, trains) in kinds.items())
    assert [claim.effect(rows) for claim in lab("landscape").claims] == pytest.approx([0.4, np.nan], nan_ok=True)


def test_batchnorm_asks_no_care_of_a_network_that_never_trains() -> None:
    rows = Rows(
        {"seed": 0, "norm": norm, "rate": 0.1, "gain": gain, "depth": 8, "share": share, "epoch": 1}
        for norm, share in (("batch", 0.2), ("none", 1.0))
        for gain in (1.0, 2.0)
    )
    assert np.isnan(lab("batchnorm").claims[2].effect(rows))


# ---- deletions of the ensemble lab


def test_a_deleted_block_passes_on_what_it_reads() -> None:
    import keras

    from keras_cnnzoo.app.lab.claims.ensemble import DELETE, REMOVABLE
    from keras_cnnzoo.by_name import create

    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, 8, 8, 3)).astype(np.float32)
    for kind, network in (("plain", "plain20"), ("residual", "resnet20")):
        model = create(network, depth=14, width=4, input_shape=(8, 8, 3))
        model.set_weights([w + rng.uniform(0, 0.2, w.shape) for w in model.get_weights()])
        assert REMOVABLE[kind](model) == ["layer1_0", "layer1_1", "layer2_1", "layer3_1"]
        DELETE[kind](model, "layer2_1")
        both = [model.get_layer(f"layer2_{i}_relu").output for i in (0, 1)]
        before, after = (np.asarray(x) for x in keras.Model(model.input, both)(images))
        assert np.abs(before).max() > 0.1
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


# ---- the command


def test_the_command_lists_the_labs_without_a_framework() -> None:
    code = (
        "import sys; sys.argv = ['cnnzoo', 'lab', '--list', '--json']\nfrom keras_cnnzoo import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "print({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    listed, _, loaded = done.stdout.rstrip().rpartition("\n")
    assert [each["name"] for each in json.loads(listed)] == list(NAMES)
    assert loaded == "set()"


def test_the_command_refuses_what_is_no_lab_and_prints_what_it_found(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_extra()
    runner = CliRunner()
    assert "name a lab" in str(runner.invoke(cli.app, ["lab"]).exception)
    assert "there are degradation" in str(runner.invoke(cli.app, ["lab", "xyz"]).exception)
    monkeypatch.setattr("keras_cnnzoo.app.lab.claims.lab", lambda name: TRIED)
    line = ["lab", "se", "--data", str(pictures), "--preset", "standard", "--out", str(tmp_path), "-q"]
    found = runner.invoke(cli.app, [*line, "--json"])
    assert found.exit_code == 0
    assert json.loads(found.stdout)["verdicts"][0]["word"] == "confirmed"
    assert "confirmed" in runner.invoke(cli.app, line).stdout
