"""The page of `--to web` in a real browser, served on the loopback: it answers as Python does."""

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import keras_cnnzoo
from keras_cnnzoo import InputError
from keras_cnnzoo.export import Card, Origin, to_tflite
from keras_cnnzoo.export.cli import app
from keras_cnnzoo.export.interpreter import LiteRT
from keras_cnnzoo.export.web import write_site
from keras_cnnzoo.images import read_picture
from keras_cnnzoo.litertjs import FOLDER, find_modules
from keras_cnnzoo.preprocessing import PRESETS, Preprocessing

EVIL = "<img src=x onerror=document.body.dataset.evil=1>"
SPEC = Preprocessing(1 / 255, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), channels="bgr", crop=0.9, interpolation="bicubic")
SECONDS = 120  # for what takes one or two on a quiet machine
Serve = Callable[..., str]


@pytest.fixture(scope="module")
def litertjs() -> None:
    try:
        find_modules()
    except InputError as error:
        pytest.skip(str(error))


class Handler(SimpleHTTPRequestHandler):
    isolated = False

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return None


class Isolated(Handler):
    isolated = True


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """A folder's address on the loopback, with the headers that threads need or without."""
    servers = []

    def start(folder: Path, handler: type[Handler] = Handler) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, some_images: np.ndarray) -> Path:
    """An int8 classifier of 7 classes, 32x32, whose class names are markup, and its card."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(16, 3, 2, activation="relu"), keras.layers.GlobalAveragePooling2D()]
    network = keras.Sequential([keras.Input((32, 32, 3)), *layers, keras.layers.Dense(7)])
    network.layers[-1].kernel.assign(np.random.default_rng(0).normal(0, 2, (16, 7)))
    path = tmp_path_factory.mktemp("web") / f"{EVIL[:4]}.tflite"
    origin = Origin(preprocessing=SPEC, labels=[f"{EVIL} {index}" for index in range(7)])
    model = keras.Model(network.inputs, network.outputs, name="small")
    to_tflite(model, path, quantize="int8", calibration=some_images, origin=origin)
    return path


@pytest.fixture(scope="module")
def site(litertjs: None, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(small, tmp_path_factory.mktemp("site")).parent


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Blurred noise as PNG: larger, smaller, wide, tall, of the very size; grey, and with a palette."""
    rng = np.random.default_rng(0)
    sizes = [(300, 200), (20, 24), (33, 97), (140, 50), (32, 32)]
    paths = [tmp_path / f"{index} {EVIL[:5]}.png" for index in range(len(sizes) + 2)]
    for path, (height, width) in zip(paths, [*sizes, (64, 40), (64, 40)], strict=True):
        coarse = Image.fromarray(rng.integers(0, 255, (5, 5, 3), np.uint8))
        picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
        mode = {5: "L", 6: "P"}.get(paths.index(path), "RGB")
        picture.convert(mode).save(path)
    return paths


def opened(browser: Any, address: str) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    size(browser, 1100, 900)
    browser.get(address)
    WebDriverWait(browser, SECONDS).until(lambda driver: state(driver) in ("ready", "failed"))
    assert state(browser) == "ready", browser.find_element("id", "status").text
    return browser


def size(browser: Any, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def state(page: Any) -> str | None:
    return page.execute_script("return document.body.dataset.state")


def feed(page: Any, paths: list[Path]) -> list[Any]:
    """Chooses the files as a visitor does; the pictures' list items in the files' order."""
    from selenium.webdriver.support.ui import WebDriverWait

    page.find_element("id", "files").send_keys("\n".join(map(str, paths)))
    items = partial(page.find_elements, "css selector", "#pictures > li")
    WebDriverWait(page, SECONDS).until(lambda _: len(items()) == len(paths) and all(item.text for item in items()))
    return items()[::-1]


def answers(item: Any) -> list[tuple[int, float]]:
    rows = item.find_elements("css selector", ".scores li")
    return [(int(row.get_attribute("data-class")), float(row.get_attribute("data-score"))) for row in rows]


def seen(page: Any, item: Any) -> np.ndarray:
    """The pixels that the page shows as those that the network saw."""
    canvas = item.find_element("tag name", "canvas")
    read = "const c = arguments[0]; return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    size = int(canvas.get_attribute("height")), int(canvas.get_attribute("width"))
    return np.array(page.execute_script(read, canvas), np.uint8).reshape(*size, 4)[..., :3]


def assert_same_top_5(found: list[tuple[int, float]], expected: np.ndarray, within: float) -> None:
    """Classes whose scores in Python differ by no more than `within` may change places."""
    best = np.sort(expected)[::-1][:5]
    assert len({index for index, _ in found}) == 5
    np.testing.assert_allclose([expected[index] for index, _ in found], best, atol=within)
    np.testing.assert_allclose([score for _, score in found], best, atol=within)


def test_real_photographs_get_the_top_5_that_python_gives_them(
    browser: Any, litertjs: None, serve: Serve, data: Path, tmp_path: Path
) -> None:
    from keras_cnnzoo.app.tflite_reader import read_tflite

    model, _, spec = read_tflite(data / "tflite" / "mobilenet_v2_1.0_224_quant.tflite", "mobilenet_v2")
    assert spec is not None
    artifact = tmp_path / "site" / "model.tflite"
    to_tflite(model, artifact, origin=Origin(preprocessing=spec))
    write_site(artifact, artifact.parent)
    photographs = sorted((data / "imagenet").glob("*.jpg"))[::45]
    page = opened(browser, serve(artifact.parent))
    litert, labels = LiteRT(artifact.read_bytes()), Card.read(artifact.with_name("model.tflite.json")).labels
    assert labels is not None
    hits = 0
    for item, path in zip(feed(page, photographs), photographs, strict=True):
        pixels = read_picture(path, (224, 224, 3), spec)
        np.testing.assert_allclose(seen(page, item).astype(int), pixels, atol=3)  # two builds of libjpeg
        expected = litert(spec(pixels[None]))[0][0]
        assert_same_top_5(answers(item), expected, within=0.01 * np.ptp(expected))
        names = [name.text for name in item.find_elements("class name", "name")]
        assert names == [labels[index] for index, _ in answers(item)]
        hits += names[0].lower() in path.stem.replace("_", " ").lower()
    assert hits >= 5


def test_pictures_are_seen_and_answered_as_in_python_and_markup_is_text(
    browser: Any, site: Path, serve: Serve, small: Path, pictures: list[Path]
) -> None:
    page, litert = opened(browser, serve(site)), LiteRT(small.read_bytes())
    step = litert.outputs[0]["quantization"][0]
    firsts = set()
    for item, path in zip(feed(page, pictures), pictures, strict=True):
        pixels = seen(page, item)
        np.testing.assert_allclose(pixels.astype(int), read_picture(path, (32, 32, 3), SPEC), atol=1)
        assert_same_top_5(answers(item), litert(SPEC(pixels[None]))[0][0], within=1.01 * step)
        assert item.find_element("tag name", "h3").text == path.name
        first = answers(item)[0][0]
        assert item.find_element("class name", "name").text == f"{EVIL} {first}"
        assert float(item.find_element("class name", "time").get_attribute("data-ms")) > 0
        firsts.add(first)
    assert len(firsts) > 1
    assert page.execute_script("return document.body.dataset.evil") is None
    assert "7 pictures" in page.find_element("id", "summary").text


def test_the_page_loads_its_own_files_alone_and_says_no_error(browser: Any, site: Path, serve: Serve) -> None:
    address = serve(site)
    page = opened(browser, address)
    page.get_log("browser")
    page.refresh()
    opened(browser, address)
    loaded = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(loaded) > 5
    assert [name for name in loaded if not name.startswith((address, "data:", "blob:"))] == []
    said = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert [entry for entry in said if "/litert/" not in entry["message"]] == []  # LiteRT.js tells its progress there
    blocked = "const done = arguments[0]; fetch('http://127.0.0.2:9/').then(() => done('sent'), (e) => done(e.name))"
    assert page.execute_async_script(blocked) == "TypeError"
    assert any("Content Security Policy" in entry["message"] for entry in page.get_log("browser"))


def test_it_has_one_thread_from_any_server_and_several_with_two_headers(
    browser: Any, site: Path, serve: Serve, pictures: list[Path]
) -> None:
    given = {}
    for handler in (Handler, Isolated):
        page = opened(browser, serve(site, handler))
        given[handler] = [answers(item) for item in feed(page, pictures[:2])]
        about = page.execute_script("return document.getElementById('about').textContent")
        many = handler is Isolated and page.execute_script("return navigator.hardwareConcurrency") > 1
        assert ("1 thread" in about) is not many
    assert given[Handler] == given[Isolated]


def test_resizing_is_pillow_s_to_the_bit_rows_before_columns(browser: Any, site: Path, serve: Serve) -> None:
    page, rng = opened(browser, serve(site)), np.random.default_rng(0)
    script = """const [bytes, height, width, depth, size, spec, done] = arguments;
        import("./resize.js").then(({fit}) => {
          const picture = {data: Uint8ClampedArray.from(bytes), width, height, depth};
          done([...fit(picture, {width: size[1], height: size[0]}, spec).data]);
        }, (error) => done(String(error)));"""
    for trial in range(30):
        height, width, depth = (*rng.integers(5, 90, 2), rng.choice([1, 3]))
        size = tuple(map(int, rng.integers(4, 60, 2)))
        method = ("bilinear", "bicubic", "nearest")[trial % 3]
        spec = Preprocessing(crop=float(rng.uniform(0.5, 1)), interpolation=method)  # type: ignore[arg-type]
        pixels = rng.integers(0, 256, (height, width, depth), np.uint8)
        picture = Image.fromarray(pixels if depth == 3 else pixels[..., 0])
        arguments = pixels.ravel().tolist(), int(height), int(width), int(depth), size, spec.to_dict()
        found = np.array(page.execute_async_script(script, *arguments), np.uint8).reshape(*size, depth)
        expected = np.asarray(rows_first(picture, size, spec)).reshape(*size, depth)
        assert np.array_equal(found, expected), (trial, method, (height, width), size, spec.crop)


def rows_first(picture: Image.Image, size: tuple[int, int], spec: Preprocessing) -> Image.Image:
    """`spec.fit` with each resize in two steps, since Pillow 13 takes columns first at some sizes, and 11 does not."""

    class RowsFirst:
        width, height, size = picture.width, picture.height, picture.size

        def resize(self, new: tuple[int, int], method: Image.Resampling) -> Image.Image:
            return picture.resize((new[0], picture.height), method).resize(new, method)

    return spec.fit(RowsFirst(), size)  # type: ignore[arg-type]


def test_the_camera_s_frames_are_classified_and_kept(browser: Any, site: Path, serve: Serve) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    page = opened(browser, serve(site))
    wait = WebDriverWait(page, SECONDS)
    page.find_element("id", "camera").click()
    wait.until(lambda driver: len(driver.find_elements("css selector", "#seen li")) == 5)
    page.find_element("id", "keep").click()
    wait.until(lambda driver: len(driver.find_elements("css selector", "#pictures > li")) == 1)
    page.find_element("id", "stop").click()
    assert not page.find_element("id", "live").is_displayed()
    assert page.execute_script("return document.getElementById('video').srcObject.active") is False


def test_it_works_by_keyboard_and_fits_a_phone(
    browser: Any, site: Path, serve: Serve, pictures: list[Path], tmp_path: Path
) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened(browser, serve(site))
    feed(page, pictures[:1])
    reached = []
    for _ in range(3):
        page.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(page.switch_to.active_element.text or page.switch_to.active_element.tag_name)
    assert reached == ["Choose pictures", "Use the camera", "About this network"]
    page.switch_to.active_element.send_keys(Keys.ENTER)
    assert page.find_element("id", "about").is_displayed()
    size(page, 360, 740)
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    tall = "return [...document.querySelectorAll('button')].filter((b) => b.offsetParent && b.offsetHeight < 44).length"
    assert page.execute_script(tall) == 0


def test_what_is_no_picture_is_said(browser: Any, site: Path, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "list.png").write_text("a shopping list")
    page = opened(browser, serve(site))
    (item,) = feed(page, [tmp_path / "list.png"])
    assert item.text == "list.png: this browser reads no picture in it"


def test_the_command_makes_the_page_of_a_network_and_of_a_ready_file(
    litertjs: None, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "network"
    line = ["shufflenet_v2_x0_5", "--weights", "random", "--set", "classes=3", "--set", "input_shape=32,32,3"]
    app([*line, "--to", "web", "-o", str(out), "--json", "-q"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["artifact"]["file"] == "model.tflite"
    assert Card.read(out / "model.tflite.json").model["builder"] == "shufflenet_v2_x0_5"
    app([str(small), "--to", "web", "-o", str(tmp_path / "ready"), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == {"index": str(tmp_path / "ready" / "index.html")}
    assert (tmp_path / "ready" / "model.tflite").read_bytes() == small.read_bytes()
    with pytest.raises(InputError, match=r"index\.html: exists already; give --force"):
        app([str(small), "--to", "web", "-o", str(tmp_path / "ready")], standalone_mode=False)


def changed(card: Path, tmp_path: Path, **sections: Any) -> Path:
    """A copy of the artifact whose card has other sections."""
    document = json.loads(card.read_text()) | sections
    path = tmp_path / "changed.tflite"
    path.write_bytes(card.with_name(card.name.removesuffix(".json")).read_bytes())
    path.with_name("changed.tflite.json").write_text(json.dumps(document))
    return path


def test_files_for_which_there_is_no_page_are_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = small.with_name(small.name + ".json")
    document = json.loads(card.read_text())
    wide = [document["inputs"][0] | {"dtype": "int16"}]
    many = [document["inputs"][0] | {"shape": [4, 32, 32, 3]}]
    for sections, words in (
        ({"inputs": wide}, "is int16 and a page or a program takes float32, int8, uint8; export it with --inputs"),
        ({"inputs": many}, "it must classify one picture of 1 or 3 channels a call"),
        ({"preprocessing": None}, "its card knows no preprocessing; export it with --preprocess"),
        ({"preprocessing": {"scale": 1, "evil": 2}}, "expected an object with the keys"),
    ):
        with pytest.raises(InputError, match=words):
            write_site(changed(card, tmp_path, **sections), tmp_path / "site")
    with pytest.raises(InputError, match="not a readable file"):
        write_site(tmp_path / "none.tflite", tmp_path / "site")
    with pytest.raises(InputError, match=r"a \.tflite file is ready as it is; --to web makes a page of it"):
        app([str(small), "-o", str(tmp_path / "out")], standalone_mode=False)
    with pytest.raises(InputError, match="writes several files; name a folder"):
        app([str(small), "--to", "web", "-o", str(tmp_path / "out.tflite")], standalone_mode=False)
    monkeypatch.setenv(FOLDER, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"no LiteRT\.js there .*npm install @litertjs/core@"):
        write_site(small, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_what_stands_in_the_folder_is_replaced_only_by_force(small: Path, tmp_path: Path) -> None:
    for name in ("page.js", "model.tflite", "_headers", "litert/litert_wasm_internal.wasm"):
        place = tmp_path / name.strip("_.").replace("/", "_") / name
        place.parent.mkdir(parents=True)
        place.write_text("mine")
        with pytest.raises(InputError, match=f"{name}: exists already; give --force"):
            write_site(small, tmp_path / name.strip("_.").replace("/", "_"))
        assert [path.read_text() for path in place.parent.iterdir()] == ["mine"]


def test_a_litertjs_that_lacks_a_file_is_refused_before_anything_is_written(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / "node_modules"
    for name in ("core/package.json", "core/dist/index.js", "wasm-utils/package.json", "wasm-utils/dist/index.js"):
        (modules / "@litertjs" / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / "@litertjs" / name).write_text("{}")
    monkeypatch.setenv(FOLDER, str(modules))
    words = r"wasm/litert_wasm_internal\.js: not readable .*a part of LiteRT\.js 2\.5\.3; install that anew"
    with pytest.raises(InputError, match=words):
        write_site(small, tmp_path / "site")
    with pytest.raises(InputError, match=words):
        app(["absent.keras", "--to", "web", "-o", str(tmp_path / "site")], standalone_mode=False)
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--quantize int16 --calibration random:4", "--inputs int16: --to web takes float32, int8, uint8"),
        ("--quantize int16 --calibration random:4 --inputs float32", "--outputs int16: --to web takes"),
        ("--batch 2", "--batch 2: a page classifies one picture a call"),
        ("four.keras", r"four: reads \[1, 8, 8, 4\] and returns \[1, 2\]; it must classify one picture"),
        ("maps.keras", r"maps: reads \[1, 8, 8, 3\] and returns \[1, 6, 6, 2\]; it must classify one picture"),
    ],
)
def test_a_file_that_no_page_can_feed_is_refused_before_it_is_made(
    line: str, words: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras_cnnzoo.export.cli.site.find_modules", lambda install: tmp_path)
    monkeypatch.setattr("keras_cnnzoo.export.cli.site.read_runtime", lambda modules: {})
    monkeypatch.chdir(tmp_path_factory.mktemp("networks"))
    four, three = keras.Input((8, 8, 4)), keras.Input((8, 8, 3))
    keras.Model(four, keras.layers.Dense(2)(keras.layers.Flatten()(four)), name="four").save("four.keras")
    keras.Model(three, keras.layers.Conv2D(2, 3)(three), name="maps").save("maps.keras")
    network = line if line.endswith(".keras") else f"absent.keras {line}"
    arguments = [*network.split(), "--preprocess", "tf", "--to", "web", "-o", str(tmp_path / "out")]
    with pytest.raises(InputError, match=words):
        app(arguments, standalone_mode=False)
    assert list(tmp_path.iterdir()) == []


def test_imagenet_s_names_stand_in_where_a_card_has_none(tmp_path: Path) -> None:
    from keras_cnnzoo.export.web import _named

    model = keras_cnnzoo.create("squeezenet1_1", input_shape=(64, 64, 3), classifier_activation=None)
    card = to_tflite(model, tmp_path / "a.tflite", origin=Origin(preprocessing=PRESETS["torch"]))
    assert (_named(card, 1000).labels or [])[1] == "goldfish"
    assert (_named(card, 1001).labels or [])[:3:2] == ["background", "goldfish"]
    assert _named(card, 10).labels is None
