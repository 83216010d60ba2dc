from pathlib import Path

import pytest

from mml.core.scripts import environment
from mml.core.scripts.environment import Location, data_location, load_env, read_env_file, results_location
from mml.core.scripts.exceptions import MMLMisconfigurationException


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_setting_data_is_in_the_users_data_folder_and_results_in_the_current_one(tmp_path: Path) -> None:
    assert data_location() == (Path.home() / ".local/share/mml", "default")
    assert results_location() == (tmp_path / "results", "default")


def test_an_environment_variable_decides_and_is_named_as_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MML_DATA_PATH", "/somewhere/data")
    monkeypatch.setenv("MML_RESULTS_PATH", "/somewhere/results")
    assert data_location() == Location(Path("/somewhere/data"), "MML_DATA_PATH")
    assert results_location() == Location(Path("/somewhere/results"), "MML_RESULTS_PATH")


def test_an_empty_environment_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MML_DATA_PATH", "")
    assert data_location().source == "default"


def test_an_env_file_in_the_current_folder_decides(tmp_path: Path) -> None:
    file = write(tmp_path / "mml.env", "MML_DATA_PATH=/d\nMML_RESULTS_PATH=/r\n")
    assert data_location() == (Path("/d"), str(file))
    assert results_location() == (Path("/r"), str(file))


def test_the_environment_outranks_an_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mml.env", "MML_DATA_PATH=/file\n")
    monkeypatch.setenv("MML_DATA_PATH", "/variable")
    assert data_location() == (Path("/variable"), "MML_DATA_PATH")


def test_an_env_file_of_a_folder_above_is_found_and_the_nearest_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    above = write(tmp_path / "mml.env", "MML_DATA_PATH=/above\nMML_RESULTS_PATH=/above\n")
    near = write(tmp_path / "a" / "mml.env", "MML_DATA_PATH=/near\n")
    assert data_location() == (Path("/near"), str(near))
    assert results_location() == (Path("/above"), str(above))


def test_the_users_env_file_counts_last(tmp_path: Path) -> None:
    user = write(Path.home() / ".config/mml/mml.env", "MML_DATA_PATH=/user\nMML_RESULTS_PATH=/user\n")
    here = write(tmp_path / "mml.env", "MML_DATA_PATH=/here\n")
    assert data_location() == (Path("/here"), str(here))
    assert results_location() == (Path("/user"), str(user))


def test_a_folder_called_like_an_env_file_is_no_env_file(tmp_path: Path) -> None:
    (tmp_path / "mml.env").mkdir()
    assert data_location().source == "default"


def test_a_relative_path_in_an_env_file_starts_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mml.env", "MML_DATA_PATH=../data\n")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert data_location().path == tmp_path.parent / "data"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("MML_X=plain", "plain"),
        ("  export MML_X = spaced  ", "spaced"),
        ("MML_X='single # quoted'", "single # quoted"),
        ('MML_X="double"  # why', "double"),
        ("MML_X=value # why", "value"),
        ("MML_X=a#b", "a#b"),
        ("MML_X=a=b", "a=b"),
        ("MML_X=", ""),
        ("MML_X= # nothing", ""),
        ("\ufeffMML_X=marked", "marked"),
    ],
)
def test_values_are_read_as_a_shell_would(tmp_path: Path, line: str, value: str) -> None:
    assert read_env_file(write(tmp_path / "mml.env", f"{line}\n\n# a comment\n")) == {"MML_X": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n# fine\njust words\n", "line 3: 'just words' is not of the form KEY=VALUE"),
        ("PATH=/bin\n", "line 1: 'PATH' is no setting of mml"),
        ("MML_DATA_PTH=/x\n", "line 1: unknown setting 'MML_DATA_PTH'. Did you mean 'MML_DATA_PATH'?"),
        ("MML_X='open\n", "line 1: the quoted value 'open does not end"),
        ("MML_X='a' b\n", "line 1: the quoted value 'a' b does not end"),
    ],
)
def test_a_bad_line_is_refused_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path / "mml.env", text)
    with pytest.raises(MMLMisconfigurationException) as caught:
        data_location()
    assert f"{file}, {said}" in str(caught.value)


def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "mml.env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MMLMisconfigurationException, match="mml.env can't be read"):
        results_location()


def test_other_settings_become_environment_variables_unless_they_are_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mml.env", "MML_TOKEN=file\nMML_KEPT=file\nMML_DATA_PATH=/d\n")
    monkeypatch.setenv("MML_KEPT", "variable")
    monkeypatch.setenv("MML_TOKEN", "to be restored")
    monkeypatch.delenv("MML_TOKEN")
    load_env()
    assert environment.os.environ["MML_TOKEN"] == "file"
    assert environment.os.environ["MML_KEPT"] == "variable"
    assert "MML_DATA_PATH" not in environment.os.environ


def test_home_is_expanded_wherever_a_path_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MML_DATA_PATH", "~/d")
    write(tmp_path / "mml.env", "MML_RESULTS_PATH=~/r\n")
    assert data_location().path == Path.home() / "d"
    assert results_location().path == Path.home() / "r"
    assert environment.absolute_path("a/../b") == tmp_path / "b"
    assert environment.absolute_path("/a/./b") == Path("/a/b")


def test_the_home_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MML_DATA_PATH", "~no_such_user_1/d")
    with pytest.raises(MMLMisconfigurationException, match="~no_such_user_1/d"):
        data_location()


def test_a_current_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(MMLMisconfigurationException, match="current folder does not exist any more"):
        results_location()


def test_all_of_a_process_is_one_sweep_and_no_other_process_has_its_name() -> None:
    stamp = environment.sweep_stamp()
    assert environment.sweep_stamp() == stamp
    environment.sweep_stamp.cache_clear()
    assert environment.sweep_stamp() != stamp
