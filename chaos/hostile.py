"""Hostile input, given to the real command: archives, names, images, weights and records that want out of their place.

Each case ends with the right error, or harmlessly; nothing outside of its place is touched, and no code of it runs.
"""

import io
import os
import pickle
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from chaos import hostile_trained
from chaos.fuzz import canaries, make_world
from chaos.launchers import ForkServer, Launchers, World
from chaos.table import Options, Row

# Written by code that hides in an input, when it runs.
OWNED = "owned"
ERROR_CODES = (1, 2)
CREATE = ["create", "task=hostile", "logging.progress=false"]
_MEBI = 1 << 20


class Case(NamedTuple):
    """A hostile input.

    Attributes:
        name: what it is.
        prepare: writes it into a world.
        words: the command that meets it.
        harmless: whether the command may as well end well.
    """

    name: str
    prepare: Callable[[World], object]
    words: Sequence[str] = tuple(CREATE)
    harmless: bool = False


def later(function: Callable[..., object], *args: Any) -> Callable[[World], object]:
    """Return a function of a world that calls another one with it, and with these arguments."""
    return lambda world: function(world, *args)


# --- archives


def picture(seed: int = 0) -> bytes:
    """Return a small PNG."""
    buffer = io.BytesIO()
    Image.effect_noise((16, 16), 64 + seed % 64).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def good_files() -> dict[str, bytes]:
    """Return class folders that could become a task."""
    return {f"{name}/{number}.png": picture(number) for name in ("cat", "dog") for number in range(10)}


def _archive(world: World, name: str) -> Path:
    folder = world.data / "downloads" / "hostile"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _zip(world: World, files: dict[str, bytes], *, name: str = "a.zip", **fields: Any) -> Path:
    """Write a zip; `fields` are set on the last entry."""
    path = _archive(world, name)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number, (member, data) in enumerate(files.items(), start=1):
            info = zipfile.ZipInfo(member)
            for key, value in (fields if number == len(files) else {}).items():
                setattr(info, key, value)
            file.writestr(info, data)
    return path


def _tar(world: World, extra: Iterable[tarfile.TarInfo], name: str = "a.tar.gz") -> Path:
    path = _archive(world, name)
    mode: Any = "w:" if path.suffix == ".tar" else f"w:{path.suffix[1:]}"
    with tarfile.open(path, mode) as file:
        for member, data in good_files().items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        for info in extra:
            file.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = 1, 8
    return info


def _cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def _cut_zip(world: World, share: float) -> None:
    _cut(_zip(world, good_files()), share)


def _cut_tar(world: World, name: str, share: float) -> None:
    _cut(_tar(world, [], name), share)


def _encrypt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.rfind(mark) + offset] |= 1
    path.write_bytes(data)


def _overlap(path: Path) -> None:
    """Let all entries of a zip be the first one."""
    data = bytearray(path.read_bytes())
    place = data.find(b"PK\1\2")
    while place >= 0:
        data[place + 42 : place + 46] = bytes(4)
        place = data.find(b"PK\1\2", place + 4)
    path.write_bytes(data)


def _zeros(world: World, name: str, size: int) -> None:
    """Write an archive with a file of zeros, a thousand times smaller than that."""
    path = _archive(world, name)
    if path.suffix == ".zip":
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
            file.open("cat/0.png", "w", force_zip64=True) as entry,
        ):
            for _ in range(size // _MEBI):
                entry.write(bytes(_MEBI))
        return
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = _member("cat/0.png", size=size).tobuf() if name.endswith(".tar.gz") else b""
    with path.open("wb") as packed:
        packed.write(packer.compress(head))
        for _ in range(size // _MEBI):
            packed.write(packer.compress(bytes(_MEBI)))
        packed.write(packer.flush())


def _debian(world: World) -> None:
    root = world.root / "package"
    (root / "DEBIAN").mkdir(parents=True)
    fields = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n"
    (root / "DEBIAN" / "control").write_text(fields)
    (root / "cat").symlink_to(world.root)
    (root / "dog").mkdir()
    (root / "dog" / "0.png").write_bytes(picture())
    command = ["dpkg-deb", "-b", str(root), str(_archive(world, "a.deb"))]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(root)


def archive_cases(world_root: Path, size: int) -> list[Case]:
    """Return hostile archives.

    Args:
        world_root: a folder that absolute names may lead to.
        size: bytes that bombs grow to.
    """
    outside = {
        "..": "../../../../escaped",
        "an absolute name": f"{world_root}/escaped",
        "a Windows path": "..\\..\\escaped",
    }
    cases = [Case(f"zip with {what}", later(_zip, good_files() | {name: b"x"})) for what, name in outside.items()]
    cases += [
        Case(f"{kind} with {what}", later(_tar, [_member(name)], f"a.{kind}"))
        for what, name in outside.items()
        for kind in ("tar", "tar.gz", "tar.bz2", "tar.xz")
    ]
    links = {
        "a link to a folder outside, and a file through it": [
            _member("cat/out", tarfile.SYMTYPE, str(world_root)),
            _member("cat/out/escaped"),
        ],
        "a relative link outside": [_member("cat/out", tarfile.SYMTYPE, "../../../../..")],
        "a hard link outside": [_member("cat/out", tarfile.LNKTYPE, "../../../../../precious")],
        "a device": [_member("cat/device.png", tarfile.CHRTYPE)],
        "a pipe": [_member("cat/pipe.png", tarfile.FIFOTYPE)],
    }
    cases += [Case(f"tar with {what}", later(_tar, extra)) for what, extra in links.items()]
    cases.append(
        Case(
            "zip with a link",
            lambda world: _zip(world, good_files() | {"cat/out": b"/etc"}, external_attr=0o120777 << 16),
        )
    )
    cases.append(Case("zip that is encrypted", lambda world: _encrypt(_zip(world, good_files()))))
    cases.append(Case("zip whose entries overlap", lambda world: _overlap(_zip(world, good_files()))))
    cases.append(
        Case("zip with a file and a folder of one name", lambda world: _zip(world, {"cat": b"", "cat/0.png": b""}))
    )
    for share in (0.1, 0.5, 0.9, 0.99):
        cases.append(Case(f"zip cut to {share:.0%}", later(_cut_zip, share)))
        for kind in ("tar", "tar.gz", "tar.bz2", "tar.xz"):
            cases.append(
                Case(
                    f"{kind} cut to {share:.0%}",
                    later(_cut_tar, f"a.{kind}", share),
                    harmless=kind == "tar" and share >= 0.9,  # what is missing are empty blocks
                )
            )
    cases += [Case(f"bomb, {name}", later(_zeros, name, size)) for name in ("a.zip", "a.tar.gz")]
    cases.append(Case("bomb, a.gz", later(_zeros, "a.gz", 2 * size)))
    if shutil.which("dpkg-deb"):
        cases.append(Case("Debian package with a link outside", _debian))
    return cases


# --- names, manifests, images


def _manifest(world: World, rows: Sequence[str]) -> None:
    folder = world.root / "source"
    for name, data in good_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    shutil.copy(folder / "cat" / "0.png", world.root / "secret.png")
    plain = [f"{name},{name[:3]},{name[:-4]}" for name in good_files()]
    (folder / "manifest.csv").write_text("\n".join(["image,label,id", *plain, *rows]) + "\n")


def _source(*words: str) -> list[str]:
    return ["create", "task=mine", "mode.source=source", "logging.progress=false", *words]


def _image_source(world: World, name: str, data: bytes) -> None:
    for place, content in (good_files() | {name: data}).items():
        path = world.root / "source" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _bomb_png(side: int) -> bytes:
    """Return a PNG that says to be far larger than it is."""
    data = bytearray(picture())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def _odd_entry(world: World, make: Callable[[Path], object]) -> None:
    _image_source(world, "cat/10.png", picture())
    make(world.root / "source" / "dog" / "odd.png")


def name_cases(world_root: Path) -> list[Case]:
    """Return hostile names, manifests and images."""
    names = [
        "../escaped",
        "a/../../escaped",
        str(world_root / "escaped"),
        "..",
        ".",
        "PROJ_PATH",
        "a/b",
        "-x",
        "x" * 300,
    ]
    nothing = lambda _: None  # noqa: E731
    cases = [Case(f"task {name[:20]}", nothing, ["create", f"task='{name}'"]) for name in names]
    cases += [Case(f"training of task {name[:20]}", nothing, ["train", f"task='{name}'"]) for name in names[:3]]
    cases += [Case(f"project {name[:20]}", nothing, ["train", "task=x", f"proj='{name}'"]) for name in names[:5]]
    cases += [Case(f"run {name[:20]}", nothing, ["continue", name]) for name in names[:5]]
    rows = {
        "an image above its folder": "../secret.png,cat,x",
        "an image far above its folder": "../../../../../../etc/passwd,cat,x",
        "a device": "/dev/zero,cat,x",
        "a zero byte": "cat/a\0b.png,cat,x",
    }
    cases += [Case(f"manifest with {what}", later(_manifest, [row]), _source()) for what, row in rows.items()]
    marks = {"an id": "cat/0.png,cat,../../../escaped", "a label": "cat/0.png,../../../escaped,y"}
    cases += [
        Case(
            f"manifest with {what} that leads elsewhere",
            later(_replace_row, row),
            _source(),
            harmless=True,  # it is a text, and no file is called so
        )
        for what, row in marks.items()
    ]
    images = {
        "of 60,000 pixels a side": _bomb_png(60_000),
        "of 2,000,000,000 pixels a side": _bomb_png(2_000_000_000),
        "cut short": picture()[:60],
        "of noise": random.Random(1).randbytes(2000),
        "that is a pickle": pickle.dumps(Code("/nowhere")),
    }
    cases += [
        Case(f"image {what}", later(_image_source, "cat/x.png", data), _source()) for what, data in images.items()
    ]
    odd: dict[str, Callable[[Path], object]] = {
        "a pipe": os.mkfifo,
        "a link to a device": lambda path: path.symlink_to("/dev/zero"),
        "a link to itself": lambda path: path.symlink_to(path),
        "a link to nothing": lambda path: path.symlink_to("/nowhere"),
    }
    cases += [Case(f"class folder with {what}", later(_odd_entry, make), _source()) for what, make in odd.items()]
    cases.append(
        Case("class folder with a link to its parent", lambda world: _odd_entry(world, _loop), _source(), harmless=True)
    )
    return cases


def _loop(path: Path) -> None:
    path.with_suffix("").symlink_to(path.parent.parent)


def _replace_row(world: World, row: str) -> None:
    _manifest(world, [])
    path = world.root / "source" / "manifest.csv"
    path.write_text(path.read_text().replace("cat/0.png,cat,cat/0", row))


class Code:
    """Becomes a file when it is unpickled.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.path,)  # noqa: PTH102 # pickled by its name


# --- trying


def try_case(server: ForkServer, folder: Path, case: Case, start: Path | None = None) -> str | None:
    """Try a case in a world of its own; return what went wrong, None when nothing did.

    Args:
        server: runs commands.
        folder: of the world; removed when nothing went wrong.
        case: what to try.
        start: a world to begin with a copy of.
    """
    world = make_world(folder) if start is None else hostile_trained.copied(start, folder)
    case.prepare(world)
    before = canaries(world.root)
    ended = server.run(world, list(case.words))
    said = world.output.read_text(errors="replace") if world.output.exists() else ""
    fault = verdict(ended.code, said, harmless=case.harmless, hung=ended.hung)
    if (world.root / OWNED).exists():
        fault = "code of the input was run"
    elif canaries(world.root) != before:
        fault = f"files outside were touched: {sorted(canaries(world.root).keys() ^ before.keys())}"
    if fault is None:
        shutil.rmtree(world.root)
        return None
    (world.root / "loss.txt").write_text(f"{case.name}: mml {' '.join(case.words)}\n{fault}\n{said}")
    return fault


def verdict(code: int, said: str, *, harmless: bool, hung: bool) -> str | None:
    """Return what is wrong with how a command ended, None when nothing is."""
    if hung:
        return "hangs"
    if "Traceback (most recent call last)" in said:
        return "ends with a traceback"
    if code == 0:
        return None if harmless else "took it"
    if code not in ERROR_CODES:
        return f"ends with code {code}"
    return None if "Error: " in said else "ends without an error that says what is wrong"


def run(options: Options) -> list[Row]:
    """Try archives, names, manifests, images, weights and records."""
    inside = options.folder / "outside"
    size = 1100 * _MEBI  # a little more than any archive may grow to
    groups = {
        "archives": archive_cases(inside, size),
        "names, manifests and images": name_cases(inside),
    }
    inside.mkdir()
    with Launchers(lambda: ForkServer(light=options.quick)) as launchers, launchers.one() as server:
        assert isinstance(server, ForkServer)
        rows = [_row(server, options, what, _some(cases, options)) for what, cases in groups.items()]
        if not options.quick:
            start = hostile_trained.trained_world(server, options.folder / "trained")
            cases = [Case(*case) for case in hostile_trained.cases(OWNED)]
            rows.append(_row(server, options, "weights, records and settings", cases, start))
    if left := list(inside.iterdir()):
        rows.append(Row("files outside", len(left), 0, 0, 0, ", ".join(path.name for path in left)))
    return rows


def _some(cases: list[Case], options: Options) -> list[Case]:
    if not options.quick:
        return cases
    return random.Random(options.seed).sample(cases, min(len(cases), options.points or 8))


def _row(server: ForkServer, options: Options, what: str, cases: Sequence[Case], start: Path | None = None) -> Row:
    faults = {}
    for number, case in enumerate(cases):
        if fault := try_case(server, options.folder / f"{what.split(',')[0]}-{number}", case, start):
            faults[case.name] = fault
    note = "; ".join(f"{name}: {fault}" for name, fault in list(faults.items())[:3])
    return Row(
        f"hostile {what}",
        len(cases),
        len(cases) - len(faults),
        0,
        0,
        note or "each ends with a clear error, or harmlessly",
    )
