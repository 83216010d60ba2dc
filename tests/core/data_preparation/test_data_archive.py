from pathlib import Path

from mml.core.data_preparation.data_archive import DataArchive, DataKind


def test_a_kind_is_also_the_name_of_a_folder(tmp_path: Path) -> None:
    assert (tmp_path / DataKind.TRAINING_DATA).name == "training_data"


def test_an_archive_knows_where_it_is_and_what_it_holds(tmp_path: Path) -> None:
    archive = DataArchive(tmp_path / "a.zip", DataKind.TESTING_LABELS)
    assert (archive.path.name, archive.kind) == ("a.zip", "testing_labels")
