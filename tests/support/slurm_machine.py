"""A real Slurm on this machine, for tests: munge, slurmdbd, slurmctld and slurmd with sockets, ports and folders of
their own, so that it is independent of any other Slurm here. Debian's packages are installed when they are missing.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

PACKAGES = ("slurm-wlm", "munge", "slurmdbd", "mariadb-server")
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
CPUS, MEMORY_MB = 8, 8000
# More than the machine has: Slurm is told to believe it, and the jobs of tests mostly wait.
SLURM_CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ctld}
SlurmdPort={d}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations,limits,qos
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
SlurmdTimeout=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
DefMemPerCPU=200
KillWait=5
MessageTimeout=4
MinJobAge=3600
PropagateResourceLimits=NONE
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=60 State=UP PriorityTier=9 PreemptMode=OFF
PartitionName=short Nodes={host} MaxTime=5 State=UP PriorityTier=1
PartitionName=closed Nodes={host} State=DOWN PriorityTier=1
"""
SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""


class NoSlurmError(RuntimeError):
    """A Slurm can't be had on this system; says why."""


class Machine(NamedTuple):
    """A Slurm that runs.

    Attributes:
        folder: where all that it writes lies.
        cpus: that jobs can get.
        memory_mb: that jobs can get.
    """

    folder: Path
    cpus: int = CPUS
    memory_mb: int = MEMORY_MB

    @property
    def env(self) -> dict[str, str]:
        """What the commands of Slurm need to find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str, check: bool = True) -> str:
        """Return what a command of Slurm prints."""
        return _run(*command, env=self.env, check=check).stdout

    def state(self, job: str) -> str:
        """Return the state of a job, "" when it is not known any more."""
        return self.ask("squeue", "-h", "-t", "all", "-r", "-o", "%T", "-j", job, check=False).partition("\n")[0]

    def release(self, job: str) -> None:
        """Let a job that was requeued start soon; Slurm would hold it for two minutes.

        Not in the second in which it was requeued: its machine does not tell the new start from the revoked one then.
        """
        self.ask("scontrol", "update", f"jobid={job}", "StartTime=now+2", check=False)

    def stop(self, daemon: str, signum: int = signal.SIGKILL) -> None:
        """Kill a daemon."""
        _kill(self.folder, daemon, signum)

    def start(self, daemon: str) -> None:
        """Start a daemon that was stopped, and wait until it is there."""
        _start(self.folder, daemon)
        if daemon == "slurmctld":
            self.ask("scontrol", "reconfigure")  # has slurmd report at once

    def cancel_all(self) -> None:
        """Cancel all jobs, and wait until they are over."""
        self.ask("scancel", "--user=root", check=False)
        _wait_for(lambda: not self.ask("squeue", "-h", check=False).strip(), "the jobs to end")


@contextmanager
def slurm_machine(shared: Path) -> Iterator[Machine]:
    """Run a Slurm that processes share which name the same folder: the first starts it, the last takes it down.

    Raises:
        NoSlurmError: it can't be had here.
    """
    notes, lock = shared / "slurm-machine.json", FileLock(shared / "slurm-machine.lock")
    with lock:
        said = json.loads(notes.read_text()) if notes.exists() else {"folder": None, "users": []}
        users = [pid for pid in said["users"] if Path(f"/proc/{pid}").exists()]
        folder = Path(said["folder"]) if said["folder"] else _new_machine()
        notes.write_text(json.dumps({"folder": str(folder), "users": [*users, os.getpid()]}))
    try:
        yield Machine(folder)
    finally:
        with lock:
            said = json.loads(notes.read_text())
            users = [pid for pid in said["users"] if pid != os.getpid() and Path(f"/proc/{pid}").exists()]
            notes.write_text(json.dumps({"folder": said["folder"] if users else None, "users": users}))
            if not users:
                take_down(folder)


def _new_machine() -> Path:
    provide_packages()
    folder = Path(tempfile.mkdtemp(prefix="mml-slurm-", dir="/tmp"))  # sockets want short paths
    try:
        _configure(folder)
        for daemon in DAEMONS:
            _start(folder, daemon)
            if daemon == "slurmdbd":
                _open_accounts(folder)
    except BaseException:
        take_down(folder)
        raise
    return folder


def provide_packages() -> None:
    """Install what is missing.

    Raises:
        NoSlurmError: it can't be installed here.
        subprocess.CalledProcessError: apt-get failed.
    """
    if all(_program(name) for name in (*DAEMONS, "sbatch", "sacctmgr")):
        return
    if os.getuid():
        msg = "a Slurm is set up by root only"
        raise NoSlurmError(msg)
    if shutil.which("apt-get") is None:
        msg = f"apt-get is needed to install {', '.join(PACKAGES)}, and this system has none"
        raise NoSlurmError(msg)
    with FileLock(Path(tempfile.gettempdir()) / "mml-tests-apt.lock"):
        install = ("apt-get", "-qq", "-y", "--no-install-recommends", "install", *PACKAGES)
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        if _run(*install, env=quiet, check=False).returncode:
            _run("apt-get", "-qq", "update")
            _run(*install, env=quiet)


def take_down(folder: Path) -> None:
    """End all that was started in a folder, jobs included, and remove it."""
    machine = Machine(folder)
    if (folder / "slurm.conf").exists():
        with suppress(OSError, AssertionError):
            machine.cancel_all()
    for daemon in reversed(DAEMONS):
        _kill(folder, daemon, signal.SIGTERM)
    for pid in _using(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _using(folder: Path) -> list[int]:
    """Return the processes whose environment names this Slurm, e.g. those that still look after a job."""
    mark, found = f"SLURM_CONF={folder / 'slurm.conf'}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def _configure(folder: Path) -> None:
    ports = dict(zip(("ctld", "d", "dbd", "sql"), _free_ports(4), strict=True))
    names = {"folder": folder, "host": socket.gethostname().partition(".")[0], "cpus": CPUS, "memory": MEMORY_MB}
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**names, **ports))
    for number in range(2):
        (folder / f"gpu{number}").touch()  # stands for a device
    (folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={folder}/gpu[0-1]\n")
    (folder / "ports.json").write_text(json.dumps(ports))
    (folder / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**names, **ports))
    (folder / "slurmdbd.conf").chmod(0o600)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    folder.chmod(0o755)  # munge wants its folders to be open to all


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


def _start(folder: Path, daemon: str) -> None:
    env = Machine(folder).env
    if daemon == "mariadbd":
        _start_database(folder)
    elif daemon == "munged":
        options = ("socket=munge.socket", "key-file=munge.key", "pid-file=munged.pid", "log-file=munged.log")
        paths = (f"--{name}={folder / file}" for name, file in (option.split("=") for option in options))
        _run(_program("munged"), "--force", *paths, f"--seed-file={folder / 'munged.seed'}")
    else:
        _run(_program(daemon), env=env)
    if daemon in _READY:
        _wait_for(lambda: _READY[daemon](folder), f"{daemon} in {folder}", log=folder / f"{daemon}.log")


def _start_database(folder: Path) -> None:
    data, ports = folder / "sql", json.loads((folder / "ports.json").read_text())
    common = (f"--datadir={data}", "--user=root")
    if not data.exists():
        _run("mariadb-install-db", "--no-defaults", *common, "--auth-root-authentication-method=normal")
    options = (
        f"--socket={folder}/sql.socket",
        f"--pid-file={folder}/mariadbd.pid",
        f"--port={ports['sql']}",
        "--bind-address=127.0.0.1",
        "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=16M",
        "--innodb-lock-wait-timeout=900",
        "--innodb-flush-log-at-trx-commit=0",
    )
    command = [_program("mariadbd"), "--no-defaults", *common, *options]
    # A shell between, so that the database is nobody's child.
    _run("sh", "-c", f'setsid "$@" >{folder}/mariadbd.log 2>&1 </dev/null &', "sh", *command)
    _wait_for(lambda: _sql(folder, "select 1").returncode == 0, f"the database in {folder}")
    for host in ("localhost", "127.0.0.1"):
        text = f"create user slurm@{host} identified by 'slurm'; grant all on slurm_acct_db.* to slurm@{host}"
        assert _sql(folder, f"create database if not exists slurm_acct_db; {text}").returncode == 0


def _sql(folder: Path, text: str) -> "subprocess.CompletedProcess[str]":
    return _run("mariadb", "--no-defaults", "-uroot", "-S", str(folder / "sql.socket"), "-e", text, check=False)


def _open_accounts(folder: Path) -> None:
    """Make the cluster and an account for the user of the tests known, so that jobs are allowed."""
    ask = Machine(folder).ask
    ask("sacctmgr", "-i", "add", "cluster", "tests")
    ask("sacctmgr", "-i", "add", "account", "science", "cluster=tests")
    ask("sacctmgr", "-i", "modify", "user", "root", "set", "DefaultAccount=root", check=False)
    ask("sacctmgr", "-i", "add", "user", "root", "account=science", check=False)


def _said(folder: Path, *command: str) -> str:
    done = _run(*command, env=Machine(folder).env, check=False)
    return done.stdout if done.returncode == 0 else ""


_READY: dict[str, Callable[[Path], Any]] = {
    "slurmdbd": lambda folder: (
        _run("sacctmgr", "-n", "list", "cluster", env=Machine(folder).env, check=False).returncode == 0
    ),
    "slurmctld": lambda folder: "UP" in _said(folder, "scontrol", "ping"),
    "slurmd": lambda folder: any(
        word in _said(folder, "sinfo", "-h", "-o", "%T") for word in ("idle", "mixed", "alloc")
    ),
}


def _kill(folder: Path, daemon: str, signum: int) -> None:
    """End a daemon by its number, and wait until it is gone."""
    path = folder / f"{daemon}.pid"
    try:
        pid = int(path.read_text())
        os.kill(pid, signum)
    except (OSError, ValueError):
        return
    with suppress(AssertionError):
        _wait_for(lambda: not _alive(pid), f"{daemon} to end", seconds=10)
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _program(name: str) -> str:
    """Return the path of a program, "" if there is none; daemons lie where only root looks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin") or ""


def _wait_for(ready: Callable[[], object], what: str, seconds: float = 60, log: Path | None = None) -> None:
    end = time.monotonic() + seconds
    while not ready():
        said = log.read_text()[-2000:] if log and time.monotonic() > end else ""
        assert time.monotonic() < end, f"waited {seconds} s for {what}: {said}"
        time.sleep(0.1)


def _run(*command: str, env: Mapping[str, str] | None = None, check: bool = True) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if check and done.returncode:
        msg = f"{' '.join(command)} failed: {done.stderr or done.stdout}"
        raise RuntimeError(msg)
    return done
