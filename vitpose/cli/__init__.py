"""The command line, installed as `vitpose_cli`: beside the package `vitpose`, whose import takes torch's seconds."""
