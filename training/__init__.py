"""Recipes, data, augmentation, optimisation, the training loop and evaluation."""
