"""Where files lie, and the classes and splits that follow."""

import pytest

from image_sweeps.dataset import DataError, Role
from image_sweeps.dataset.layout import File, arrange, printable, shown

TRAIN, VAL, TEST, UNASSIGNED = Role.TRAIN, Role.VAL, Role.TEST, Role.UNASSIGNED


def arranged(*names):
    return arrange([File(name, tuple(name.split("/")), 1) for name in names], "x.zip")


def found(*names):
    layout = arranged(*names)
    return [(image.file.name, layout.class_names[image.label], image.role) for image in layout.images]


@pytest.mark.parametrize("root", ["", "signs/", "home/me/signs/"])
def test_a_class_is_a_folder_at_the_top_or_below_others(root):
    files = [f"{root}b/1.jpg", f"{root}a/2.jpg", f"{root}a/1.jpg"]
    assert found(*files) == [
        (f"{root}a/1.jpg", "a", UNASSIGNED),
        (f"{root}a/2.jpg", "a", UNASSIGNED),
        (f"{root}b/1.jpg", "b", UNASSIGNED),
    ]


@pytest.mark.parametrize("root", ["", "signs/"])
def test_train_val_and_test_folders_are_the_splits(root):
    files = [f"{root}{split}/{name}/1.png" for split in ("test", "train", "val") for name in ("b", "a")]
    assert found(*files) == [
        (f"{root}{split}/{name}/1.png", name, role)
        for split, role in (("train", TRAIN), ("val", VAL), ("test", TEST))
        for name in ("a", "b")
    ]


@pytest.mark.parametrize(
    ("folder", "role"),
    [("val", VAL), ("valid", VAL), ("validation", VAL), ("Validation", VAL), ("test", TEST), ("TEST", TEST)],
)
def test_a_split_may_be_missing_and_be_spelled_in_several_ways(folder, role):
    roles = [r for *_, r in found("Train/a/1.jpg", "Train/b/1.jpg", f"{folder}/a/1.jpg")]
    assert roles == [TRAIN, TRAIN, role]


def test_a_train_folder_alone_is_a_folder_like_others():
    assert [role for *_, role in found("train/a/1.jpg", "train/b/1.jpg")] == [UNASSIGNED] * 2


def test_train_may_be_a_class_beside_others():
    assert arranged("train/1.jpg", "bus/1.jpg").class_names == ("bus", "train")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["10", "9", "0"], ["0", "9", "10"]),
        (["2", "-1", "1.5"], ["-1", "1.5", "2"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["01", "1", "0"], ["0", "01", "1"]),
        (["9" * 5000, "8" * 5000, "1"], None),
        (["b", "B", "é", "a"], ["B", "a", "b", "é"]),
        (["²", "1"], ["1", "²"]),
    ],
)
def test_classes_are_sorted_and_numbers_numerically(names, expected):
    ours = arranged(*(f"{name}/1.jpg" for name in names)).class_names
    assert list(ours) == (expected or sorted(names))


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "a/.DS_Store",
        "a/._1.jpg",
        ".git/a/1.jpg",
        "__MACOSX/a/._1.jpg",
        "__MACOSX/a/1.jpg",
        "a/Thumbs.db",
        "a/desktop.ini",
        "a/Icon\r",
        "README.md",
        "notes/labels.csv",
        "a/notes/labels.csv",
    ],
)
def test_hidden_files_and_such_as_are_no_images_outside_the_classes_are_passed_over(name):
    assert found("a/1.jpg", "b/1.jpg", name) == found("a/1.jpg", "b/1.jpg")


@pytest.mark.parametrize("name", ["a/notes.txt", "b/image_without_a_suffix", "a/1.tiff"])
def test_every_other_file_in_the_folder_of_a_class_is_taken_for_an_image(name):
    assert name in [file for file, *_ in found("a/1.jpg", "b/1.jpg", name)]


def test_images_of_a_format_that_is_not_read_are_not_overlooked():
    assert arranged("a/1.tif", "b/1.HEIC").class_names == ("a", "b")


PLACES = (
    r"x\.zip: images must lie in one folder a class, or in train, val and test with one folder a class each; found "
)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ([], r"x\.zip: holds no images; looked for one folder a class, with files ending in \.jpg, \.jpeg, .*\.gif$"),
        (["a/1.txt", ".a/1.jpg"], r"x\.zip: holds no images; looked for"),
        (["a/.jpg"], r"x\.zip: holds no images; looked for"),
        (["a/1.jpg", "a/2.jpg"], r"x\.zip: has one class only, a; it needs two or more, a folder each"),
        (["train/a/1.jpg", "test/a/1.jpg"], r"x\.zip: has one class only, a; it needs two or more"),
        (["1.jpg", "2.jpg"], PLACES + r"1\.jpg and 2\.jpg$"),
        (["1.jpg"], PLACES + r"1\.jpg$"),
        (["a/1.jpg", "b/1.jpg", "2.jpg"], PLACES + r"2\.jpg and b/1\.jpg$"),
        (["a/1.jpg", "b/1.jpg", "b/c/1.jpg"], PLACES + r"a/1\.jpg and b/c/1\.jpg$"),
        (["a/c/1.jpg", "b/c/1.jpg"], PLACES + r"a/c/1\.jpg and b/c/1\.jpg$"),
        (["train/a/1.jpg", "train/b/1.jpg", "new/a/1.jpg"], PLACES + r"new/a/1\.jpg and train/b/1\.jpg$"),
        (["train/1.jpg", "test/1.jpg"], PLACES + r"test/1\.jpg and train/1\.jpg$"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/1.jpg"], PLACES + r"test/1\.jpg and train/b/1\.jpg$"),
        (["train/a/1.jpg", "test/b/1.jpg"], r"x\.zip: test has the class b, of which train has no images"),
        (["val/a/1.jpg", "test/b/1.jpg"], r"x\.zip: test has the class b, of which train has no images"),
    ],
)
def test_files_that_lie_otherwise_are_refused_with_examples(files, problem):
    with pytest.raises(DataError, match=problem):
        arranged(*files)


def test_names_cannot_upset_a_terminal():
    assert arranged("a\x1b[2J/1.jpg", "b/1.jpg").class_names == (r"a\x1b[2J", "b")
    assert printable("\udcff\n") == r"\udcff\n"
    assert shown("é" * 300) == "é" * 150 + "..." + "é" * 40
