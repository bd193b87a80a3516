"""What the chapters compute beforehand: one recipe a file, for any model.

python -m hsem.recipes.named                    # as stored in the package
python -m hsem.recipes.named --model FOLDER --n 64 --output here/named
hsem.results.load_or_make("named", model)       # what a chapter asks for
"""
