"""What holds for archives and folders alike."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_sweeps.config.problems import ConfigError
from image_sweeps.dataset import DataError, Role, load
from image_sweeps.dataset.split import split
from tests.support.archives import all_images, encoded, image_folder, image_zip, noise, of_files, two_classes, write_zip
from tests.support.configurations import config_of, source_of

KINDS = pytest.mark.parametrize("kind", ["zip", "folder"])
GOOD = encoded(noise())
BAD = {"a/bad.png": GOOD[:100], "b/note.txt": b"no image"}


@KINDS
def test_images_come_by_class_then_name_with_their_labels(tmp_path, kind):
    files = {f"{c}/{n}.png": encoded(noise(10 * c + n)) for c in (10, 9) for n in range(3)}
    source = of_files(kind, tmp_path, dict(reversed(files.items())))
    positions, images = all_images(source)
    assert source.class_names == ("9", "10")
    assert source.index().labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert positions.tolist() == list(range(6))
    expected = [noise(10 * c + n).transpose(2, 0, 1) for c in (9, 10) for n in range(3)]
    np.testing.assert_array_equal(images, expected)
    assert source.describe([0, 5]) == ["9/0.png", "10/2.png"]


@KINDS
def test_more_images_than_fit_a_chunk_keep_their_order(tmp_path, kind):
    source = of_files(kind, tmp_path, two_classes(70))
    chunks = list(source.decode())
    assert [len(chunk.positions) for chunk in chunks] == [64, 64, 12]
    names = source.describe(range(140))
    assert names == sorted(names)
    positions, images = all_images(source)
    assert positions.tolist() == list(range(140))
    expected = [noise(10 * k + n) for k in range(2) for n in sorted(range(70), key=lambda n: f"{n}.png")]
    np.testing.assert_array_equal(images, np.transpose(expected, (0, 3, 1, 2)))


@KINDS
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_uint8_of_the_shape_asked_for(tmp_path, kind, channels):
    chunk = next(of_files(kind, tmp_path, two_classes(), channels=channels, image_size=5).decode())
    assert chunk.images.dtype == np.uint8
    assert chunk.images.shape == (8, channels, 5, 5)
    assert chunk.positions.dtype == np.int64


def test_the_same_images_have_the_same_fingerprint_however_they_are_packed(tmp_path):
    files = two_classes()
    wrapped = {f"deep/down/{name}": data for name, data in files.items()}
    same = [
        image_zip(write_zip(tmp_path / "1.zip", files)),
        image_zip(write_zip(tmp_path / "2.zip", files, method=0)),
        image_zip(write_zip(tmp_path / "3.zip", dict(reversed(wrapped.items())))),
        image_zip(write_zip(tmp_path / "4.zip", files | {"__MACOSX/a/._0.png": b"x", "README": b"y"})),
        of_files("folder", tmp_path / "5", files),
        of_files("folder", tmp_path / "6", wrapped, image_size=20, split_seed=3, max_pixels=100),
    ]
    assert len({source.fingerprint for source in same}) == 1
    assert len(same[0].fingerprint) == 16


@pytest.mark.parametrize(
    "change",
    [
        {"a/0.png": encoded(noise(99))},
        {"a/9.png": GOOD},
        {"c/0.png": GOOD},
    ],
)
def test_other_images_have_another_fingerprint(tmp_path, change):
    before = of_files("zip", tmp_path, two_classes()).fingerprint
    assert of_files("zip", tmp_path, two_classes() | change).fingerprint != before


def test_the_same_files_in_other_splits_have_another_fingerprint(tmp_path):
    one = {f"{split}/{c}/{split}.png": GOOD for split in ("train", "test") for c in "ab"}
    other = {name.replace("test/", "val/", 1): data for name, data in one.items()}
    first = of_files("zip", tmp_path, one).fingerprint
    assert of_files("zip", tmp_path, other).fingerprint != first


@KINDS
def test_splits_that_the_files_have_are_kept(tmp_path, kind):
    files = {f"{s}/{c}/{n}.png": GOOD for s in ("train", "valid", "test") for c in "ab" for n in range(2)}
    source = of_files(kind, tmp_path, files)
    index = source.index()
    parts = split(source, index)
    for part, role in zip(parts, (Role.TRAIN, Role.VAL, Role.TEST), strict=True):
        assert set(index.roles[part]) == {role}
        assert len(part) == 4
    assert source.held_out is None


@KINDS
def test_else_they_are_drawn_and_disjoint(tmp_path, kind):
    source = of_files(kind, tmp_path, two_classes(16))
    splits = load(source, tmp_path / "cache")
    assert (len(splits.train), len(splits.val), len(splits.test)) == (18, 6, 8)
    assert source.held_out == 0.25


@KINDS
def test_one_bad_image_refuses_all_and_is_named_with_the_ways_out(tmp_path, kind):
    source = of_files(kind, tmp_path, two_classes() | {"a/bad.png": BAD["a/bad.png"]})
    with pytest.raises(DataError) as error:
        list(source.decode())
    assert str(error.value).startswith(f"{source.location}: a/bad.png cannot be decoded (")
    assert str(error.value).endswith(
        "Mend it or take it out, or leave out every such image with dataset.on_bad_image=skip"
    )


@KINDS
def test_bad_images_are_skipped_and_listed_where_asked(tmp_path, kind):
    source = of_files(kind, tmp_path, two_classes(8) | BAD, on_bad_image="skip")
    positions, images = all_images(source)
    assert len(source.index().labels) == 18
    assert len(positions) == len(images) == 16
    lost = sorted(set(range(18)) - set(positions.tolist()))
    assert source.describe(lost) == ["a/bad.png", "b/note.txt"]
    assert load(source, tmp_path / "cache").skipped == ("a/bad.png", "b/note.txt")


@KINDS
def test_skipping_all_is_refused(tmp_path, kind):
    source = of_files(kind, tmp_path, {"a/1.png": b"", "b/1.png": b"x"}, on_bad_image="skip")
    with pytest.raises(DataError, match=r"none of its 2 images can be decoded; dataset\.on_bad_image=error says why"):
        list(source.decode())


@KINDS
def test_what_is_decoded_otherwise_is_cached_under_another_name(tmp_path, kind):
    decodings = {
        of_files(kind, tmp_path, two_classes(), **settings).decoding
        for settings in ({}, {"on_bad_image": "skip"}, {"on_bad_image": "skip", "max_pixels": 9})
    }
    assert len(decodings) == 3


@KINDS
@pytest.mark.parametrize("width", [1001, 10_000])
def test_too_many_pixels_are_a_matter_of_the_single_image(tmp_path, kind, width):
    large = encoded(Image.new("1", (1000, width)))
    files = two_classes() | {"a/large.png": large}
    with pytest.raises(
        DataError, match=rf"a/large\.png has 1000 x {width} pixels; dataset\.max_pixels = 1000000 allows"
    ):
        list(of_files(kind, tmp_path, files).decode())
    assert len(all_images(of_files(kind, tmp_path, files, on_bad_image="skip"))[0]) == 8


@KINDS
def test_pillow_does_not_warn_of_large_images_that_are_allowed(tmp_path, kind):
    large = encoded(Image.new("1", (10_000, 9_000)))  # Pillow warns from 89,478,486 pixels on
    files = two_classes(1) | {"a/large.png": large}
    source = of_files(kind, tmp_path, files, max_pixels=90_000_000)
    assert len(all_images(source)[0]) == 3


@KINDS
@pytest.mark.parametrize("on_bad_image", ["error", "skip"])
@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"max_images": 7}, r"holds more than the 7 files that dataset\.max_images allows"),
        ({"max_image_mb": 1}, r"b/large\.bmp has 2100054 bytes; dataset\.max_image_mb = 1 allows 1048576"),
        (
            {"max_total_mb": 1, "max_image_mb": 3},
            r"its images have 210\d{4} bytes, unpacked; dataset\.max_total_mb = 1 allows 1048576",
        ),
    ],
)
def test_limits_hold_for_what_the_directory_says_whatever_is_skipped(tmp_path, kind, on_bad_image, settings, problem):
    files = two_classes() | {"b/large.bmp": encoded(noise(0, (700, 1000, 3)), "BMP")}
    source = of_files(kind, tmp_path, files, on_bad_image=on_bad_image, **settings)
    for look in (lambda: source.class_names, source.index, lambda: source.fingerprint):
        with pytest.raises(DataError, match=problem):
            look()


@KINDS
def test_just_within_the_limits_is_accepted(tmp_path, kind):
    large = b"x" * 2**20
    source = of_files(kind, tmp_path, {"a/1.png": large, "b/1.png": large}, max_images=2)
    assert source.class_names == ("a", "b")


@KINDS
def test_a_path_is_looked_for_in_the_working_directory_then_in_data_dir(tmp_path, kind, monkeypatch):
    path = of_files(kind, tmp_path, two_classes()).path
    made = {"zip": image_zip, "folder": image_folder}[kind]
    below = made(Path(path.name), data_dir=tmp_path)
    monkeypatch.chdir(tmp_path)
    here = made(Path(path.name))
    assert below.location == here.location == path
    assert below.fingerprint == here.fingerprint == made(path).fingerprint
    assert here.origin == path.name


@pytest.mark.parametrize("made", [image_zip, image_folder])
def test_a_path_where_nothing_is_names_the_places_looked_at(tmp_path, made, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        made(Path("x")).index()
    assert str(error.value) == (
        f"dataset.path = 'x': there is nothing; looked for {tmp_path / 'x'} and {tmp_path / 'data' / 'x'}"
    )


@pytest.mark.parametrize("made", [image_zip, image_folder])
def test_a_path_that_cannot_be_looked_at_is_refused(tmp_path, made):
    with pytest.raises(DataError, match=r"dataset\.path = '.*y{1000}': cannot be reached \(File name too long\)"):
        made(tmp_path / ("y" * 1000)).index()


@KINDS
def test_building_touches_nothing(tmp_path, kind):
    {"zip": image_zip, "folder": image_folder}[kind](tmp_path / "nowhere").shape  # noqa: B018


@pytest.mark.parametrize("choice", ["image_zip", "image_folder"])
@pytest.mark.parametrize("override", [[], ["dataset.path="], ["dataset.path=null"], ["dataset.path='???'"]])
def test_without_a_path_there_is_one_error_that_says_so(choice, override):
    with pytest.raises(ConfigError) as error:
        config_of(f"dataset={choice}", *override)
    assert error.value.problems == ("dataset.path: is missing; give it a value, as in dataset.path=...",)


@KINDS
def test_the_choice_in_conf_reads_what_path_names(tmp_path, kind):
    path = of_files(kind, tmp_path, two_classes()).path
    source = source_of(f"dataset=image_{kind}", f"dataset.path='{path}'")
    assert source.class_names == ("a", "b")
    assert next(source.decode()).images.shape == (8, 3, 64, 64)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("dataset.max_pixels=200000000", "dataset.max_pixels = 200000000: must be less than or equal to 178956970"),
        ("dataset.on_bad_image=mend", "dataset.on_bad_image = 'mend': must be one of 'error' or 'skip'"),
        ("dataset.max_images=0", "dataset.max_images = 0: must be greater than 0"),
    ],
)
def test_settings_out_of_range_are_named(tmp_path, override, problem):
    path = write_zip(tmp_path / "x.zip", two_classes())
    with pytest.raises(ConfigError) as error:
        config_of("dataset=image_zip", f"dataset.path='{path}'", override)
    assert error.value.problems == (problem,)
