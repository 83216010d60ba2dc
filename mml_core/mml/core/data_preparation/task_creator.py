"""TaskCreator: collects samples and what is known of them, and makes a whole task of it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from mml.core.data_loading.task_attributes import DataSplit, Keyword, License, Modality, TaskType
from mml.core.data_loading.task_description import (
    DESCRIPTION_FILE,
    SampleDescription,
    TaskDescription,
    store_description,
    validate_task_name,
)
from mml.core.data_preparation.checks import check_readable, check_samples
from mml.core.data_preparation.disk import disk_errors
from mml.core.data_preparation.folds import Splits, make_splits
from mml.core.data_preparation.image_store import IMAGES_FOLDER, ImageJob, ImageRecord, ImageStore
from mml.core.data_preparation.images import Pixels
from mml.core.data_preparation.options import CreateOptions
from mml.core.data_preparation.samples import Collection, Sample, class_order, safe_names
from mml.core.data_preparation.statistics import summarise
from mml.core.scripts.exceptions import MMLMisconfigurationException, TaskDataError
from mml.report.tables import count_text

# One sample as creators hand it over: `Modality.SAMPLE_ID`, `Modality.IMAGE` (a path) and `Modality.CLASS` (an index).
RawSample = Mapping[Modality, str | int | Path]


class HeaderFields(TypedDict, total=False):
    """What a creator knows of its task; see `TaskHeader`.

    Attributes:
        task_type: only classification can be created yet.
        desc: becomes `description`.
        ref: becomes `reference`.
        url: of the data's own page.
        instr: where the data was fetched from, becomes `download`.
        lic: becomes `license`.
        release: version or year.
        keywords: what the images show.
    """

    task_type: TaskType
    desc: str
    ref: str
    url: str
    instr: str
    lic: License
    release: str
    keywords: list[Keyword]


class TaskCreator:
    """Makes a task of the samples it is given. A creator function returns one; the create mode does the rest.

    Args:
        dset_path: folder of the data that the task is made of, None if there is none.
        name: of the task.
        **header: what is known of the task.

    Raises:
        TaskNameError: the name can't be a task's name.
        MMLMisconfigurationException: a type of task that can't be created yet.
    """

    def __init__(self, dset_path: Path | None, name: str, **header: Unpack[HeaderFields]) -> None:
        self.dset_path = dset_path
        self.name = validate_task_name(name)
        self.header = header
        self.collection = Collection([], f"samples of {dset_path}")
        self._folds: int | None = None
        if (task_type := header.get("task_type", TaskType.CLASSIFICATION)) is not TaskType.CLASSIFICATION:
            msg = f"Task '{name}' is of type {task_type}; only tasks of type classification can be created yet."
            raise MMLMisconfigurationException(msg)

    def use_collection(self, collection: Collection) -> None:
        """Take all that a reader of `sources` found."""
        self.collection = collection

    def find_data(
        self,
        train_iterator: Iterable[RawSample] = (),
        test_iterator: Iterable[RawSample] = (),
        unlabeled_iterator: Iterable[RawSample] = (),
        idx_to_class: Mapping[int, str] | None = None,
    ) -> None:
        """Take the samples of each split.

        Args:
            train_iterator: training samples; each holds `Modality.SAMPLE_ID`, `Modality.IMAGE` (a path) and
                `Modality.CLASS` (a key of `idx_to_class`).
            test_iterator: samples kept apart.
            unlabeled_iterator: samples that need no class.
            idx_to_class: class index -> name; the task numbers the classes from 0 in this order.

        Raises:
            TaskDataError: a sample lacks a part, or has a class that `idx_to_class` does not know.
        """
        names = dict(idx_to_class or {})
        parts = (
            (DataSplit.TRAIN, train_iterator),
            (DataSplit.TEST, test_iterator),
            (DataSplit.UNLABELED, unlabeled_iterator),
        )
        self.collection.samples = [
            _sample_from_raw(raw, split, names, self.name) for split, raws in parts for raw in raws
        ]
        self.collection.classes = list(names.values())

    def split_folds(self, n_folds: int) -> None:
        """Fix the number of stratified, seeded folds, which `mode.folds` decides otherwise."""
        self._folds = n_folds

    def use_existing_folds(self, fold_definition: Sequence[Iterable[str]]) -> None:
        """Fix the folds: the ids in each; every training sample has to be in one."""
        numbers = {sample_id: number for number, ids in enumerate(fold_definition) for sample_id in ids}
        self.collection.samples = [
            sample._replace(fold=numbers[sample.sample_id]) if sample.sample_id in numbers else sample
            for sample in self.collection.samples
        ]

    def protocol(self, text: str) -> None:
        """Add a line on how the task came into being to its `creation_protocol`."""
        self.collection.notes.append(text)

    def build(self, folder: Path, options: CreateOptions, advance: Callable[[int], None]) -> TaskDescription:
        """Store all images and the description of the task in a folder.

        Args:
            folder: an existing folder that belongs to this process alone; what an earlier attempt left is made use of.
            options: the choices of the user.
            advance: is told how many images more are dealt with.

        Raises:
            TaskDataError: the samples can't become a task, or the disk is full.
        """
        if self._folds is not None:
            options = _with_folds(options, self._folds)
        collection = self.collection
        check_samples(collection, self.name)
        classes = collection.classes or class_order(sample.label for sample in collection.samples if sample.label)
        store = ImageStore(folder, options.copy, options.workers)
        records = store.store(_jobs(collection.samples, classes), advance)
        check_readable(collection, records, options.skip_unreadable, self.name)
        splits = make_splits(collection.samples, options)
        notes = [*_summary(options, records, store), *collection.notes, *splits.notes]
        description = self._describe(classes, splits, records, notes)
        for field, value in options.header.items():
            setattr(description, field, value)
        with disk_errors(folder):
            store_description(description, folder / DESCRIPTION_FILE)
        return description

    def _describe(
        self, classes: Sequence[str], splits: Splits, records: Sequence[ImageRecord], notes: Sequence[str]
    ) -> TaskDescription:
        index = {name: number for number, name in enumerate(classes)}
        paths = {record.sample_id: record.path for record in records}
        stats = {record.sample_id: record.stats for record in records if record.stats}
        trained = {sample_id for fold in splits.folds for sample_id in fold}
        samples = self.collection.samples
        plain = [sample for sample in samples if sample.split is DataSplit.UNLABELED]
        summary = summarise(stats[sample_id] for sample_id in trained)
        header = self.header
        return TaskDescription(
            name=self.name,
            task_type=TaskType.CLASSIFICATION,
            description=header.get("desc", ""),
            creation_protocol="\n".join([f"Created from {self.collection.origin}.", *notes]),
            reference=header.get("ref", ""),
            url=header.get("url", ""),
            download=header.get("instr", ""),
            license=header.get("lic", License.UNKNOWN),
            release=header.get("release", ""),
            keywords=list(header.get("keywords", [])),
            means=summary.means,
            stds=summary.stds,
            sizes=summary.sizes,
            modalities={Modality.IMAGE: _suffixes(paths.values()), Modality.CLASS: "int"},
            idx_to_class=dict(enumerate(classes)),
            class_occ=_occurrences(samples, classes),
            train_folds=splits.folds,
            train_samples=_entries([s for s in samples if s.sample_id in trained], paths, index),
            test_samples=_entries([s for s in samples if s.sample_id in splits.test], paths, index),
            unlabeled_samples=_entries(plain, paths, index),
        )


def _sample_from_raw(raw: RawSample, split: DataSplit, names: Mapping[int, str], task: str) -> Sample:
    try:
        sample_id, image = str(raw[Modality.SAMPLE_ID]), Path(str(raw[Modality.IMAGE]))
        label = "" if split is DataSplit.UNLABELED else names[int(str(raw[Modality.CLASS]))]
    except (KeyError, ValueError) as error:
        msg = f"A {split} sample of task '{task}' lacks {error}, or idx_to_class does: {dict(raw)}."
        raise TaskDataError(msg) from error
    return Sample(sample_id, image, label, split)


def _with_folds(options: CreateOptions, folds: int) -> CreateOptions:
    fields = {field: getattr(options, field) for field in options.__struct_fields__}
    return CreateOptions(**{**fields, "folds": folds})


def _jobs(samples: Sequence[Sample], classes: Sequence[str]) -> list[ImageJob]:
    index = {name: str(number) for number, name in enumerate(classes)}
    return [
        ImageJob(sample.sample_id, sample.image, f"{IMAGES_FOLDER}/{index.get(sample.label, 'unlabeled')}/{name}")
        for sample, name in zip(samples, _file_names(samples), strict=True)
    ]


def _file_names(samples: Sequence[Sample]) -> list[str]:
    names = safe_names([sample.sample_id for sample in samples])
    return [name + _suffix(sample.image) for sample, name in zip(samples, names, strict=True)]


def _suffix(image: Path | Pixels) -> str:
    suffix = image.suffix.lower() if isinstance(image, Path) else ".png"
    return suffix if suffix.isascii() and suffix[1:].isalnum() else ""


def _summary(options: CreateOptions, records: Sequence[ImageRecord], store: ImageStore) -> list[str]:
    """Return what was done to the images and how they were split, for the protocol."""
    lines = [f"{count_text(len(records), 'image')}, mode.copy={options.copy}."]
    if store.linked_by_copy:
        lines.append(
            f"{count_text(store.linked_by_copy, 'image')} copied, because a hard link from there to the data folder is "
            "not possible (another disk, or no right to)."
        )
    if faults := [record for record in records if record.fault]:
        lines.append(f"{count_text(len(faults), 'unreadable image')} left out (mode.skip_unreadable=true).")
    return lines


def _occurrences(samples: Iterable[Sample], classes: Iterable[str]) -> dict[str, int]:
    counts = Counter(sample.label for sample in samples if sample.split is not DataSplit.UNLABELED)
    return {name: counts[name] for name in classes}


def _entries(
    samples: Iterable[Sample], paths: Mapping[str, str], index: Mapping[str, int]
) -> dict[str, SampleDescription]:
    entries: dict[str, SampleDescription] = {}
    for sample in samples:
        entry: SampleDescription = {Modality.IMAGE: paths[sample.sample_id]}
        if sample.split is not DataSplit.UNLABELED:
            entry[Modality.CLASS] = index[sample.label]
        entries[sample.sample_id] = entry
    return entries


def _suffixes(paths: Iterable[str]) -> str:
    return ", ".join(sorted({Path(path).suffix.lstrip(".").lower() for path in paths if path}))
