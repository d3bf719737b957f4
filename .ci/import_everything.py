"""Import every module of the installed package, so that a dependency missing from setup.cfg is named at once."""

import importlib
import pkgutil

import vitpose

for module in pkgutil.walk_packages(vitpose.__path__, "vitpose."):
    importlib.import_module(module.name)
