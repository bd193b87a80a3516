"""python -m portraits.evaluate: see `samples.py`."""

from .samples import main

if __name__ == "__main__":
    main()
