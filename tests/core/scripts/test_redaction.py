"""URLs of notifications are nowhere in what a run writes down."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mml.core.scripts.redaction import redact_config, redacted


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("notify.urls=[json://me:secret@host]", "notify.urls=['not kept']"),
        ("++notify.urls=json://secret", "++notify.urls=['not kept']"),
        ("notify.urls=", "notify.urls=['not kept']"),
        ("notify.urls=[tgram://${oc.env:TOKEN}/1]", "notify.urls=[tgram://${oc.env:TOKEN}/1]"),
        ("notify.on=[start]", "notify.on=[start]"),
        ("task=digits", "task=digits"),
        ("--multirun", "--multirun"),
        ("notify.urls", "notify.urls"),
    ],
)
def test_words_are_kept_without_urls(word: str, kept: str) -> None:
    assert redacted(["mml", word]) == ["mml", kept]


@pytest.mark.parametrize(
    ("urls", "kept"),
    [
        (["json://secret", "tgram://${oc.env:POLICY_TOKEN}/1"], ["not kept", "tgram://${oc.env:POLICY_TOKEN}/1"]),
        ("json://secret", "not kept"),
        ("${oc.env:POLICY_TOKEN}", "${oc.env:POLICY_TOKEN}"),
        ([], []),
        (None, None),
    ],
)
def test_config_is_kept_without_urls(urls: Any, kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_TOKEN", "of-a-bot")
    cfg = OmegaConf.create({"notify": {"urls": urls, "on": ["start"]}, "seed": 1})
    plain = OmegaConf.to_container(cfg, resolve=True)
    redact_config(cfg, plain)
    assert plain == {"notify": {"urls": kept, "on": ["start"]}, "seed": 1}


def test_config_without_notifications_stays_as_it_is(tmp_path: Path) -> None:
    cfg = OmegaConf.create({"seed": 1})
    plain = OmegaConf.to_container(cfg)
    redact_config(cfg, plain)
    redact_config(cfg, None)
    assert plain == {"seed": 1}
