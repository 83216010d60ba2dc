"""Tries to connect to a Ray, in a process of its own: `python -P ray_reach.py <address>`.

Where there is none, Ray waits for minutes, and may end its process; the driver of a run has no time for either.
"""

import json
import os
import sys
from typing import Any


def main(address: str) -> int:
    """Print the address of the Ray that was found, or why there is none, as JSON."""
    import ray

    found: dict[str, Any] = {}
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
        found["address"] = ray.get_runtime_context().gcs_address
    except BaseException as error:  # noqa: BLE001 - whatever it is, the user has to hear of it
        found["error"] = f"{type(error).__name__}: {error}"
        if error.__cause__ is not None:
            found["error"] += f" ({error.__cause__})"
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    os._exit(code)  # taking leave of Ray in order takes longer than all the rest
