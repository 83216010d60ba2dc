import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mml.core.scripts import plugins
from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.plugins import PluginReport, add_config_search_path, broken_plugins
from tests.support.fake_plugins import install_plugin, path_with

SHOW = """
import json
from mml.core.scripts.plugins import HOOKS, config_search_paths, load_plugins
reports = load_plugins()
assert load_plugins() is reports
hooks = {name: [hook.__name__ for hook in hooks] for name, hooks in vars(HOOKS).items()}
print(json.dumps([reports, config_search_paths(), hooks]))
"""
GOOD = "def activate():\n    pass\n"


def loaded(site: Path) -> tuple[list[PluginReport], list[list[str]], dict[str, list[str]], str]:
    """Load the plugins in `site` in a process of its own; return reports, config folders, hooks and stderr."""
    child = subprocess.run(
        [sys.executable, "-c", SHOW],
        env={**os.environ, **path_with(site)},
        capture_output=True,
        text=True,
        check=True,
        cwd=site,
    )
    reports, folders, hooks = json.loads(child.stdout)
    return [PluginReport(*report) for report in reports], folders, hooks, child.stderr


def test_a_module_is_imported_and_a_callable_is_called(tmp_path: Path) -> None:
    install_plugin(tmp_path, "module", "p_module", {"p_module.py": "open('module.txt', 'w').close()"})
    called = "def start():\n    open('called.txt', 'w').close()\n"
    install_plugin(tmp_path, "call", "p_call:start", {"p_call.py": called}, version="2.0")
    reports, *_ = loaded(tmp_path)
    assert reports == [PluginReport("call", "mml-call", "2.0"), PluginReport("module", "mml-module", "1.2.3")]
    assert (tmp_path / "module.txt").exists()
    assert (tmp_path / "called.txt").exists()


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import no_such_module_1", "ModuleNotFoundError: No module named 'no_such_module_1'"),
        ("def activate(:", "SyntaxError: "),
        ("other = 1", "AttributeError: "),
        ("def activate():\n    raise ValueError('too\\nlong')", "ValueError: too"),
        ("def activate():\n    raise RuntimeError", "RuntimeError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def activate(needed):\n    pass", "TypeError: "),
    ],
)
def test_a_broken_plugin_is_reported_with_its_reason_and_the_others_work(tmp_path: Path, code: str, fault: str) -> None:
    install_plugin(tmp_path, "bad", "p_bad:activate", {"p_bad.py": code})
    install_plugin(tmp_path, "good", "p_good:activate", {"p_good.py": GOOD})
    (bad, good), *_ = loaded(tmp_path)
    assert bad.name == "bad"
    assert bad.fault is not None
    assert bad.fault.startswith(fault)
    assert "\n" not in bad.fault
    assert good == PluginReport("good", "mml-good", "1.2.3")


def test_a_plugin_adds_config_folders_and_hooks(tmp_path: Path) -> None:
    code = """
        from mml.core.scripts.plugins import HOOKS, add_config_search_path

        def greet(scheduler): ...

        add_config_search_path("pkg://p_more.configs")
        add_config_search_path("pkg://p_more/configs")
        HOOKS.before_run.append(greet)
    """
    install_plugin(tmp_path, "more", "p_more", {"p_more/__init__.py": code, "p_more/configs/__init__.py": ""})
    reports, folders, hooks, _ = loaded(tmp_path)
    assert broken_plugins(reports) == []
    assert folders == [["more", "pkg://p_more.configs"], ["more", "pkg://p_more/configs"]]
    assert hooks == {"after_scheduler_init": [], "before_run": ["greet"], "after_run": []}


def test_what_a_broken_plugin_registered_before_it_failed_is_taken_back(tmp_path: Path) -> None:
    half = """
        from mml.core.scripts.plugins import HOOKS, add_config_search_path
        HOOKS.after_run.append(print)
        add_config_search_path("pkg://json")
        raise OSError("half way")
    """
    install_plugin(tmp_path, "half", "p_half", {"p_half.py": half})
    (report,), folders, hooks, _ = loaded(tmp_path)
    assert report.fault == "OSError: half way"
    assert folders == []
    assert hooks["after_run"] == []


def test_a_config_folder_that_does_not_exist_is_the_plugins_fault(tmp_path: Path) -> None:
    code = "from mml.core.scripts.plugins import add_config_search_path as add\nadd('pkg://p_typo.confgs')"
    install_plugin(tmp_path, "typo", "p_typo", {"p_typo.py": code})
    (report,), *_ = loaded(tmp_path)
    assert report.fault is not None
    assert "no package 'p_typo.confgs' is installed" in report.fault


def test_what_a_plugin_prints_does_not_go_to_stdout(tmp_path: Path) -> None:
    install_plugin(tmp_path, "loud", "p_loud", {"p_loud.py": "print('hello')"})
    (report,), *_, stderr = loaded(tmp_path)  # stdout would not be JSON
    assert report.fault is None
    assert "hello" in stderr


def test_a_distribution_without_metadata_is_loaded_under_an_unknown_name(tmp_path: Path) -> None:
    install_plugin(tmp_path, "bare", "p_bare", {"p_bare.py": ""})
    next(tmp_path.glob("*.dist-info/METADATA")).unlink()
    (report,), *_ = loaded(tmp_path)
    assert str(report) == "plugin bare (unknown distribution of unknown version)"


def test_a_report_reads_as_a_sentence() -> None:
    assert str(PluginReport("a", "mml-a", "1.0")) == "plugin a (mml-a 1.0)"
    assert str(PluginReport("a", "mml-a", "1.0", "X: y")) == "plugin a (mml-a 1.0) is skipped: X: y"


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("pkg://no_such_package_1.configs", "no package 'no_such_package_1.configs' is installed"),
        ("pkg://", "no package '' is installed"),
        ("file:///no/such/folder", "there is no such folder"),
        ("configs", "it has to start with pkg:// or file://"),
    ],
)
def test_a_config_folder_that_can_not_be_read_is_refused(path: str, fault: str) -> None:
    with pytest.raises(MMLMisconfigurationException, match=fault):
        add_config_search_path(path)


def test_a_program_may_add_a_folder_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_FOLDERS", [])
    add_config_search_path(f"file://{tmp_path}")
    assert plugins.config_search_paths() == [("added by hand", f"file://{tmp_path}")]
