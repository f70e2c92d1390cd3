"""The source folder of a checkout: `python -m src.train` runs this code, whether the project is installed or not."""

import os
import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)
# so that the processes started by this one find the package too
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))
