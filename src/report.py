"""Report a sweep from a checkout: `python -m src.report ...` is `image-sweeps report ...`."""

from image_sweeps.report.__main__ import main
from image_sweeps.system import process_exit

if __name__ == "__main__":
    process_exit.run(main)
