"""What Slurm's words for the states of jobs mean, and what a user can do about them. Pure values."""

_ACTIVE = (
    "PENDING RUNNING COMPLETING CONFIGURING SUSPENDED STOPPED STAGE_OUT SIGNALING RESIZING REQUEUED REQUEUE_FED "
    "REQUEUE_HOLD SPECIAL_EXIT RESV_DEL_HOLD"
)
ACTIVE_STATES = frozenset(_ACTIVE.split())
# State of a job that ended without a report -> what can be done.
_AFTER = {
    "TIMEOUT": "It reached its time limit without leaving in time: give it more with runner.time_limit=<minutes>, or "
    "more time to write a checkpoint with runner.signal_delay_s=<seconds>.",
    "DEADLINE": "It reached its deadline.",
    "OUT_OF_MEMORY": "It needed more memory than it had asked for: give it more, e.g. runner.memory=16GB.",
    "CANCELLED": "Somebody has cancelled it.",
    "PREEMPTED": "A job with a higher priority took its place.",
    "NODE_FAIL": "Its machine failed.",
    "BOOT_FAIL": "Its machine could not be started.",
    "REVOKED": "Another cluster has taken it.",
}
# Reasons for which a job waits that do not end by themselves -> what can be done.
_FOREVER = {
    "BadConstraints": "no machine has all that it asks for: see runner.constraint, runner.partition and its resources",
    "DependencyNeverSatisfied": "a job that it needs has failed",
    "PartitionTimeLimit": "its time limit is above that of the partition: see runner.time_limit",
    "PartitionNodeLimit": "the partition has too few machines that are as it wants them: see runner.partition",
    "PartitionConfig": "no machine of the partition has what it asks for: see runner.partition and its resources",
    "PartitionDown": "the partition takes no jobs to its machines now: see runner.partition",
    "PartitionInactive": "the partition is closed: see runner.partition",
    "InvalidAccount": "its account is not valid: see runner.account",
    "InvalidQOS": "its quality of service is not valid: see runner.qos",
    "AccountNotAllowed": "its account may not use the partition: see runner.account and runner.partition",
    "QOSNotAllowed": "its quality of service may not be used here: see runner.qos",
    "JobHeldUser": "you hold it: `scontrol release <job>` lets it go",
    "JobHeldAdmin": "it is held: `scontrol release <job>` lets it go, or an administrator has to",
    "ReqNodeNotAvail": "a machine that it asks for is not available",
    "QOSMaxWallDurationPerJobLimit": "its quality of service allows less time: see runner.time_limit",
    "AssocMaxWallDurationPerJobLimit": "its account allows less time: see runner.time_limit",
    "AssocGrpBillingMinutes": "its account has used up its time",
    "QOSMaxCpuPerJobLimit": "it asks for more cores than its quality of service allows",
    "QOSMaxMemoryPerJob": "it asks for more memory than its quality of service allows",
    "QOSMaxGRESPerJob": "it asks for more GPUs than its quality of service allows",
    "AssocMaxCpuPerJobLimit": "it asks for more cores than its account allows",
    "AssocMaxMemPerJob": "it asks for more memory than its account allows",
    "AssocMaxGRESPerJob": "it asks for more GPUs than its account allows",
}


def ended(state: str) -> bool:
    """Tell whether a job in this state is over for good; "" is that of one nobody knows any more."""
    return state.partition(" ")[0] not in ACTIVE_STATES


def after_advice(state: str) -> str:
    """Return a sentence about a job that ended in this state without a report, "" when nothing is to be said."""
    return _AFTER.get(state, "")


def endless(state: str, reason: str) -> str:
    """Return why a job waits and what can be done when that does not end by itself, else ""."""
    if state != "PENDING":
        return ""
    word = reason.strip("()").partition(",")[0]
    if word.startswith("launch failed requeued held"):
        return "it could not be started and is held: `scontrol release <job>` lets it try again"
    return _FOREVER.get(word, "")
