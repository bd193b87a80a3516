"""Directions with examples (Section V): annotation, examples, means and normals."""
