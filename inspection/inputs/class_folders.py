"""Folders of images, one for each class: what is read in them, and what is passed over."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fmi_engine.errors import some
from inspection.inputs.images import is_image_name

SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
KNOWN_SPLITS = ", ".join(SPLITS)
# Words for a split that mean validation to some and test to others.
_UNCLEAR = re.compile(r"eval(uation)?|dev(elopment)?|hold[-_ ]?out", re.IGNORECASE)
_MASKS = re.compile(r"(ground[-_ ]?truth|masks?|gt|annotations?)", re.IGNORECASE)
_MASK_OF = re.compile(r"(.+?)[-_ ](ground[-_ ]?truth|masks?|gt|label)([-_ ]?\d+)?", re.IGNORECASE)


class UnclearFolderError(Exception):
    """A folder that may be a split or a class: says which."""


@dataclass(frozen=True, slots=True)
class ClassImage:
    """An image in a folder of its class."""

    path: Path
    label: str
    split: str | None  # train, val or test


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """What stands in a folder of class folders."""

    images: list[ClassImage] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)  # what was not read, by its kind
    kinds: Counter[str] = field(default_factory=Counter)  # suffixes of the files that are no images
    empty: list[str] = field(default_factory=list)  # folders without an image that is read

    def passed_over(self) -> str:
        """What was not read, in words; empty where all was."""
        parts = [f"{kind}: {count:,}" for kind, count in sorted(self.passed.items())]
        if self.kinds:
            named = some(sorted(self.kinds))
            parts.append(f"files that are no images by their names: {self.kinds.total():,} ({named})")
        if self.empty:
            parts.append(f"folders without an image: {some(sorted(self.empty))}")
        return "; ".join(parts)


def split_name(word: str) -> str | None:
    """The split that a word means: train, val or test; None where it is no plain word for one."""
    return SPLITS.get(word.strip().casefold())


def read_class_folders(source: Path) -> ClassFolders:
    """List the images below a folder: in folders for each class, or in such inside train, val and test.

    A class folder is read with all folders below it. Not read, but counted: hidden files, files that are no
    images by their suffix, masks (folders of that name, `good_mask` beside `good`, `1_mask.png` beside
    `1.png`), images that stand in no class folder, and those in folders beside train, val and test.
    Errors: OSError, and UnclearFolderError for a folder that may be a split or a class.
    """
    found = ClassFolders()
    tops = _folders(source)
    unclear = [top.name for top in tops if _UNCLEAR.fullmatch(top.name) and _folders(top)]
    if unclear:
        raise UnclearFolderError(
            f"{', '.join(unclear)}: a split by its name, but not one that is known ({KNOWN_SPLITS}); rename "
            "it, or give the folder itself"
        )
    splits = [top for top in tops if split_name(top.name) and _folders(top)]
    if not splits and len(tops) > 1 and all(split_name(top.name) for top in tops):
        raise UnclearFolderError(
            f"{', '.join(top.name for top in tops)}: splits by their names, but they hold no folder for each "
            "class; put one folder for each class into each of them"
        )
    others = [top.name for top in tops if top not in splits and any(map(is_image_name, _entries(top)))]
    if len(splits) == 1 and others:
        raise UnclearFolderError(
            f"{splits[0].name} may be a split with folders for each class, or a class beside "
            f"{some(others)}; rename it, or give the folder itself"
        )
    if not splits:
        _read_classes(found, source, source, None)
        return found
    for top in splits:
        _read_classes(found, source, top, split_name(top.name))
    for entry in _entries(source):
        if entry not in splits:
            _pass_over(found, entry, "images beside the folders of the splits")
    return found


def _read_classes(found: ClassFolders, source: Path, parent: Path, split: str | None) -> None:
    entries = _entries(parent)
    names = {entry.name for entry in entries}
    for entry in entries:
        if entry.name.startswith(".") or not entry.is_dir():
            _pass_over(found, entry, "images in no folder of a class")
        elif _holds_masks(entry, names):
            _pass_over(found, entry, "masks")
        else:
            before = len(found.images)
            _read_class(found, entry, entry.name, split)
            if len(found.images) == before:
                found.empty.append(entry.relative_to(source).as_posix())


def _read_class(found: ClassFolders, folder: Path, label: str, split: str | None) -> None:
    for entries in _walked(folder):
        names = {entry.name for entry in entries if entry.is_dir()}
        stems = {entry.stem for entry in entries if is_image_name(entry)}
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                if _holds_masks(entry, names):
                    _pass_over(found, entry, "masks")
            elif not is_image_name(entry):
                _pass_over(found, entry, "")
            elif (mask := _MASK_OF.fullmatch(entry.stem)) and mask[1] in stems:
                found.passed["masks"] += 1
            else:
                found.images.append(ClassImage(entry.absolute(), label, split))


def _walked(folder: Path) -> Iterator[list[Path]]:
    """Yield what is in a folder, and in those below it but for hidden ones and masks, each once."""
    waiting, seen = [folder], set()
    while waiting:
        within = waiting.pop()
        real = within.resolve()
        if real in seen:
            continue
        seen.add(real)
        entries = _entries(within)
        yield entries
        names = {entry.name for entry in entries}
        waiting += [each for each in _folders(within) if not _holds_masks(each, names)]


def _holds_masks(folder: Path, beside: set[str]) -> bool:
    named_after = _MASK_OF.fullmatch(folder.name)
    return bool(_MASKS.fullmatch(folder.name)) or bool(named_after and named_after[1] in beside)


def _pass_over(found: ClassFolders, entry: Path, images: str) -> None:
    """Count a file, or all files of a folder, as not read."""
    if entry.name.startswith("."):
        found.passed["hidden files or folders"] += 1
    elif entry.is_dir():
        for entries in _walked(entry):
            for each in entries:
                if each.name.startswith(".") or not each.is_dir():
                    _pass_over(found, each, images)
    elif is_image_name(entry):
        found.passed[images] += 1
    else:
        found.kinds[entry.suffix.lower() or "no suffix"] += 1


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _folders(folder: Path) -> Sequence[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir() and not entry.name.startswith(".")]
