"""A Hydra-orchestrated sweep framework for image classification in PyTorch."""

import sys
from pathlib import Path

# Hydra finds sweepers and launchers only in a package named hydra_plugins; ours lives in src/plugins/.
PLUGINS = str(Path(__file__).parent / "plugins")
if PLUGINS not in sys.path:
    sys.path.append(PLUGINS)
