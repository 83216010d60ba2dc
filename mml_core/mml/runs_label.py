"""`mml runs label`: what people call a run."""

import argparse

from mml.core.scripts.exceptions import MMLMisconfigurationException
from mml.core.scripts.run_labels import read_labels, set_label
from mml.report.tables import show
from mml.runs_choice import LATEST, choose
from mml.runs_words import results_root

LONGEST = 60  # characters


def label_command(given: argparse.Namespace) -> int:
    """Give a run a label, take it away or show it, and return the exit code.

    Raises:
        MMLMisconfigurationException: no run is meant, or several, or no label can be like this.
    """
    root = results_root(given.out_dir)
    info = choose(given.run, root, given.project)
    label = " ".join(" ".join(given.text).split())
    before = read_labels(root / info.project).get(info.name)
    if fault := _fault(label, remove=given.remove):
        raise MMLMisconfigurationException(fault)
    if given.remove:
        set_label(root / info.project, info.name, None)
        show(
            f"Run {info.name} has no label any more; it was '{before}'." if before else f"Run {info.name} had no label."
        )
    elif label:
        set_label(root / info.project, info.name, label)
        show(f"Run {info.name} is labelled '{label}'" + (f", no longer '{before}'." if before else "."))
    else:
        show(f"Run {info.name} is labelled '{before}'." if before else f"Run {info.name} has no label.")
    return 0


def _fault(label: str, *, remove: bool) -> str:
    if remove and label:
        return f"--remove takes the label away; leave '{label}' out."
    if len(label) > LONGEST:
        return f"A label has at most {LONGEST} characters, this one {len(label)}."
    if label == LATEST or "/" in label:
        return f"'{label}' can't be a label: it stands for another run. Choose another text, without '/'."
    return ""
