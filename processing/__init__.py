"""Boxes, crops and heatmaps: everything between a photo and the network, and back."""
