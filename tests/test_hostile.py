"""What a stranger's archive, HDF5 file or data folder may not do is refused in a sentence, before it is done."""

import json
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from keras_cnnzoo import InputError, archive
from keras_cnnzoo.export.sources import load
from keras_cnnzoo.images import read_images
from keras_cnnzoo.training import dataset
from keras_cnnzoo.weights.files import read_state


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one network in each form."""
    folder = tmp_path_factory.mktemp("sound")
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(3, name="last")(keras.layers.Flatten()(image)))
    model.save(folder / "m.keras")
    model.save(folder / "m.h5")
    model.save_weights(folder / "m.weights.h5")
    np.savez(folder / "m.npz", **{"last/kernel": np.ones((192, 3), np.float32)})
    return folder


def read_network(path: Path) -> None:
    load(str(path), None, [])


READERS = [("m.keras", read_network), ("m.h5", read_network)]
READERS += [(name, read_state) for name in ("m.keras", "m.h5", "m.weights.h5", "m.npz")]
each_reader = pytest.mark.parametrize(("name", "read"), READERS)


@each_reader
def test_what_is_sound_is_read(sound: Path, name: str, read: Callable[[Path], object]) -> None:
    read(sound / name)


@each_reader
def test_what_would_unpack_beyond_memory_is_refused(
    sound: Path, name: str, read: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "memory", lambda: 1000)
    with pytest.raises(InputError, match=r"this machine has 0\.0 GB of memory; it is not opened"):
        read(sound / name)


@pytest.mark.parametrize("read", [read_network, read_state])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    sound: Path, read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as bomb:
        with bomb.open("config.json", "w", force_zip64=True) as member:
            for _ in range(300):
                member.write(bytes(2**20))
        bomb.writestr("metadata.json", "{}")
        bomb.writestr("model.weights.h5", b"")
    assert (tmp_path / "m.keras").stat().st_size < 2**20
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    monkeypatch.setattr(keras.saving, "load_model", None)
    with pytest.raises(InputError, match=r"m\.keras: its config\.json would unpack to 0\.3 GB; it is not opened"):
        read(tmp_path / "m.keras")


@pytest.mark.parametrize("member", ["../evil.json", "/etc/evil", "assets/../../evil", "..\\evil"])
@pytest.mark.parametrize(("name", "read"), [("m.keras", read_network), ("m.keras", read_state), ("m.npz", read_state)])
def test_a_member_that_names_another_place_is_refused(
    sound: Path, name: str, read: Callable[[Path], object], member: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes((sound / name).read_bytes())
    with zipfile.ZipFile(tmp_path / name, "a") as added:
        added.writestr(member, "x")
    with pytest.raises(InputError, match="names a place outside of it; it is not opened"):
        read(tmp_path / name)


def hostile_h5(secret: Path) -> dict[str, Callable[[h5py.Group], None]]:
    """What an HDF5 file may hold that reads other files."""

    def external(group: h5py.Group) -> None:
        group.create_dataset("1", (4,), "u1", external=[(str(secret), 0, 4)])

    def virtual(group: h5py.Group) -> None:
        layout = h5py.VirtualLayout((4,), "u1")
        layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
        group.create_virtual_dataset("1", layout)

    def link(group: h5py.Group) -> None:
        group["1"] = h5py.ExternalLink(str(secret), "/x")

    def soft(group: h5py.Group) -> None:
        group["1"] = h5py.SoftLink("/elsewhere")

    def behind_a_time(group: h5py.Group) -> None:
        h5py.h5d.create(group.id, b"0", h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((1,)))  # h5py has no dtype for it
        external(group)

    return {"external": external, "virtual": virtual, "link": link, "soft": soft, "behind a time": behind_a_time}


@pytest.mark.parametrize("kind", ["external", "virtual", "link", "soft", "behind a time"])
@pytest.mark.parametrize(("name", "read"), [r for r in READERS if r[0] != "m.npz"])
def test_hdf5_that_reads_other_files_is_refused(
    sound: Path, name: str, read: Callable[[Path], object], kind: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"1234")
    plant = hostile_h5(secret)[kind]
    path = tmp_path / name
    if name.endswith(".h5"):
        path.write_bytes((sound / name).read_bytes())
        with h5py.File(path, "a") as store:
            plant(store.require_group("layers/last/vars"))
    else:
        with zipfile.ZipFile(sound / name) as whole, zipfile.ZipFile(path, "w") as changed:
            for member in whole.namelist():
                (tmp_path / "inner").write_bytes(whole.read(member))
                if member == "model.weights.h5":
                    with h5py.File(tmp_path / "inner", "a") as store:
                        plant(store.require_group("layers/last/vars"))
                changed.writestr(member, (tmp_path / "inner").read_bytes())
    with pytest.raises(
        InputError, match=r"to other files; it is not|in other files; it is not|broken HDF5 .*, not opened"
    ):
        read(path)


def test_groups_linked_twice_at_each_level_are_looked_through_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as store:
        group: h5py.Group = store
        for _ in range(60):
            group["b"] = inner = group.create_group("a")
            group = inner
    begin = time.monotonic()
    archive.require_sound(tmp_path / "m.h5")
    assert time.monotonic() - begin < 5


def folder_of(path: Path) -> Path:
    for label in ("cat", "dog"):
        (path / label).mkdir(parents=True)
        for index in range(5):
            Image.new("RGB", (16, 16), (index * 40, 0, 0)).save(path / label / f"{index}.png")
    return path


@pytest.mark.parametrize(
    "read", [lambda path: read_images(path, (16, 16, 3)), lambda path: dataset(path)], ids=["images", "training"]
)
@pytest.mark.parametrize("place", ["cat/9.png", "zebra"])
def test_a_link_out_of_a_data_folder_is_refused_and_one_within_is_read(
    read: Callable[[Path], object], place: str, tmp_path: Path
) -> None:
    folder = folder_of(tmp_path / "data")
    (tmp_path / "private").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "private" / "0.png")
    (folder / "dog" / "again.png").symlink_to("0.png")
    read(folder)
    (tmp_path / "named by the user").symlink_to(folder)
    read(tmp_path / "named by the user")
    (folder / "dog" / "circle.png").symlink_to("circle.png")
    if sys.version_info < (3, 13):  # later ones read it as a file that is not there
        with pytest.raises(InputError, match=r"circle\.png: a symbolic link that leads nowhere"):
            read(folder)
    (folder / "dog" / "circle.png").unlink()
    (folder / place).symlink_to(tmp_path / "private" / ("0.png" if place.endswith("png") else ""))
    with pytest.raises(InputError, match=rf"{place}: a symbolic link that leads out of .*cp -rL"):
        read(folder)


def test_shards_that_name_another_place_are_refused(tmp_path: Path) -> None:
    index = {"train": {"../x.tfrecord": 3}, "test": {"y.tfrecord": 3}, "classes": ["a", "b"], "name": "x"}
    (tmp_path / "dataset.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"names '\.\./x\.tfrecord', a place outside of its folder; it is not opened"):
        dataset(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3,",
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**20}, 8, 8, 3), }}",
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**14}, 8, 8, 3), }}",
        f"{{'descr': {'-' * 3000}1, 'fortran_order': False, 'shape': (3,), }}",
        "{[]: 3}",
    ],
    ids=["unclosed", "beyond 64 bits", "beyond memory", "nested", "no names"],
)
@pytest.mark.parametrize("read", [dataset, read_state])
def test_an_array_whose_header_is_broken_is_refused(
    read: Callable[[Path], object], header: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as store:
        store.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    with pytest.raises(InputError, match=r"x\.npz: (not a readable|truncated, or not a) \.npz file"):
        read(tmp_path / "x.npz")


def test_an_array_that_is_named_as_an_archive_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"x\.npz: not a readable \.npz file"):
        dataset(tmp_path / "x.npz")
