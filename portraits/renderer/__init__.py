"""Draws a portrait from its factors: one head, what it wears, a camera and lights."""
