"""Which class and which split an image file belongs to, by the folders that it lies in.

Either one folder a class, or `train`, `val` and `test` with one folder a class each. Folders around all of it do not
count. Every visible file in a class's folder is taken for an image, so that none is left out unnoticed; beside these
folders, only files that are images by their suffix are, and refused.
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
"""Images too: a folder of them is met with an error, not overlooked."""

OF_FILE_MANAGERS = ("thumbs.db", "desktop.ini", "icon\r")

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


class File(NamedTuple):
    """A file of a source.

    Attributes:
        name: as the source calls it.
        parts: the folders that it lies in, from the source's root, and its own name.
        size: in bytes.
    """

    name: str
    parts: tuple[str, ...]
    size: int


class LabelledFile(NamedTuple):
    """An image file, with its class as an index into the class names."""

    role: Role
    label: int
    file: File

    @property
    def place(self) -> str:
        """Its path below the folders that do not count, the same in every archive of the same images."""
        split = (self.role.name.lower(),) if self.role else ()
        return "/".join((*split, *self.file.parts[-2:]))


@dataclass(frozen=True)
class Layout:
    """All image files, by split, class and name, and the names of the classes, sorted, as numbers where all are."""

    class_names: tuple[str, ...]
    images: tuple[LabelledFile, ...]


def arrange(files: Sequence[File], source: str) -> Layout:
    """The layout of `files`; `source` is what messages call the place that they are from.

    Raises:
        DataError: where they do not lie as they should.
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
    """Whether a file or folder is hidden, or one that a file manager put there for itself."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].casefold() in OF_FILE_MANAGERS


def printable(name: str) -> str:
    r"""`name` with what could upset a terminal or a log as an escape, such as `\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def shown(name: str) -> str:
    """`name` as messages have it: printable, and of bounded length."""
    text = printable(name)
    return text if len(text) <= 200 else f"{text[:150]}...{text[-40:]}"


def _told_apart(names: Sequence[str]) -> tuple[str, ...]:
    r"""The names, printable. Where two would then be one, as ESC and the text `\x1b`, backslashes are doubled."""
    texts = tuple(map(printable, names))
    if len(set(texts)) == len(names):
        return texts
    return tuple(printable(name.replace("\\", r"\\")) for name in names)


def _is_picture(file: File) -> bool:
    stem, _, suffix = file.parts[-1].rpartition(".")
    return bool(stem) and suffix.casefold() in (*SUFFIXES, *UNREAD_SUFFIXES)


def _folders(pictures: Sequence[File], source: str) -> tuple[tuple[str, ...], set[tuple[str, ...]]]:
    """The folder around everything, and below it those with images: `(class,)` each, or `(split, class)` each."""
    if not pictures:
        endings = ", ".join("." + suffix for suffix in SUFFIXES)
        raise DataError(f"{source}: holds no images; looked for one folder a class, with files ending in {endings}")
    paths = {file.parts[:-1] for file in pictures}
    levels = zip(min(paths), max(paths), strict=False)  # what the first and the last in order share, all share
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
    """Classes that no image would teach."""
    trained = {name for split, name in folders if SPLITS[split.casefold()] == Role.TRAIN}
    for split, name in sorted(folders):
        if name not in trained:
            raise DataError(f"{source}: {split} has the class {shown(name)}, of which train has no images")


def _in_order(names: Collection[str]) -> list[str]:
    if all(NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names)
