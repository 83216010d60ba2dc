"""The colours in which states of runs are shown, everywhere the same."""

from mml.core.scripts.runs import CRASHED, DAMAGED, DETACHED, FAILED, FINISHED, INTERRUPTED, RUNNING

STATE_STYLES = {
    RUNNING: "bold blue",
    DETACHED: "blue",
    INTERRUPTED: "yellow",
    CRASHED: "magenta",
    FAILED: "red",
    FINISHED: "green",
    DAMAGED: "bold red",
}
