"""Configurations, keypoint schemas, the backbone, its decoders, and conversion of checkpoints."""
