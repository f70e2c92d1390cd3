"""How much memory reading images takes, in a process of its own: `python -m tests.support.peak KIND PATH SETTINGS`.

Prints what the set says at last, and the most that the process held beyond what it held before, in MB.
"""

import ctypes
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from image_sweeps.dataset import DataError, image_files
from tests.support.archives import image_folder, image_zip, two_classes, write_folder

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident_mb(what):
    """VmRSS, what the process holds, or VmHWM, the most that it has held since that was last forgotten."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def read(source):
    """What comes of reading it all, of which nothing is kept."""
    try:
        source.index()
        return f"{sum(len(decoded.positions) for decoded in source.decode())} images"
    except DataError as error:
        return str(error)


def main(kind, path, settings):
    settings = json.loads(settings)
    threads = settings.pop("threads")
    image_files.cpu_count = lambda: threads
    made = {"zip": image_zip, "folder": image_folder}[kind]
    with TemporaryDirectory() as warm:
        read(image_folder(write_folder(Path(warm), two_classes())))  # imports, Pillow's plugins
    ctypes.CDLL(None).malloc_trim(0)  # what was freed and kept would be used again, and not be seen
    CLEAR.write_text("5")  # forgets the most that was held
    before = resident_mb("VmRSS")
    said = read(made(Path(path), **settings))
    print(json.dumps({"said": said, "peak_mb": resident_mb("VmHWM") - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
