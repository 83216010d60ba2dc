"""Images sorted into folders: one per class, or split folders with one folder per class in each."""

from collections import Counter
from pathlib import PurePosixPath

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.samples import Collection, Sample, safe_names
from mml.core.data_preparation.sources.listing import Listing, class_name
from mml.core.scripts.exceptions import TaskDataError
from mml.report.tables import count_text, list_text

# Of files that may be manifests.
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})
SPLIT_NAMES = {
    "train": DataSplit.TRAIN,
    "training": DataSplit.TRAIN,
    "val": DataSplit.VAL,
    "valid": DataSplit.VAL,
    "validation": DataSplit.VAL,
    "dev": DataSplit.VAL,
    "test": DataSplit.TEST,
    "testing": DataSplit.TEST,
    "unlabeled": DataSplit.UNLABELED,
    "unlabelled": DataSplit.UNLABELED,
}


def holds_splits(listing: Listing) -> bool:
    """Tell whether the folders of a source are splits rather than classes that happen to be called so.

    Splits are at least a training and another split, or a training split alone with folders below.
    """
    splits = {SPLIT_NAMES.get(image.parts[0].lower()) for image in listing.images if len(image.parts) > 1}
    if DataSplit.TRAIN not in splits:
        return False
    return len(splits - {None}) > 1 or (None not in splits and any(len(image.parts) > 2 for image in listing.images))


def read_class_folders(listing: Listing) -> Collection:
    """Read a folder with one folder per class; nested folders count to the class.

    Raises:
        TaskDataError: no image lies in a class folder.
    """
    labelled = [image for image in listing.images if len(image.parts) > 1]
    if not labelled:
        raise no_images_error(listing, "a folder per class, e.g. cats/1.png and dogs/1.png")
    notes = [*listing.notes, *_left_out(len(listing.images) - len(labelled), "lie beside the class folders")]
    if listing.empty_folders:
        notes.append(f"Folders without images left out: {list_text(listing.empty_folders)}.")
    ids = _ids(labelled)
    samples = [
        Sample(sample_id, listing.root / image, class_name(image.parts[0]))
        for sample_id, image in zip(ids, labelled, strict=True)
    ]
    return Collection(samples, f"class folders of {listing.root}", notes=notes, hint=_hint_below(listing, labelled))


def read_split_folders(listing: Listing) -> Collection:
    """Read a folder with the folders `train` and maybe `val`, `test`, `unlabeled`, with a folder per class in each.

    Raises:
        TaskDataError: no image lies in a class folder of the training split.
    """
    found: list[tuple[PurePosixPath, DataSplit, str]] = []
    lost: Counter[str] = Counter()
    for image in listing.images:
        split = SPLIT_NAMES.get(image.parts[0].lower()) if len(image.parts) > 1 else None
        if split is None:
            lost["lie outside the split folders"] += 1
        elif split is DataSplit.UNLABELED:
            found.append((image, split, ""))
        elif len(image.parts) > 2:
            found.append((image, split, class_name(image.parts[1])))
        else:
            lost[f"lie in {image.parts[0]}, but in no class folder"] += 1
    if not any(split is DataSplit.TRAIN for _, split, _ in found):
        raise no_images_error(listing, "a folder per split and class, e.g. train/cats/1.png and test/cats/1.png")
    ids = _ids([image for image, _, _ in found])
    samples = [
        Sample(sample_id, listing.root / image, label, split)
        for sample_id, (image, split, label) in zip(ids, found, strict=True)
    ]
    notes = [*listing.notes, *(note for where, number in lost.items() for note in _left_out(number, where))]
    return Collection(samples, f"split folders of {listing.root}", notes=notes)


def no_images_error(listing: Listing, wanted: str) -> TaskDataError:
    """Return the error of a source without usable images."""
    found = f"its {count_text(len(listing.images), 'image')} lie elsewhere" if listing.images else "it holds no image"
    tables = sorted(path for path in listing.root.iterdir() if path.suffix.lower() in TABLE_SUFFIXES)
    hint = [f"If {tables[0].name} lists the images, use mode.source={tables[0]}."] if tables else []
    left_out = " ".join(["", *listing.notes, *hint])
    msg = f"There are no images for a task in {listing.root}: {found}. Wanted: {wanted}.{left_out}"
    return TaskDataError(msg)


def _hint_below(listing: Listing, images: list[PurePosixPath]) -> str:
    """Return what to do if the classes are not the folders of the source, but those in one of them."""
    inner = {image.parts[:2] for image in images if len(image.parts) > 2}
    if len({parts[0] for parts in inner}) != 1 or len(inner) < 2:
        return ""
    folder = listing.root / next(iter(inner))[0]
    return f"If the classes are the {len(inner)} folders in {folder}, use mode.source={folder}."


def _ids(images: list[PurePosixPath]) -> list[str]:
    return safe_names([image.with_suffix("").as_posix() for image in images], [image.as_posix() for image in images])


def _left_out(number: int, where: str) -> list[str]:
    return [f"{count_text(number, 'image')} left out that {where}."] if number else []
