"""One reader of pictures for export, bench and training: folders, arrays, and files within an .npz file."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_cnnzoo import InputError
from keras_cnnzoo.images import Encoded, Images, open_images, read_images, read_picture
from keras_cnnzoo.training import pipeline

SHADES = np.arange(6) * 40
NAMES = [*map(str, range(201))]


def encoded(shade: int, form: str = "PNG", size: tuple[int, int] = (12, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size[::-1], (int(shade),) * 3).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Six greys, of which the fourth breaks off."""
    files = [encoded(shade, size=(120, 160)) for shade in SHADES]
    files[3] = files[3][:60]
    content = np.frombuffer(b"".join(files), np.uint8)
    np.savez(
        tmp_path / "x.npz",
        bytes=content,
        offsets=np.cumsum([0, *map(len, files)]),
        labels=SHADES,
        classes=NAMES,
    )
    return tmp_path / "x.npz"


def test_files_of_an_archive_are_decoded_resized_and_their_broken_ones_counted(archive: Path) -> None:
    opened = open_images(archive, (8, 8, 3))
    assert isinstance(opened, Encoded)
    assert (len(opened), opened.classes, opened.source) == (6, tuple(NAMES), "x.npz")
    assert opened.labels is not None
    assert opened.labels.tolist() == SHADES.tolist()
    images = opened.read()
    assert (images.pixels.shape, images.pixels.dtype, images.skipped) == ((5, 8, 8, 3), np.uint8, 1)
    assert images.labels is not None
    assert images.pixels[:, 0, 0, 0].tolist() == images.labels.tolist() == np.delete(SHADES, 3).tolist()


def test_so_many_readable_pictures_come_as_were_asked_for(archive: Path) -> None:
    assert len(read_images(archive, (8, 8, 3), count=5)) == 5
    assert [len(part.read()) for part in open_images(archive, (8, 8, 3)).parts(2)] == [2, 1, 2]
    drawn = read_images(archive, (8, 8, 3), count=3, seed=1).labels
    assert drawn is not None
    assert sorted(drawn) != drawn.tolist()


def test_without_a_size_an_archive_has_its_own(archive: Path, tmp_path: Path) -> None:
    assert open_images(archive, None).shape == (120, 160, 3)
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 5, 7, 1), np.uint8))
    arrays = open_images(tmp_path / "a.npz", None)
    assert isinstance(arrays, Images)
    assert (arrays.shape, arrays.labels) == ((5, 7, 1), None)


def test_a_picture_may_be_its_bytes() -> None:
    assert np.all(read_picture(encoded(70), (12, 16, 3)) == 70)
    with pytest.raises(InputError, match="bytes: not a readable picture"):
        read_picture(encoded(70)[:40], (12, 16, 3))


@pytest.mark.parametrize("form", ["PNG", "PPM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_of_grey_are_read_by_their_upper_eight_as_training_reads_them(form: str, channels: int) -> None:
    grey = np.array([[0, 255, 1000, 32768, 65535]], np.uint16).repeat(3, 0)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, form)
    pixels = read_picture(buffer.getvalue(), (3, 5, channels))
    np.testing.assert_array_equal(pixels, np.repeat((grey >> 8)[..., None], channels, -1))
    trained = tf.function(lambda content: pipeline._pixels(content, channels))(tf.constant(buffer.getvalue()))
    np.testing.assert_array_equal(pixels, trained.numpy())


def test_a_strip_that_would_be_resized_beyond_memory_is_skipped(tmp_path: Path) -> None:
    for name, size in {"a.png": (8, 6), "strip.png": (20_000, 1)}.items():
        Image.new("RGB", size).save(tmp_path / name)
    with pytest.raises(InputError, match="20000x1 pixels would be resized to 5120000x256"):
        read_picture(tmp_path / "strip.png", (224, 224, 3))
    images = read_images(tmp_path, (224, 224, 3))
    assert (len(images), images.skipped) == (1, 1)


def test_files_have_no_five_channels(archive: Path) -> None:
    for source in (archive, archive.parent):
        with pytest.raises(InputError, match="1 or 3 channels but the network reads 5"):
            open_images(source, (8, 8, 5))


def encrypted(path: Path) -> None:
    np.savez(path, images=np.zeros((1, 2, 2, 3), np.uint8))
    content = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flags] |= 1
    path.write_bytes(content)


def broken_lzma(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", bytes(1000))
    path.write_bytes(path.read_bytes().replace(b"images.npy\x09\x04\x05\x00\x5d", b"images.npy\x09\x04\x05\x00\xff"))


def of_a_petabyte(path: Path) -> None:
    content = io.BytesIO()
    claimed = {"descr": "|u1", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(content, claimed)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content.getvalue())


@pytest.mark.parametrize("spoil", [encrypted, broken_lzma, of_a_petabyte])
def test_an_archive_that_numpy_cannot_read_is_refused_in_a_sentence(
    spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    spoil(tmp_path / "x.npz")
    with pytest.raises(InputError, match=r"x\.npz: not a readable \.npz file"):
        read_images(tmp_path / "x.npz", (2, 2, 3))


def test_an_archive_without_a_readable_picture_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", bytes=np.zeros(9, np.uint8), offsets=np.array([0, 4, 9]))
    with pytest.raises(InputError, match="none of its 2 pictures can be read"):
        read_images(tmp_path / "x.npz", (8, 8, 3))


@pytest.mark.parametrize("labels", [[0, 2], [-1, 1]])
def test_a_label_that_no_class_has_is_refused(labels: list[int], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4, 3), np.uint8), labels=labels, classes=["cat", "dog"])
    with pytest.raises(
        InputError, match=rf"run from {labels[0]} to {labels[1]} but `classes` name 2; number them from 0"
    ):
        open_images(tmp_path / "a.npz", None)
