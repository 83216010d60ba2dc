"""A world with a small trained model, and what can be put in the place of its weights, records and settings."""

import json
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaos.launchers import ForkServer, World

TASK = "small"
QUICK = [
    "logging.progress=false",
    "logging.tensorboard=false",
    "arch.width=4",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "sampling.num_workers=0",
]
TRAIN = ["train", f"task={TASK}", *QUICK]
# A later run that goes on with the model of the first.
TEST = [*TRAIN, "proj=later", "reuse.models=default", "mode.subroutines=[test]"]
_PICKLE_CODE = "cposix\nmkdir\n(V{}\ntR."  # a pickle by hand: makes a folder when it is read
_YAML_CODE = "!!python/object/apply:os.mkdir ['{}']"


def copied(start: Path, folder: Path) -> World:
    """Return a copy of a world."""
    shutil.copytree(start, folder, symlinks=True)
    return World(folder)


def trained_world(server: ForkServer, folder: Path) -> Path:
    """Make a world with a task and a trained model, and return its folder.

    Raises:
        RuntimeError: the command fails.
    """
    from chaos.fuzz import make_world  # knows the precious files
    from chaos.hostile import good_files

    world = make_world(folder)
    for name, data in good_files().items():
        path = world.root / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for words in (["create", f"task={TASK}", "mode.source=source", "mode.folds=2", "logging.progress=false"], TRAIN):
        if server.run(world, words).code:
            raise RuntimeError(world.output.read_text())
    world.output.unlink()
    return folder


def one(folder: Path, pattern: str) -> Path:
    """Return the only file of a pattern."""
    (found,) = (path for path in folder.rglob(pattern) if ".claims" not in path.parts)
    return found


def _code(world: World, owned: str) -> bytes:
    return _PICKLE_CODE.format(world.root / owned).encode()


def _torch_file(path: Path, world: World, owned: str) -> None:
    """Write a file as torch does, whose pickle makes a folder."""
    import zipfile

    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", _code(world, owned))
        file.writestr("archive/version", "3\n")


def _edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _journal(world: World, event: dict[str, Any]) -> None:
    """Let the journal of the run end before its end, with one more event that has a fitting checksum."""
    path = one(world.results, "*_train/journal.jsonl")
    lines = [line for line in path.read_bytes().splitlines() if b'"event":"fin' not in line]
    body = json.dumps({"time": 1.7e9, **event}, separators=(",", ":")).encode()[:-1]
    lines.append(b'%s,"crc":"%08x"}' % (body, zlib.crc32(body)))
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def _victim(world: World, event: dict[str, Any], path: str) -> None:
    """Announce a path that a run has not made, as if it were the half-written file of a killed step."""
    run = one(world.results, "*_train/journal.jsonl").parent.name
    _journal(world, event | {"path": path.format(root=world.root, run=run)})


def weights(w: World) -> Path:
    """Return the file of the weights of the trained model, task or run."""
    return one(w.results, "*.safetensors")


def record(w: World) -> Path:
    """Return the file of the record of the trained model, task or run."""
    return one(w.results / "default" / "MODELS", "*.json")


def task(w: World) -> Path:
    """Return the file of the task of the trained model, task or run."""
    return w.data / "tasks" / TASK / "task.json"


def config(w: World) -> Path:
    """Return the file of the config of the trained model, task or run."""
    return one(w.results, "*_train/config.yaml")


def pipeline(w: World) -> Path:
    """Return the file of the pipeline of the trained model, task or run."""
    return one(w.results, "pipeline*.yaml")


def _announcing(event: dict[str, Any], path: str) -> Callable[[World], object]:
    return lambda world: _victim(world, event, path)


def cases(owned: str) -> list[tuple[str, Callable[[World], object], Sequence[str], bool]]:
    """Return name, preparation, command, and whether it may end well.

    Args:
        owned: name of the folder that code in an input makes when it runs.
    """
    announced = {"event": "path", "key": "temp", "hook": "finishing"}
    victims = {
        "above its root": "../precious",
        "an absolute one": "{root}/precious",
        "of another project": "precious",
        "of its own project": "default/precious",
        "out of its temporary folder": "default/runs/{run}/temp/../../../precious",
        "out of the data": "data:../precious",
    }
    found: list[tuple[str, Callable[[World], object], Sequence[str], bool]] = [
        (f"journal with a path {what}", _announcing(announced, path), ["continue", "latest"], True)
        for what, path in victims.items()
    ]
    checkpoint = [*TRAIN, "proj=other", "arch=timm", "arch.name=resnet10t", "arch.checkpoint=evil.pt"]
    checkpoint = [word for word in checkpoint if not word.startswith("arch.width")]
    found += [
        ("pickle in the place of weights", lambda w: weights(w).write_bytes(_code(w, owned)), TEST, False),
        ("torch's file in the place of weights", lambda w: _torch_file(weights(w), w, owned), TEST, False),
        ("pickle as arch.checkpoint", lambda w: (w.root / "evil.pt").write_bytes(_code(w, owned)), checkpoint, False),
        ("torch's file as arch.checkpoint", lambda w: _torch_file(w.root / "evil.pt", w, owned), checkpoint, False),
        ("model whose weights lie above the root", lambda w: _edit(record(w), parameters="../../x"), TEST, False),
        ("model whose weights are a device", lambda w: _edit(record(w), parameters="/dev/zero"), TEST, False),
        ("model whose pipeline is elsewhere", lambda w: _edit(record(w), pipeline="../../etc/passwd"), TEST, False),
        ("task whose name leads elsewhere", lambda w: _edit(task(w), name="../escaped"), TRAIN, False),
        ("task whose image lies elsewhere", _image_elsewhere, TRAIN, False),
        ("code in the pipeline", lambda w: pipeline(w).write_text(_yaml(w, owned)), TEST, False),
        ("code in the config of a run", lambda w: _interrupted(w, config(w), owned), ["continue", "latest"], False),
        (
            "code in a config of one's own",
            lambda w: _own_config(w, owned),
            ["train", "--config-dir", "own", "arch=evil"],
            False,
        ),
        ("settings that are noise", lambda w: (w.root / "mml.env").write_bytes(os.urandom(200)), ["info"], False),
    ]
    return found


def _yaml(world: World, owned: str) -> str:
    return f"arch: {_YAML_CODE.format(world.root / owned)}\n"


def _interrupted(world: World, config: Path, owned: str) -> None:
    _journal(world, {"event": "interrupted", "step": None, "signal": "SIGTERM"})
    config.write_text(config.read_text() + _yaml(world, owned).replace("arch:", "evil:"))


def _own_config(world: World, owned: str) -> None:
    (world.root / "own" / "arch").mkdir(parents=True)
    (world.root / "own" / "arch" / "evil.yaml").write_text(f"# x\nx: {_YAML_CODE.format(world.root / owned)}\n")


def _image_elsewhere(world: World) -> None:
    path = world.data / "tasks" / TASK / "task.json"
    said = json.loads(path.read_text())
    for sample in said["train_samples"].values():
        sample["image"] = "../../../source/cat/0.png"
    path.write_text(json.dumps(said))
