"""The names of what lies in a run folder, for all who look into it; imports nothing, so that lists of runs are fast."""

RUNS_FOLDER = "runs"  # in a project; holds the run folders
JOURNAL_FILE = "journal.jsonl"
LOCK_FILE = "run.lock"
CONFIG_FILE = "config.yaml"
OVERRIDES_FILE = "overrides.yaml"
LOG_FILE = "exp.log"
ERRORS_FOLDER = "errors"
LIVE_FILE = "live.json"
WORKERS_FOLDER = "workers"  # a folder for each process that does steps for the run: its lock, log and live state
ATTEMPTS_FOLDER = "attempts"  # a folder for each attempt at a step in such a process, as long as it may go on
JOB_FILE = "job.json"  # in the folder of an attempt: how its runner finds it again
REPORT_FILE = "report.bin"  # there, too: what came of it, when it reports by a file
SLURM_FOLDER = "slurm"  # what jobs of Slurm leave: scripts, logs, and which of them worked on the run
