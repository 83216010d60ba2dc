"""`mml doctor`: what is wrong on a machine, and the command or setting that mends it.

It has to work where others don't: nothing here needs Hydra, torch or a plugin, and one failing check stops no other.
"""

from mml.doctor.command import run_doctor

__all__ = ["run_doctor"]
