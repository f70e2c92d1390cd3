"""`python -m src.train` where Optuna is not installed: `python -m tests.support.without_optuna ARGUMENTS`."""

import runpy
import sys

if __name__ == "__main__":
    sys.modules["optuna"] = None  # an import of it raises ImportError
    runpy.run_module("src.train", run_name="__main__", alter_sys=True)
