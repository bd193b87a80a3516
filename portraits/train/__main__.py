"""python -m portraits.train: see `run.py`."""

from .run import main

if __name__ == "__main__":
    main()
