"""CPU seconds until the command line answers and until `import vitpose` is done, beside transformers' own classes.

    python benchmarks/startup.py [--rounds 5]

Medians of processes that take turns, so that other load meets all of them alike.
"""

import argparse
import resource
import statistics
import subprocess
import sys

COMMAND = "import sys; sys.argv = ['vitpose', *{}]; from vitpose_cli.main import main; main()"
PROCESSES = {
    "python -c pass": "pass",
    "vitpose --help": COMMAND.format(["--help"]),
    "vitpose --version": COMMAND.format(["--version"]),
    "vitpose predic": COMMAND.format(["predic"]),
    "vitpose train --help": COMMAND.format(["train", "--help"]),
    "import torch": "import torch",
    "transformers' own classes": "from transformers import VitPoseForPoseEstimation, VitPoseImageProcessor",
    "import vitpose": "import vitpose",
}


def cpu_seconds(code: str) -> float:
    """User and system time of a process that runs the code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    measured: dict[str, list[float]] = {name: [] for name in PROCESSES}
    for _ in range(rounds):
        for name, code in PROCESSES.items():
            measured[name].append(cpu_seconds(code))
    for name, seconds in measured.items():
        sys.stdout.write(f"{name:<28}{statistics.median(seconds):6.2f} s\n")


if __name__ == "__main__":
    main()
