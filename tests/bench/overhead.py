"""What everything around training costs: the README's own command on the default data set, cold, in new processes."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def sweep_s(*overrides: str) -> tuple[float, float, int]:
    """Wall seconds of a sweep in a fresh outputs folder, the seconds of them spent training, and how many cells."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "src.train", "-m", f"outputs_dir={folder}", *overrides]
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        wall_s = time.perf_counter() - started
        results = [json.loads(path.read_text()) for path in Path(folder).glob("sweeps/*/*/result.json")]
    return wall_s, sum(result["seconds"] for result in results), len(results)
