"""Resources of this machine."""

import os


def usable_cores() -> int:
    """Count the CPU cores that this process may run on; a container or `taskset` may leave fewer than there are."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
