"""What the chapters compute beforehand: one recipe a file, for any model.

python -m hsem.recipes.named                    # as stored in the package
python -m hsem.recipes.named --model FOLDER --n 64 --output here/named
hsem.results.load_or_make("named", model)       # what a chapter asks for

A run of `portraits-64` (one picture, one step) took 8 to 20 ms on one of our cores in half
precision, twice that in float32, depending on the machine; all of `make results` is 1.7 million.
Another machine rounds otherwise: examples near the edge change places, effects their last digit.
"""
