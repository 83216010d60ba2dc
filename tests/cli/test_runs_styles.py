from rich.style import Style

from mml.core.scripts.runs import STATES
from mml.report.quick_table import paint
from mml.runs_styles import STATE_STYLES


def test_every_state_has_a_style_that_both_kinds_of_tables_know() -> None:
    assert set(STATE_STYLES) == set(STATES)
    for style in STATE_STYLES.values():
        assert Style.parse(style)
        assert paint("x", style).startswith("\x1b[")
    assert len(set(STATE_STYLES.values())) == len(STATES)
