"""The class and the split of each image file, derived from the folders that contain it.

There is either one folder per class, or `train`, `val` and `test` with one folder per class each. Folders around the
whole layout are ignored. Every visible file in a class folder is taken for an image, so that none is left out
unnoticed. Outside of class folders, files with the suffix of an image are refused, and other files are ignored.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from image_sweeps.dataset.source import DataError, Role

SPLITS = {"train": Role.TRAIN, "val": Role.VAL, "valid": Role.VAL, "validation": Role.VAL, "test": Role.TEST}

SUFFIXES = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif")
UNREAD_SUFFIXES = ("tif", "tiff", "heic", "heif", "avif", "jp2", "jxl", "ppm", "pgm", "tga", "ico")
"""The suffixes of images that cannot be decoded: a folder of them causes an error and is not overlooked."""

OF_FILE_MANAGERS = ("thumbs.db", "desktop.ini", "icon\r")

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


class File(NamedTuple):
    """A file of a source.

    Attributes:
        name: the source's name for the file.
        parts: the folders that contain the file, from the root of the source, and the file's own name.
        size: the size of the content in bytes.
    """

    name: str
    parts: tuple[str, ...]
    size: int


class LabelledFile(NamedTuple):
    """An image file with its split and its class, an index into the class names."""

    role: Role
    label: int
    file: File

    @property
    def place(self) -> str:
        """The path below the ignored outer folders, which is the same in every archive of the same images."""
        split = (self.role.name.lower(),) if self.role else ()
        return "/".join((*split, *self.file.parts[-2:]))


@dataclass(frozen=True)
class Layout:
    """All image files, sorted by split, class and name, and the sorted class names (as numbers if all are numbers)."""

    class_names: tuple[str, ...]
    images: tuple[LabelledFile, ...]


def arrange(files: Sequence[File], source: str) -> Layout:
    """Return the layout of `files`; `source` is the name of their origin in messages.

    Raises:
        DataError: if the files do not form a valid layout.
    """
    visible = [file for file in files if not is_hidden(file.parts)]
    root, folders = _folders([file for file in visible if _is_picture(file)], source)
    by_split = len(next(iter(folders))) == 2
    names = _in_order({folder[-1] for folder in folders})
    if len(names) == 1:
        raise DataError(f"{source}: has one class only, {shown(names[0])}; it needs two or more, a folder each")
    if by_split:
        _refuse_untrained(folders, source)
    labels = {name: label for label, name in enumerate(names)}
    images = []
    for file in visible:
        if file.parts[: len(root)] == root and (folder := file.parts[len(root) : -1]) in folders:
            role = SPLITS[folder[0].casefold()] if by_split else Role.UNASSIGNED
            images.append(LabelledFile(role, labels[folder[-1]], file))
    images.sort(key=lambda image: (image.role, image.label, image.file.parts))
    return Layout(_told_apart(names), tuple(images))


def is_hidden(parts: Sequence[str]) -> bool:
    """Return whether a file or folder is hidden, or was made by a file manager for its own use."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].casefold() in OF_FILE_MANAGERS


def printable(name: str) -> str:
    r"""Return `name` with characters that could upset a terminal or a log as escapes, such as `\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def shown(name: str) -> str:
    """Return `name` in the form for messages: printable, and of limited length."""
    text = printable(name)
    return text if len(text) <= 200 else f"{text[:150]}...{text[-40:]}"


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    r"""Return the names, printable. If two become equal, such as ESC and the text `\x1b`, double all backslashes."""
    texts = tuple(map(printable, names))
    if len(set(texts)) == len(names):
        return texts
    return tuple(printable(name.replace("\\", r"\\")) for name in names)


def _is_picture(file: File) -> bool:
    stem, _, suffix = file.parts[-1].rpartition(".")
    return bool(stem) and suffix.casefold() in (*SUFFIXES, *UNREAD_SUFFIXES)


def _folders(pictures: Sequence[File], source: str) -> tuple[tuple[str, ...], set[tuple[str, ...]]]:
    """Return the folder around all images, and the image folders in it: `(class,)` each, or `(split, class)` each."""
    if not pictures:
        endings = ", ".join("." + suffix for suffix in SUFFIXES)
        raise DataError(f"{source}: holds no images; looked for one folder a class, with files ending in {endings}")
    paths = {file.parts[:-1] for file in pictures}
    levels = zip(min(paths), max(paths), strict=False)  # a prefix of the first and the last is one of all
    root = tuple(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], levels))
    folders = {path[len(root) :] for path in paths}
    depths = {len(folder) for folder in folders}
    if root and depths == {0}:
        return root[:-1], {root[-1:]}
    only_splits = all(folder and folder[0].casefold() in SPLITS for folder in folders)
    if depths != ({2} if only_splits else {1}):
        by_depth = sorted(pictures, key=lambda file: (len(file.parts), file.parts))
        examples = " and ".join(dict.fromkeys(shown(file.name) for file in (by_depth[0], by_depth[-1])))
        raise DataError(
            f"{source}: images must lie in one folder a class, or in train, val and test with one folder a class each; "
            f"found {examples}"
        )
    return root, folders


def _refuse_untrained(folders: Collection[tuple[str, ...]], source: str) -> None:
    """Refuse a class of another split that has no training images."""
    trained = {name for split, name in folders if SPLITS[split.casefold()] == Role.TRAIN}
    for split, name in sorted(folders):
        if name not in trained:
            raise DataError(f"{source}: {split} has the class {shown(name)}, of which train has no images")


def _in_order(names: Collection[str]) -> list[str]:
    if all(NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names)
