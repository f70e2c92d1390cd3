"""Classes of one image, and splits that lack a class: refused before anything is written, or trained on."""

import json

import pytest

from tests.support.archives import encoded, noise, two_classes, write_folder

TINY = ("dataset=image_folder", "dataset.image_size=4", "dataset.channels=1", "model=mlp", "epochs=1", "seed=0")


@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_a_class_of_one_image_is_refused_before_anything_is_written(command_line, tmp_path, mode):
    path = write_folder(tmp_path / "x", two_classes(9) | {"lonely/1.png": encoded(noise())})
    done = command_line(*mode, *TINY, f"dataset.path={path}", f"outputs_dir={tmp_path}/outputs")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "The configuration has a problem; nothing was run.\n"
        "  dataset.test_fraction = 0.2: needs at least 2 images of every class to split; lonely has 1\n"
    )
    assert not (tmp_path / "outputs").exists()


def test_with_a_test_split_of_its_own_it_is_the_validation_that_cannot_be_drawn(command_line, tmp_path):
    files = {f"{split}/{c}/{n}.png": encoded(noise(n)) for split in ("train", "test") for c in "ab" for n in range(4)}
    path = write_folder(tmp_path / "x", files | {"train/c/1.png": encoded(noise())})
    done = command_line(*TINY, f"dataset.path={path}", f"outputs_dir={tmp_path}/outputs")
    assert done.returncode == 2
    assert "dataset.val_fraction = 0.1: needs at least 2 images of every class to split; c has 1" in done.stderr


def test_classes_of_one_image_and_splits_without_a_class_are_trained_on_where_nothing_is_drawn(command_line, tmp_path):
    names = ["train/a/1", "train/b/1", "train/c/1", "train/c/2", "val/b/1", "test/a/1", "test/a/2", "test/b/1"]
    path = write_folder(tmp_path / "x", {f"{name}.png": encoded(noise(k)) for k, name in enumerate(names)})
    done = command_line("-m", *TINY, f"dataset.path={path}", f"outputs_dir={tmp_path}/outputs", "norm=none,batch")
    assert (done.returncode, done.stderr) == (0, "")
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    report = json.loads((sweep / "report.json").read_text())
    assert report["counts"] == {"finished": 2}
    assert report["question"]["num_images"] == {"train": 4, "val": 1, "test": 3}
    assert [sum(row) for row in report["best"]["confusion"]["counts"]] == [2, 1, 0]
    assert (sweep / "report.html").stat().st_size > 10_000
