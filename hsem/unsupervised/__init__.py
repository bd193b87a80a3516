"""Directions without labels (Section IV): principal components and Jacobians."""
