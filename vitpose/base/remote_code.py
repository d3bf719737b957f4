"""The code that saved models bring along, so that they load where vitpose is not installed."""

import re
from functools import cache
from importlib.metadata import version

from .bundle import bundle

# File -> the modules that it is made for; what these import comes along
FILES = {
    "configuration_vitpose.py": [
        "vitpose.modeling.configuration_vitpose",
        "vitpose.modeling.configuration_vitpose_mim",
    ],
    "modeling_vitpose.py": ["vitpose.modeling.modeling_vitpose", "vitpose.modeling.modeling_vitpose_mim"],
    "image_processing_vitpose.py": ["vitpose.processing.image_processing_vitpose"],
    "keypoint_detection_pipeline.py": ["vitpose.processing.keypoint_detection_pipeline"],
}
HEADER = '''# Licensed under the Apache License, Version 2.0; you may obtain a copy at
# http://www.apache.org/licenses/LICENSE-2.0. Distributed on an "AS IS" basis, without warranties of any kind.
# Copyright the vitpose maintainers. Written by vitpose {version} from its modules: edit those, and save again.
"""{summary}, for models that load with `trust_remote_code=True`."""
'''
SUMMARIES = {
    "configuration_vitpose.py": "Configurations of ViTPose",
    "modeling_vitpose.py": "ViTPose models",
    "image_processing_vitpose.py": "Image processor of ViTPose",
    "keypoint_detection_pipeline.py": "Keypoint detection pipeline",
}
_FLAT_IMPORT = re.compile(r"^\s*from \.(\w+) import", re.MULTILINE)


def remote_code(name: str) -> dict[str, str]:
    """File name -> text, of one of `FILES` and of those that it imports."""
    texts, waiting, found = _bundle(), [name], {}
    while waiting:
        file = waiting.pop()
        found[file] = texts[file]
        waiting += [f"{stem}.py" for stem in _FLAT_IMPORT.findall(texts[file]) if f"{stem}.py" not in found]
    return found


@cache
def _bundle() -> dict[str, str]:
    headers = {file: HEADER.format(version=version("vitpose"), summary=SUMMARIES[file]) for file in FILES}
    return bundle(FILES, headers=headers)
