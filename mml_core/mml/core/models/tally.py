"""Tally: what training counts batch by batch, without ever waiting for the device in between."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mml.core.scripts.exceptions import MMLError

# The losses are looked at after this many batches at the latest: every look waits for the device.
CHECK_EVERY = 64


class Tally:
    """Losses, and hits of a classification, of one task over one epoch."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._sizes: list[int] = []
        self._checked = 0

    def add(self, loss: Tensor, size: int) -> None:
        """Take a batch into account.

        Args:
            loss: mean over the batch, a scalar.
            size: samples in the batch.
        """
        self._losses.append(loss.detach())
        self._sizes.append(size)

    def add_hits(self, logits: Tensor, target: Tensor) -> None:
        """Count how many of a batch are right.

        Args:
            logits: `[B, K]`.
            target: class indices `[B]`.
        """
        self._hits.append((logits.detach().argmax(dim=1) == target).sum())

    def check_finite(self, task: str, epoch: int, *, now: bool = False) -> None:
        """Stop a training whose loss has become NaN or infinite; looks only now and then unless told to.

        Args:
            task: for the message.
            epoch: for the message, from 0.
            now: look at all batches that nobody has looked at yet.

        Raises:
            MMLError: names epoch and batch, from 0, and what helps.
        """
        fresh = self._losses[self._checked :]
        if not fresh or (len(fresh) < CHECK_EVERY and not now):
            return
        finite = torch.isfinite(torch.stack(fresh)).tolist()
        if not all(finite):
            batch = self._checked + finite.index(False)
            msg = (
                f"The training loss of task '{task}' became {float(self._losses[batch])} in epoch {epoch}, batch "
                f"{batch}, counted from 0. Mostly the learning rate is too high: lower optimizer.lr, or set "
                "trainer.gradient_clip_val=1, or trainer.precision=32-true. If it is the very first batch, look for "
                "odd values among images and labels."
            )
            raise MMLError(msg)
        self._checked = len(self._losses)

    def state_dict(self) -> dict[str, Any]:
        """Return all counts."""
        return {"losses": stacked(self._losses), "hits": stacked(self._hits), "sizes": list(self._sizes)}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take over counts, on a device."""
        for name, values in (("losses", self._losses), ("hits", self._hits)):
            found = state[name]
            values[:] = [] if found is None else list(found.to(device))
        self._sizes[:] = state["sizes"]
        self._checked = 0

    def means(self) -> dict[str, float]:
        """Return the mean loss per sample and, if hits were counted, the accuracy; empty without a batch."""
        if not self._losses:
            return {}
        sizes = torch.tensor(self._sizes, dtype=torch.float64)
        losses = torch.stack(self._losses).to("cpu", torch.float64)
        found = {"loss": float((losses * sizes).sum() / sizes.sum())}
        if self._hits:
            found["accuracy"] = float(torch.stack(self._hits).sum()) / float(sizes.sum())
        return found


def stacked(values: list[Tensor]) -> Tensor | None:
    """Return scalars as one tensor, None without any."""
    return torch.stack(values) if values else None
