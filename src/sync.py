"""Deliver records to the store from a checkout: `python -m src.sync ...` is `image-sweeps sync ...`."""

from image_sweeps.sync import main
from image_sweeps.system import process_exit

if __name__ == "__main__":
    process_exit.run(main)
