"""The names of what lies in a run folder, for all who look into it; imports nothing, so that lists of runs are fast."""

RUNS_FOLDER = "runs"  # in a project; holds the run folders
JOURNAL_FILE = "journal.jsonl"
LOCK_FILE = "run.lock"
CONFIG_FILE = "config.yaml"
OVERRIDES_FILE = "overrides.yaml"
LOG_FILE = "exp.log"
ERRORS_FOLDER = "errors"
LIVE_FILE = "live.json"
