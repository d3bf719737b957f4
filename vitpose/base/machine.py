"""What this machine lends to a process."""

import os


def usable_cores() -> int:
    """The CPU cores that this process may run on: a container or `taskset` may leave fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
