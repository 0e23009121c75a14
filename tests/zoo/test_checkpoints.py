"""Public checkpoints: the table tells what their publishers tell, files come whole or not at all, torch's are read."""

import base64
import contextlib
import errno
import hashlib
import http.client
import http.server
import json
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_cnnzoo as zoo
from keras_cnnzoo import InputError
from keras_cnnzoo.cli import app
from keras_cnnzoo.preprocessing import PRESETS
from keras_cnnzoo.registry import VARIANTS
from keras_cnnzoo.weights import download, preprocessing_of, read_state, state_of
from keras_cnnzoo.weights.catalogue import Checkpoint, checkpoint, checkpoints
from keras_cnnzoo.weights.torch import from_torch

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


# the table


def test_every_checkpoint_is_of_a_network_and_imagenet_means_at_most_one() -> None:
    rows = checkpoints()
    assert {row.network for row in rows} <= set(VARIANTS)
    assert len({(row.network, row.spec) for row in rows}) == len(rows)
    chosen = [row.network for row in rows if row.imagenet]
    assert len(set(chosen)) == len(chosen)
    assert len(chosen) > 40


def of_origin(origin: str) -> list[Checkpoint]:
    rows = [row for row in checkpoints() if row.origin == origin]
    assert rows
    return rows


def test_torchvision_s_rows_say_what_torchvision_says() -> None:
    models = pytest.importorskip("torchvision", reason="torchvision is not installed").models
    for row in of_origin("torchvision"):
        weights = models.get_model_weights(row.network)[row.name]
        transforms = weights.transforms()
        assert row.url == weights.url
        assert row.top1 == weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
        assert [row.size] == transforms.crop_size
        assert round(row.size / row.preprocessing.crop) == transforms.resize_size[0]
        assert row.preprocessing.interpolation == transforms.interpolation.value
        assert row.imagenet == (weights == models.get_model_weights(row.network).DEFAULT)
        if row.network not in ("googlenet", "inception_v3"):  # their modules transform the input once more
            assert list(row.preprocessing.mean) == transforms.mean


def test_timm_s_rows_say_what_timm_says() -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    for row in of_origin("timm"):
        told = timm.models.get_pretrained_cfg(row.name)
        assert row.url in (told.url, f"https://huggingface.co/{told.hf_hub_id}/resolve/main/model.safetensors")
        assert row.size == told.input_size[1]
        assert row.size / row.preprocessing.crop == pytest.approx(row.size / told.crop_pct, abs=1)
        assert row.preprocessing.interpolation == told.interpolation
        mean = (0.5, 0.5, 0.5) if row.preprocessing.mean[0] == 1 else row.preprocessing.mean
        assert mean == told.mean


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v3_small", "resnet18", "densenet121", "inception_v3"])
def test_the_epsilon_is_the_reference_s(name: str) -> None:
    models = pytest.importorskip("torchvision", reason="torchvision is not installed").models
    module = models.get_model(
        name, weights=None, **({"init_weights": False} if name in ("googlenet", "inception_v3") else {})
    )
    found = {part.eps for part in module.modules() if hasattr(part, "running_mean")}
    assert found == {checkpoint("imagenet", name).epsilon}


def test_a_checkpoint_knows_its_preprocessing() -> None:
    assert preprocessing_of("torchvision:IMAGENET1K_V2", "resnet50") == replace(PRESETS["torch"], crop=224 / 232)
    assert preprocessing_of("imagenet", "inception_v3") == replace(PRESETS["tf"], crop=299 / 342)


def test_an_unknown_checkpoint_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="it has 'torchvision:IMAGENET1K_V1', 'torchvision:IMAGENET1K_V2'"):
        zoo.ResNet50(weights="torchvision:V3", include_top=False, input_shape=(32, 32, 3))
    with pytest.raises(InputError, match="none is known for it; give a weights file"):
        zoo.Plain20(weights="imagenet")


def test_weights_for_another_variant_are_refused(home: Path) -> None:
    with pytest.raises(InputError, match="other conventions; build it with variant='torch'"):
        zoo.MobileNetV2(weights="imagenet", variant="keras", input_shape=(32, 32, 3))


def test_a_cifar_network_s_checkpoint_is_the_file_of_its_author(
    data: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    row = checkpoint("akamaster:cifar10", "resnet20")
    monkeypatch.setenv("CNNZOO_OFFLINE", "1")
    download.cached(row).parent.mkdir(parents=True)
    download.cached(row).write_bytes((data / "weights" / "resnet20-12fca82f.th").read_bytes())
    model = zoo.ResNet20(weights="akamaster:cifar10")
    trained = zoo.ResNet20(weights=data / "weights" / "cifar_resnet20.safetensors")
    assert all(np.array_equal(value, state_of(trained)[name]) for name, value in state_of(model).items())
    assert row.preprocessing.crop == 1


# the download


@dataclass
class Site:
    """What the server does, and what it was asked."""

    url: str = ""
    faults: list[str] = field(
        default_factory=list
    )  # of the next answers: "half", "slow", "error", "missing", "elsewhere"
    asked: list[str] = field(default_factory=list)
    content: bytes = CONTENT
    etag: str | None = None
    redirect_etag: str | None = None
    storage: str | None = None  # MD5 in base64, as Google's storage says it


@pytest.fixture
def site() -> Iterator[Site]:
    told = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None: ...

        def do_GET(self) -> None:
            fault = told.faults.pop(0) if told.faults else ""
            told.asked.append(self.headers.get("Range") or self.path)
            if fault == "elsewhere":
                self.send_response(302)
                self.send_header("Location", "/moved.bin")
                if told.redirect_etag:
                    self.send_header("X-Linked-Etag", f'"{told.redirect_etag}"')
                self.end_headers()
                return
            if fault in ("error", "missing"):
                self.send_error(503 if fault == "error" else 404)
                return
            begun = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            body = told.content[begun:]
            self.send_response(206 if begun else 200)
            self.send_header("Content-Length", str(len(body)))
            if told.etag:
                self.send_header("X-Linked-Etag", f'"{told.etag}"')
            if told.storage:
                self.send_header("X-Goog-Hash", "crc32c=AAAAAA==")
                self.send_header("X-Goog-Hash", f"md5={told.storage}")
            self.end_headers()
            sent = body[: len(body) // 2] if fault == "half" else body
            for start in range(0, len(sent), 50_000):
                self.wfile.write(sent[start : start + 50_000])
                time.sleep(0.05 if fault == "slow" else 0)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    yield told
    server.shutdown()
    server.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CNNZOO_OFFLINE", raising=False)
    monkeypatch.delenv("CNNZOO_MIRRORS", raising=False)
    return tmp_path / "home"


def row_of(url: str, sha: str = SHA[:8]) -> Checkpoint:
    return replace(checkpoint("imagenet", "resnet18"), url=f"{url}/weights.pth", hash=sha)


def left(home: Path) -> list[str]:
    return sorted(file.name for file in home.rglob("*") if file.is_file() and file.suffix != ".lock")


@pytest.mark.parametrize(
    "faults", [[], ["half"], ["half", "half"], ["error"], ["elsewhere"], ["slow"], ["error", "half"]]
)
def test_a_file_comes_whole_whatever_the_connection_does(site: Site, home: Path, faults: list[str]) -> None:
    site.faults = list(faults)
    path = download.fetch(row_of(site.url))
    assert path.read_bytes() == CONTENT
    assert left(home) == [path.name]
    if faults and faults[-1] == "half":
        assert "bytes=" in site.asked[-1], "what was here was fetched again"
    asked = len(site.asked)
    assert download.fetch(row_of(site.url)) == path
    assert len(site.asked) == asked, "a cached file was fetched again"


def test_a_fetch_that_was_cut_off_goes_on_where_it_stopped(site: Site, home: Path) -> None:
    site.faults = ["half"] * download.TRIES
    with pytest.raises(InputError, match="what came stays"):
        download.fetch(row_of(site.url))
    (part,) = left(home)
    assert part.endswith(".part")
    assert download.fetch(row_of(site.url)).read_bytes() == CONTENT
    assert site.asked[-1].startswith("bytes=")


def test_another_content_than_was_published_is_never_kept(site: Site, home: Path) -> None:
    site.content = CONTENT[::-1]
    with pytest.raises(InputError, match=r"not .* as published"):
        download.fetch(row_of(site.url))
    assert left(home) == []


def test_a_file_that_was_tampered_with_in_the_cache_is_never_loaded(site: Site, home: Path) -> None:
    path = download.fetch(row_of(site.url))
    path.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(InputError, match=r"not .* as published"):
        download.require_published(row_of(site.url))
    assert path.exists()
    with pytest.raises(InputError, match=r"not .* as published"):
        download.fetch(row_of(site.url))
    assert not path.exists()


def test_a_hub_s_own_hash_is_checked_and_remembered(site: Site, home: Path) -> None:
    with pytest.raises(InputError, match="does not say its hash"):
        download.fetch(row_of(site.url, "server"))
    site.etag = SHA
    path = download.fetch(row_of(site.url, "server"))
    download.require_published(row_of(site.url, "server"))
    path.write_bytes(CONTENT + b"more")
    with pytest.raises(InputError, match=r"not .* as published"):
        download.require_published(row_of(site.url, "server"))


def test_an_md5_is_checked_as_such_and_a_storage_service_s_own_too(site: Site, home: Path) -> None:
    digest = hashlib.md5(CONTENT)
    assert download.fetch(row_of(site.url, f"md5:{digest.hexdigest()}")).read_bytes() == CONTENT
    with pytest.raises(InputError, match=r"its MD5 begins .* as published"):
        download.fetch(row_of(site.url, "md5:" + "0" * 32))
    assert left(home) == []
    site.storage = base64.b64encode(digest.digest()).decode()
    path = download.fetch(row_of(site.url, "server"))
    download.require_published(row_of(site.url, "server"))
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(InputError, match=r"not .* as published"):
        download.require_published(row_of(site.url, "server"))


def test_offline_what_is_missing_is_named_and_what_is_here_is_used(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNNZOO_OFFLINE", "1")
    with pytest.raises(InputError, match=r"fetch .*weights.pth to .*home"):
        download.fetch(row_of(site.url))
    assert site.asked == []
    download.cached(row_of(site.url)).parent.mkdir(parents=True)
    download.cached(row_of(site.url)).write_bytes(CONTENT)
    assert download.fetch(row_of(site.url)).read_bytes() == CONTENT


def test_a_prefilled_cache_is_read_without_writing_to_it(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = download.cached(row_of(site.url))
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert download.fetch(row_of(site.url)) == path
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    path.write_bytes(b"other")
    with pytest.raises(InputError, match="delete it, try again"):
        download.fetch(row_of(site.url))
    with pytest.raises(InputError, match=r"cannot be written to \(Read-only file system\); set CNNZOO_HOME elsewhere"):
        download.fetch(replace(row_of(site.url), name="another"))


def refuse(*arguments: object, **options: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_file_that_came_by_other_ways_is_vouched_for_as_the_sentence_says(
    site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = row_of(site.url, "server")
    path = download.cached(row)
    monkeypatch.setenv("CNNZOO_OFFLINE", "1")
    says = rf"write what `sha256sum {path.name}` says to \S+{path.name}\.sha256"
    with pytest.raises(InputError, match=rf"fetch .*/weights\.pth to {path} and {says}"):
        download.fetch(row)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    for ask in (download.fetch, download.require_published):
        with pytest.raises(InputError, match=f"nothing says its hash; delete it, .* or trust it and {says}"):
            ask(row)
    path.with_name(f"{path.name}.sha256").write_text(f"{SHA}  {path.name}\n")
    assert download.fetch(row) == path


@pytest.mark.parametrize("said", ["sha512-x:a:b", "crc:ab", SHA[:8], "md5:12", ""])
def test_what_is_no_hash_vouches_for_nothing(home: Path, said: str) -> None:
    row = row_of("https://a.example", "server")
    path = download.cached(row)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    path.with_name(f"{path.name}.sha256").write_text(said)
    with pytest.raises(InputError, match="nothing says its hash; delete it"):
        download.fetch(row)
    path.with_name(f"{path.name}.sha256").write_text(SHA.upper())
    assert download.fetch(row) == path


@pytest.mark.parametrize("what", ["write_text", "replace"])
def test_a_cache_that_cannot_be_written_at_the_end_is_a_sentence(
    site: Site, home: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.etag = SHA
    monkeypatch.setattr(Path, what, refuse)
    with pytest.raises(InputError, match=r"cannot be written to \(Read-only file system\); set CNNZOO_HOME elsewhere"):
        download.fetch(row_of(site.url, "server"))


def test_a_full_disk_is_no_fault_of_the_network_s(site: Site, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Path.open

    def full(path: Path, mode: str = "r", *arguments: Any) -> Any:
        if path.suffix == ".part":
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(path, mode, *arguments)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(
        InputError,
        match=r"\.part: could not be written \(No space left on device\); make room there, or set CNNZOO_HOME",
    ):
        download.fetch(row_of(site.url))
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CNNZOO_OFFLINE", "true", "CNNZOO_OFFLINE=true: expected 1 .* or 0"),
        (
            "CNNZOO_MIRRORS",
            "https://mirror.example/",
            "CNNZOO_MIRRORS: 'https://mirror.example/' replaces nothing; write",
        ),
        ("CNNZOO_MIRRORS", "https://mirror.example/=", "replaces nothing; write"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(
    site: Site, home: Path, variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InputError, match=said):
        download.fetch(row_of(site.url))
    assert site.asked == []
    monkeypatch.setenv("CNNZOO_OFFLINE", "0")
    monkeypatch.delenv("CNNZOO_MIRRORS", raising=False)
    assert download.fetch(row_of(site.url)).read_bytes() == CONTENT


def test_a_hash_that_only_the_redirect_names_is_checked(site: Site, home: Path) -> None:
    site.faults, site.redirect_etag = ["elsewhere"], SHA
    assert download.fetch(row_of(site.url, "server")).read_bytes() == CONTENT
    site.faults, site.redirect_etag = ["elsewhere"], SHA[::-1]
    download.cached(row_of(site.url)).unlink()
    with pytest.raises(InputError, match=r"not .* as published"):
        download.fetch(row_of(site.url, "server"))


@pytest.mark.parametrize(
    "fault", [http.client.IncompleteRead(b"half", 9), ValueError("unknown url type: 'b.example/w.pth'")]
)
def test_every_way_to_fail_is_a_sentence(home: Path, fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise fault

    monkeypatch.setattr(download, "_continue", fails)
    with pytest.raises(InputError, match="could not be fetched"):
        download.fetch(row_of("https://a.example"))


def test_a_mirror_stands_in_for_the_publisher(site: Site, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNZOO_MIRRORS", f"https://publisher.example/={site.url}/mirror/")
    download.fetch(row_of("https://publisher.example"))
    assert site.asked == ["/mirror/weights.pth"]


def test_two_at_once_fetch_once(site: Site, home: Path) -> None:
    site.faults = ["slow"]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(download.fetch, [row_of(site.url)] * 3))
    assert found == [download.cached(row_of(site.url))] * 3
    assert len(site.asked) == 1


def test_an_address_that_answers_404_is_a_sentence_and_asked_once(site: Site, home: Path) -> None:
    site.faults = ["missing"] * download.TRIES
    with pytest.raises(InputError, match=r"could not be fetched \(Not Found\)"):
        download.fetch(row_of(site.url))
    assert len(site.asked) == 1


def test_an_address_at_which_nobody_answers_is_a_sentence(home: Path) -> None:
    with socket_nobody_listens_on() as url, pytest.raises(InputError, match="could not be fetched"):
        download.fetch(row_of(url))


@contextlib.contextmanager
def socket_nobody_listens_on() -> Iterator[str]:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# torch's files


@pytest.fixture(scope="module")
def torch_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    models = pytest.importorskip("torchvision", reason="torchvision is not installed").models
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("torch") / "resnet18-00000000.pth"
    torch.save(models.resnet18(weights=None).state_dict(), path)
    return path


def test_a_checkpoint_by_name_is_downloaded_and_loaded(
    torch_file: Path, site: Site, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.content = torch_file.read_bytes()
    digest = hashlib.sha256(site.content).hexdigest()
    monkeypatch.setattr("keras_cnnzoo.weights.load.checkpoint", lambda *_: row_of(site.url, digest))
    with pytest.warns(UserWarning, match="was trained at 224x224, resnet18 reads 32x32"):
        model = zoo.ResNet18(weights="imagenet", input_shape=(32, 32, 3))
    kernel = read_state(torch_file)["conv1.weight"]
    assert np.array_equal(np.asarray(model.get_layer("conv1").kernel), kernel.transpose(2, 3, 1, 0))


def test_a_nested_state_dict_is_read(torch_file: Path, tmp_path: Path) -> None:
    import torch

    state = {f"module.{name}": value for name, value in torch.load(torch_file, weights_only=True).items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "nested.th")
    assert len(read_state(tmp_path / "nested.th")) == len(state)
    assert zoo.ResNet18(weights=tmp_path / "nested.th", input_shape=(32, 32, 3)).name == "resnet18"


def test_a_pickle_that_could_run_code_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    ran = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple:
            return Path.touch, (ran,)

    torch.save({"conv1.weight": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(InputError, match="could run code; it is not loaded"):
        read_state(tmp_path / "bomb.pth")
    assert not ran.exists()


def test_a_truncated_torch_file_is_a_sentence(torch_file: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.pth"
    half.write_bytes(torch_file.read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"truncated, or not a .pth file"):
        read_state(half)


def test_torchvision_s_old_densenet_names_are_understood() -> None:
    layers = {"features_denseblock1_denselayer1_norm1": keras.layers.BatchNormalization()}
    state = {"features.denseblock1.denselayer1.norm.1.weight": np.ones(3, np.float32)}
    assert list(from_torch(state, layers)) == ["features_denseblock1_denselayer1_norm1/gamma"]


# the command


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["weights", *map(str, arguments)])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def test_convert_writes_our_names_and_the_preprocessing(torch_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    run("convert", torch_file, "-b", "resnet18", "-o", out, "--preprocess", "torch")
    assert preprocessing_of(out) == PRESETS["torch"]
    ours, theirs = (zoo.ResNet18(weights=file, input_shape=(32, 32, 3)) for file in (out, torch_file))
    assert all(np.array_equal(value, state_of(theirs)[name]) for name, value in state_of(ours).items())


def test_convert_refuses_another_network_and_another_class_count(torch_file: Path, tmp_path: Path) -> None:
    for options in (["-b", "resnet34"], ["-b", "resnet18", "--set", "classes=10"]):
        done = CliRunner().invoke(app, ["weights", "convert", str(torch_file), *options, "-o", str(tmp_path / "o.npz")])
        assert isinstance(done.exception, InputError)
    assert not (tmp_path / "o.npz").exists()


def test_list_path_and_verify_tell_the_same_story(home: Path) -> None:
    rows = json.loads(run("list", "resnet18", "--json"))
    assert [row["spec"] for row in rows] == ["torchvision:IMAGENET1K_V1"]
    assert run("path", "resnet18").strip() == rows[0]["path"]
    assert "no checkpoint is here" in run("verify", "resnet18")
    Path(rows[0]["path"]).parent.mkdir(parents=True)
    Path(rows[0]["path"]).write_bytes(b"something else")
    assert f"{rows[0]['path']}: its SHA256 begins" in run("verify", code=3)
    for verb in ("list", "verify"):
        done = CliRunner().invoke(app, ["weights", verb, "nosuch"])
        assert isinstance(done.exception, InputError)


def test_what_ships_in_the_package_is_told_as_what_is_published(home: Path) -> None:
    published, *_, shipped = json.loads(run("list", "resnet20", "--json"))
    common = {"network", "spec", "top1", "size", "licence", "path", "here"}
    assert common <= set(published) & set(shipped)
    assert (shipped["size"], shipped["licence"], shipped["here"]) == (32, "Apache-2.0", True)
    assert run("download", "resnet20", shipped["spec"]).strip() == shipped["path"]
    assert json.loads(run("download", "resnet20", shipped["spec"], "--json")) == shipped
    done = CliRunner().invoke(app, ["weights", "download", "resnet50", "fashion_mnist"])
    assert "weights='fashion_mnist': none of resnet50 ship; those of" in str(done.exception)


def test_a_path_with_brackets_is_printed_as_it_is(
    site: Site, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path / "home[/a]"))
    monkeypatch.setattr("keras_cnnzoo.weights.cli.checkpoint", lambda *_: row_of(site.url))
    path = download.cached(row_of(site.url))
    assert run("download", "resnet18", "-q").strip() == str(path)
    assert f"{path}: its SHA256 begins" in run("verify", "resnet18", code=3)
    zoo.save_weights(zoo.ResNet20(), tmp_path / "w.npz")
    out = tmp_path / "[out].npz"
    assert run("convert", tmp_path / "w.npz", "-b", "resnet20", "-o", out).strip() == str(out)


def test_convert_keeps_what_the_source_says_of_its_preprocessing(tmp_path: Path) -> None:
    source, out = tmp_path / "w.safetensors", tmp_path / "out.safetensors"
    zoo.save_weights(zoo.ResNet20(), source, preprocessing=PRESETS["tf"])
    run("convert", source, "-b", "resnet20", "-o", out)
    assert preprocessing_of(out) == PRESETS["tf"]
    with pytest.warns(UserWarning, match=r"out\.npz: an \.npz file keeps no preprocessing, a \.safetensors file would"):
        run("convert", source, "-b", "resnet20", "-o", tmp_path / "out.npz")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "o.npz", "--preprocess", "tf"], "an .npz file keeps no --preprocess tf"),
        (["-o", "o.h5"], "weights are written as .safetensors or .npz"),
    ],
)
def test_convert_asks_before_it_reads_whether_it_can_write(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["weights", "convert", "nowhere.pth", "-b", "resnet20", *options])
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)


def test_convert_takes_no_other_library_s_warning_for_an_adaptation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warns(path: Path) -> dict[str, np.ndarray]:
        warnings.warn("an import has something to say", UserWarning, stacklevel=2)
        return read_state(path)

    zoo.save_weights(zoo.ResNet20(), tmp_path / "w.npz")
    monkeypatch.setattr("keras_cnnzoo.weights.load.read_state", warns)
    with pytest.warns(UserWarning, match="something to say"):
        run("convert", tmp_path / "w.npz", "-b", "resnet20", "-o", tmp_path / "out.npz")


def test_a_state_dict_under_model_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.save({"model": {"conv1.weight": torch.zeros(2)}, "epoch": 3}, tmp_path / "w.pt")
    assert set(read_state(tmp_path / "w.pt")) == {"conv1.weight"}


# answers in words


def test_predictions_are_named_with_and_without_a_background_class() -> None:
    answers = np.zeros((1, 1000), np.float32)
    answers[0, [1, 999]] = 3, 2
    assert zoo.decode_predictions(answers, top=2) == [
        [("n01443537", "goldfish", 3.0), ("n15075141", "toilet tissue", 2.0)]
    ]
    shifted = np.concatenate([np.zeros((1, 1), np.float32), answers], axis=1)
    assert zoo.decode_predictions(shifted, top=1) == [[("n01443537", "goldfish", 3.0)]]


def test_predictions_of_any_class_count_take_labels() -> None:
    answers = np.array([[0.1, 0.9]])
    assert zoo.decode_predictions(answers, top=1, labels=["cat", "dog"]) == [[("1", "dog", 0.9)]]
    with pytest.raises(InputError, match="2 classes are not ImageNet's"):
        zoo.decode_predictions(answers)
    with pytest.raises(InputError, match="1 labels for 2 classes"):
        zoo.decode_predictions(answers, labels=["cat"])
    for top in (0, -1):
        with pytest.raises(InputError, match=f"top={top}: expected 1 or more"):
            zoo.decode_predictions(answers, top=top, labels=["cat", "dog"])
