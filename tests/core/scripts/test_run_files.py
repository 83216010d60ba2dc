"""Names of run files are part of what users see: they stay."""

from mml.core.scripts import run_files


def test_names_stay_what_older_runs_have() -> None:
    names = {name: value for name, value in vars(run_files).items() if name.isupper()}
    assert names == {
        "RUNS_FOLDER": "runs",
        "JOURNAL_FILE": "journal.jsonl",
        "LOCK_FILE": "run.lock",
        "CONFIG_FILE": "config.yaml",
        "OVERRIDES_FILE": "overrides.yaml",
        "LOG_FILE": "exp.log",
        "ERRORS_FOLDER": "errors",
        "LIVE_FILE": "live.json",
        "WORKERS_FOLDER": "workers",
        "ATTEMPTS_FOLDER": "attempts",
        "JOB_FILE": "job.json",
        "REPORT_FILE": "report.bin",
        "SLURM_FOLDER": "slurm",
    }
