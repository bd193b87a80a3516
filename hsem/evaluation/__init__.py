"""How good directions are: effects, curves, stability, and distance from real pictures."""
