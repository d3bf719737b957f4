"""Print the lower end of every requirement of setup.cfg as a pin, for `pip install -c`."""

import configparser
from pathlib import Path

setup = configparser.ConfigParser()
setup.read(Path(__file__).resolve().parent.parent / "setup.cfg")
blocks = [setup["options"]["install_requires"], *dict(setup["options.extras_require"]).values()]
for line in sorted({line for block in blocks for line in block.split("\n") if ">=" in line}):
    name, _, lowest = line.partition(">=")
    print(f"{name}=={lowest}")
