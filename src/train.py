"""Train from a checkout: `python -m src.train ...` is `image-sweeps train ...`, installed or not."""

from image_sweeps.system import process_exit
from image_sweeps.train import main

if __name__ == "__main__":
    process_exit.run(main)
