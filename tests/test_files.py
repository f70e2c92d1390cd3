import pytest

from src.files import write_text, write_whole


def test_a_file_is_written_with_its_folders(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "Größe")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "Größe"


def test_a_failed_write_leaves_the_old_contents_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail(file):
        file.write(b"half of the n")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
