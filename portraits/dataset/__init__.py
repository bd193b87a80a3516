"""Which people to draw, and the files that hold them."""
