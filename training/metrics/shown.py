"""The metrics that pictures and the terminal show."""

from __future__ import annotations

# Drawn where they were measured, of each dataset; a log without them shows all it has.
MAIN_METRICS = ("AP", "AP_whole", "PCKh", "AUC", "AR", "AR_whole", "PCK", "PCK_box")
