"""Trains the default model and its judge, and exports them."""
