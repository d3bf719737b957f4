"""The metrics that stand for a dataset in pictures and in the terminal."""

# Each is drawn where it was measured, of every dataset; a log without any of them shows all that it has.
PRIMARY_METRICS = ("AP", "AP_whole", "PCKh", "AUC", "AR", "AR_whole", "PCK", "PCK_box")
