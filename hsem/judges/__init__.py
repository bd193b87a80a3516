"""Functions from images to numbers: attribute classifiers, CLIP, and any of your own."""
