from pathlib import Path

import pytest

from mml.core.data_loading.task_attributes import DataSplit
from mml.core.data_preparation.samples import Collection
from mml.core.data_preparation.sources.manifest import COLUMNS, read_manifest
from mml.core.scripts.exceptions import TaskDataError
from tests.core.data_preparation.make_sources import write_image


def manifest(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a manifest, and the images 1.png to 4.png beside it."""
    for number in range(1, 5):
        write_image(folder / f"{number}.png", number)
    path = folder / "manifest.csv"
    path.write_bytes(text.encode(encoding))
    return path


def read(folder: Path, text: str) -> Collection:
    return read_manifest(manifest(folder, text))


def refused(folder: Path, text: str) -> str:
    with pytest.raises(TaskDataError) as raised:
        read(folder, text)
    return str(raised.value)


def test_image_and_label_are_enough(tmp_path: Path) -> None:
    found = read(tmp_path, "image,label\n1.png,cat\n2.png,dog\n")
    assert [(s.sample_id, s.image, s.label, s.split) for s in found.samples] == [
        ("1", tmp_path / "1.png", "cat", DataSplit.TRAIN),
        ("2", tmp_path / "2.png", "dog", DataSplit.TRAIN),
    ]


@pytest.mark.parametrize("image", COLUMNS["image"])
@pytest.mark.parametrize("label", COLUMNS["label"])
def test_columns_go_by_many_names_in_any_order(tmp_path: Path, image: str, label: str) -> None:
    found = read(tmp_path, f"note,{label.upper()}, {image.title()} \nx,cat,1.png\n")
    assert (found.samples[0].label, found.samples[0].image) == ("cat", tmp_path / "1.png")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out(tmp_path: Path, delimiter: str) -> None:
    rows = [["image", "label", "a;b,c"], ["1.png", "cat", '"x, y; z"']]
    if delimiter in ",;":
        rows[0][2] = "note"
    assert read(tmp_path, "\n".join(delimiter.join(row) for row in rows)).samples[0].label == "cat"


def test_quotes_byte_order_mark_windows_lines_and_blank_rows_are_understood(tmp_path: Path) -> None:
    write_image(tmp_path / "a, b.png")
    text = '\ufeff"image","label"\r\n\r\n"a, b.png","a ""big"" cat"\r\n,\r\n1.png, dog \r\n'
    found = read(tmp_path, text)
    assert [sample.label for sample in found.samples] == ['a "big" cat', "dog"]


def test_a_quoted_cell_may_span_lines_and_later_lines_keep_their_numbers(tmp_path: Path) -> None:
    assert "line 4" in refused(tmp_path, 'image,label,note\n1.png,a,"two\nlines"\n2.png,,x\n')


def test_paths_are_relative_to_the_manifest_or_absolute(tmp_path: Path) -> None:
    near, far = write_image(tmp_path / "data" / "sub" / "x.png"), write_image(tmp_path / "far.png")
    found = read(tmp_path / "data", f"image,label\nsub/x.png,a\n{far},b\n")
    assert found.samples[0].image == near
    assert found.samples[1].image == far


def test_paths_of_windows_are_understood(tmp_path: Path) -> None:
    write_image(tmp_path / "sub" / "x.png")
    (sample,) = read(tmp_path, "image,label\nsub\\x.png,a\n").samples
    assert (sample.image, sample.sample_id) == (tmp_path / "sub" / "x.png", "sub-x")


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("train", DataSplit.TRAIN),
        ("Training", DataSplit.TRAIN),
        ("val", DataSplit.VAL),
        ("validation", DataSplit.VAL),
        ("TEST", DataSplit.TEST),
        ("unlabeled", DataSplit.UNLABELED),
    ],
)
def test_a_split_goes_by_many_names(tmp_path: Path, word: str, split: DataSplit) -> None:
    assert read(tmp_path, f"image,label,split\n1.png,a,{word}\n").samples[0].split is split


def test_a_class_is_one_however_its_accents_are_written(tmp_path: Path) -> None:
    found = read(tmp_path, "image,label\n1.png,Cafe\u0301\n2.png,Caf\u00e9\n")
    assert [sample.label for sample in found.samples] == ["Café", "Café"]


def test_only_unlabelled_rows_may_lack_a_label(tmp_path: Path) -> None:
    assert read(tmp_path, "image,label,split\n1.png,,unlabeled\n").samples[0].label == ""


def test_folds_are_numbered_from_zero_and_test_rows_have_none(tmp_path: Path) -> None:
    found = read(tmp_path, "image,label,split,fold\n1.png,a,train,7\n2.png,a,train,3\n3.png,a,val,7\n4.png,a,test,\n")
    assert [sample.fold for sample in found.samples] == [1, 0, 1, None]


def test_ids_of_the_manifest_are_kept(tmp_path: Path) -> None:
    assert [s.sample_id for s in read(tmp_path, "image,label,id\n1.png,a,p/1 é\n2.png,b,p2\n").samples] == [
        "p/1 é",
        "p2",
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is empty"]),
        ("image,label\n", ["no row below its header"]),
        ("imag,lable\n1.png,a\n", ["lacks 'image'", "'label'", "mean 'image'", "mean 'label'"]),
        ("1.png,a\n2.png,b\n", ["has the columns '1.png', 'a'", "lacks 'image'"]),
        ("image\n1.png\n", ["lacks 'label' (or class, class_name"]),
        ("image,label\n1.png\n", ["line 2, has 1 cell; the header has 2"]),
        ("image,label\n1.png,a\n2.png,b,c\n", ["line 3, has 3 cells"]),
        ("image,label\n1.png,a\n,b\n", ["1 row with no image (line 3)"]),
        ("image,label\n1.png,\n2.png, \n", ["2 rows with no label (line 2, line 3)"]),
        ("image,label,split\n1.png,a,trian\n2.png,a,\n", ["2 rows with a split other than train", "line 2: 'trian'"]),
        ("image,label,fold\n1.png,a,one\n2.png,a,\n3.png,a,-1\n", ["3 rows with no whole number as fold", "'one'"]),
        ("image,label\n1.png,a\n9.png,b\n8.png,b\n", ["2 images that are not there", "line 3: ", "9.png", "line 4"]),
        ("image,label\n1.png,a\n2.png,b\n1.png,b\n", ["1 image more than once", "1.png: lines 2, 4", "Keep one"]),
        ("image,label,id\n1.png,a,x\n2.png,b,y\n3.png,b,x\n", ["1 id more than once", "x: lines 2, 4"]),
        ("image,label,id\n1.png,a,x\n2.png,b,\n", ["1 row without id (lines 3)"]),
        ('image,label\n1.png,"a\n2.png,b\n', ["is no CSV", "line 3"]),
        ("image,label\n.,a\n", ["not there"]),
    ],
)
def test_what_can_not_be_used_is_refused_with_lines_and_values(tmp_path: Path, text: str, parts: list[str]) -> None:
    message = refused(tmp_path, text)
    assert [part for part in parts if part not in message] == []


def test_of_many_faults_the_first_ten_are_named(tmp_path: Path) -> None:
    rows = "".join(f"gone{number}.png,a\n" for number in range(30))
    message = refused(tmp_path, f"image,label\n{rows}")
    assert "30 images" in message
    assert "gone9.png" in message
    assert "gone10.png" not in message


def test_one_file_under_two_spellings_is_found_twice(tmp_path: Path) -> None:
    assert "more than once" in refused(tmp_path, f"image,label\n1.png,a\n{tmp_path / '1.png'},b\n")


def test_text_that_is_no_utf_8_is_refused_with_the_line(tmp_path: Path) -> None:
    path = manifest(tmp_path, "image,label\n1.png,a\n2.png,Käse\n", encoding="latin-1")
    with pytest.raises(TaskDataError, match="line 3, is not UTF-8"):
        read_manifest(path)


def test_a_file_that_is_one_endless_line_is_refused(tmp_path: Path) -> None:
    message = refused(tmp_path, "x" * 200_000)
    assert "lacks 'image'" in message
    assert len(message) < 500


def test_a_manifest_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskDataError, match=r"gone\.csv can't be read: No such file"):
        read_manifest(tmp_path / "gone.csv")


@pytest.mark.parametrize("image", ["../secret.png", "a/../../secret.png", "..\\secret.png", "..", "a/.././../x"])
def test_an_image_outside_of_the_manifests_folder_is_refused(tmp_path: Path, image: str) -> None:
    write_image(tmp_path / "secret.png", 1)
    (tmp_path / "inner").mkdir()
    said = refused(tmp_path / "inner", f"image,label\n1.png,cat\n{image},dog\n")
    assert (
        f"1 row with an image outside of the manifest's folder, which only an absolute path may name (line 3: {image})"
        in said
    )


def test_detours_inside_of_the_folder_and_absolute_paths_are_fine(tmp_path: Path) -> None:
    secret = tmp_path / "other" / "5.png"
    secret.parent.mkdir()
    write_image(secret, 5)
    (tmp_path / "inner").mkdir()
    found = read(tmp_path / "inner", f"image,label\n./1.png,cat\n{secret},dog\n")
    assert [s.image.name for s in found.samples] == ["1.png", "5.png"]
