"""Print the lower end of every requirement of setup.cfg as a pin, for `pip install -c`."""

import configparser
from pathlib import Path

setup = configparser.ConfigParser()
setup.read(Path(__file__).resolve().parent.parent / "setup.cfg")
blocks = [setup["options"]["install_requires"], setup["options.extras_require"]["test"]]
for line in sorted({line for block in blocks for line in block.split("\n") if line}):
    name, _, lowest = line.partition(">=")
    print(f"{name}=={lowest}")
