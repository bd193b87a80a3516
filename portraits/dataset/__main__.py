"""python -m portraits.dataset: see `draw.py`."""

from .draw import main

if __name__ == "__main__":
    main()
