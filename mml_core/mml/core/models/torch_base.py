"""BaseModel: a backbone shared by tasks and one head per task; plain torch, whose weights are safetensors files."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mml.core.scripts.exceptions import MMLError
from mml.core.scripts.utils import atomic_save

_HEAD_PREFIX = "task_"
_BACKBONE = "backbone."


class BaseModel(nn.Module):
    """A backbone and, per task, a head. Subclasses build the backbone.

    An `arch` option has a `_target_` that makes one of these from `in_chans` (channels) and `image_size` (height and
    width in pixels) and its own keys. If it has a key `pretrained`, this is switched off whenever trained weights are
    loaded afterwards anyway.

    Args:
        backbone: maps images `[B, C, H, W]` to features `[B, F]`.
        num_features: F.
        channels_last: whether images are brought to the memory layout that is fastest for convolutions.
    """

    def __init__(self, backbone: nn.Module, num_features: int, *, channels_last: bool = True) -> None:
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.backbone = backbone.to(memory_format=self.memory_format)
        self.num_features = num_features
        self.heads = nn.ModuleDict()

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that have a head."""
        return [_task_of(key) for key in self.heads]

    def add_head(self, task: str, head: nn.Module) -> None:
        """Add, or replace, the head of a task: a module that maps features `[B, F]` to logits."""
        self.heads[_head_key(task)] = head

    def head(self, task: str) -> nn.Module:
        """Return the head of a task.

        Raises:
            KeyError: the task has none.
        """
        return self.heads[_head_key(task)]

    def forward_features(self, images: Tensor) -> Tensor:
        """Return features `[B, F]` of images `[B, C, H, W]`."""
        features: Tensor = self.backbone(images.contiguous(memory_format=self.memory_format))
        return features

    def forward(self, images: Tensor, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return task name -> logits.

        Args:
            images: `[B, C, H, W]`.
            tasks: the tasks wanted, all by default.
        """
        features = self.forward_features(images)
        return {task: self.head(task)(features) for task in (self.tasks if tasks is None else tasks)}

    def freeze_backbone(self) -> None:
        """Keep the backbone's parameters as they are; only heads learn."""
        self.backbone.requires_grad_(False)

    def unfreeze_backbone(self) -> None:
        """Let the backbone learn again."""
        self.backbone.requires_grad_(True)

    def count_parameters(self, *, only_trainable: bool = False) -> int:
        """Return the number of parameters (single weights)."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)

    def save_checkpoint(self, param_path: Path) -> None:
        """Write all weights to a safetensors file, atomically."""
        state: dict[str, Tensor] = {}
        written: set[int] = set()
        for name, value in self.state_dict().items():
            plain = value.detach().cpu().contiguous()
            # A weight that two modules share is written twice: safetensors stores no aliases.
            state[name] = plain.clone() if plain.data_ptr() in written else plain
            written.add(plain.data_ptr())
        atomic_save(param_path, lambda path: save_file(state, path, metadata={"format": "pt"}))

    def load_checkpoint(self, param_path: Path, *, backbone_only: bool = False) -> None:
        """Take the weights of a safetensors file.

        Args:
            param_path: a file that `save_checkpoint` wrote.
            backbone_only: leave the heads as they are, e.g. to go on with other tasks.

        Raises:
            MMLError: the file is missing or damaged, or belongs to another architecture.
        """
        state = load_weights(param_path)
        if backbone_only:
            state = {name: value for name, value in state.items() if name.startswith(_BACKBONE)}
            state |= {name: value for name, value in self.state_dict().items() if not name.startswith(_BACKBONE)}
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).partition("\n")[2].strip().partition("\n")[0]
            msg = f"Weights {param_path} do not fit this model: {reason} Use the arch and tasks of their training."
            raise MMLError(msg) from error


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return name -> weight of a safetensors file, on the CPU.

    Raises:
        MMLError: the file is missing or damaged.
    """
    if not path.is_file():
        msg = f"Weights {path} are missing. Train the model again, or take others with reuse.models=<project>."
        raise MMLError(msg)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        msg = f"Weights {path} can't be read: {error}. The file is damaged, or is no safetensors file."
        raise MMLError(msg) from error


def _head_key(task: str) -> str:
    # Module names have no dots, and bare task names could hide methods of ModuleDict, as 'keys' would.
    return _HEAD_PREFIX + task.replace(".", "%2E")


def _task_of(key: str) -> str:
    return key.removeprefix(_HEAD_PREFIX).replace("%2E", ".")
