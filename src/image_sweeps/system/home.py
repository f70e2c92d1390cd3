"""Where the package lies: in a checkout of the project, or where pip has installed it."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]

CHECKOUT = PACKAGE.parents[1] if PACKAGE.parent.name == "src" and (PACKAGE.parents[1] / "conf").is_dir() else None
"""The folder of the checkout; None where the package is installed."""

CONF = (CHECKOUT or PACKAGE) / "conf"
"""The configurations. They travel in the wheel."""
