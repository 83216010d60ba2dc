"""What must not be written down: URLs of notifications hold passwords and tokens."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

URLS = "notify.urls"
# Stands in a stored config for a URL that was given in plain text.
HIDDEN = "not kept"


def redacted(words: Iterable[str]) -> list[str]:
    """Return words of a command line, or overrides, without the URLs among them; those in variables are not there."""
    return [_redacted_word(word) for word in words]


def redact_config(cfg: "DictConfig", plain: Any) -> None:
    """Put references to variables, or a mark, in the place of URLs in a config that is to be stored.

    Args:
        cfg: the config, with its references.
        plain: the same as plain containers, resolved.
    """
    from omegaconf import OmegaConf  # who only reads command lines has no use for it

    if not isinstance(plain, dict) or OmegaConf.select(cfg, URLS, default=None, throw_on_missing=False) is None:
        return
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    plain["notify"]["urls"] = _redacted_urls(raw["notify"]["urls"])


def _redacted_word(word: str) -> str:
    key, equals, _ = word.partition("=")
    return f"{key}=['{HIDDEN}']" if equals and key.lstrip("+") == URLS and "${" not in word else word


def _redacted_urls(urls: Any) -> Any:
    if isinstance(urls, list):
        return [_redacted_urls(url) for url in urls]
    return urls if isinstance(urls, str) and "${" in urls else HIDDEN
