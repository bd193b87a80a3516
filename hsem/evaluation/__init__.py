"""How good directions are: effects, curves, stability, distance from pictures, explained shares."""
