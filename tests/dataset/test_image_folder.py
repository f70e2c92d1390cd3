"""What folders alone can hold."""

import os
import socket

import pytest

from image_sweeps.dataset import DataError
from tests.support.archives import encoded, image_folder, image_zip, noise, two_classes, write_folder, write_zip


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "x", two_classes())


def problem(source, look=lambda source: source.index()):
    with pytest.raises(DataError) as error:
        look(source)
    return str(error.value)


def test_a_file_suggests_the_other_choice(tmp_path):
    path = write_zip(tmp_path / "x.zip", two_classes())
    assert problem(image_folder(path)) == f"dataset.path: {path} is no folder; take dataset=image_zip for a ZIP archive"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.png", "1.png", "nowhere"])
def test_links_to_files_are_refused(folder, target):
    (folder / "a" / "link.png").symlink_to(target)
    text = f"{folder}: a/link.png is a symbolic link; put what it leads to in its place"
    assert problem(image_folder(folder, on_bad_image="skip")) == text


@pytest.mark.parametrize("target", ["/", "..", "a"])
def test_links_to_folders_are_refused(folder, target):
    (folder / "c").symlink_to(target)
    assert problem(image_folder(folder)) == f"{folder}: c is a symbolic link; put what it leads to in its place"


def test_hidden_links_are_passed_over(folder):
    (folder / ".link").symlink_to("/")
    assert image_folder(folder).class_names == ("a", "b")


def test_the_folder_itself_may_be_a_link(tmp_path, folder):
    (tmp_path / "link").symlink_to(folder)
    assert image_folder(tmp_path / "link").fingerprint == image_folder(folder).fingerprint


def test_a_pipe_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "a" / "pipe.png")
    assert problem(image_folder(folder)) == f"{folder}: a/pipe.png is no file; put one in its place"


def test_a_socket_is_refused(folder, monkeypatch):
    monkeypatch.chdir(folder / "a")  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("s.png")
        assert problem(image_folder(folder)) == f"{folder}: a/s.png is no file; put one in its place"


def test_a_file_that_cannot_be_opened_is_refused(folder):
    source = image_folder(folder)
    source.index()
    (folder / "a" / "1.png").unlink()
    text = f"{folder}: a/1.png cannot be read (No such file or directory)"
    assert problem(source, lambda source: source.fingerprint) == text


def test_a_folder_whose_files_vanish_meanwhile_is_refused(folder):
    source = image_folder(folder)
    listing = source.files()
    next(listing)
    for file in folder.rglob("*.png"):
        file.unlink()
    assert problem(source, lambda _: list(listing)).endswith("png cannot be read (No such file or directory)")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (encoded(noise(77)), "a/1.png has changed since its checksum was taken"),
        (b"short", "a/1.png has 5 bytes where {size} were stated, or has changed since"),
        (b"x" * 9999, "a/1.png has more bytes where {size} were stated, or has changed since"),
    ],
)
def test_a_file_that_changes_after_its_checksum_was_taken_is_refused(folder, content, text):
    source = image_folder(folder)
    assert source.fingerprint
    size = (folder / "a" / "1.png").stat().st_size
    (folder / "a" / "1.png").write_bytes(content)
    found = problem(source, lambda source: list(source.decode()))
    assert found.startswith(f"{folder}: {text.format(size=size)}. Mend it or take it out, or leave")


def test_names_that_are_no_text_are_shown_with_escapes(folder):
    (folder / os.fsdecode(b"\xff")).mkdir()
    (folder / os.fsdecode(b"\xff") / os.fsdecode(b"\xfe.png")).write_bytes(b"no image")
    source = image_folder(folder)
    assert source.class_names == ("a", "b", r"\udcff")
    assert len(source.fingerprint) == 16
    assert r"\udcff/\udcfe.png is no JPEG, PNG, WEBP, BMP or GIF" in problem(
        source, lambda source: list(source.decode())
    )


def test_a_folder_as_an_archive_suggests_the_other_choice(folder):
    assert problem(image_zip(folder)) == f"dataset.path: {folder} is a folder; take dataset=image_folder"
