"""How good samples are, and how much of a portrait h carries."""
