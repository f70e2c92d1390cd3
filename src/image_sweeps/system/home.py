"""The location of the package: in a checkout of the project, or where pip has installed it."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]

CHECKOUT = PACKAGE.parents[1] if PACKAGE.parent.name == "src" and (PACKAGE.parents[1] / "conf").is_dir() else None
"""The folder of the checkout; None if the package is installed."""

CONF = (CHECKOUT or PACKAGE) / "conf"
"""The folder of the configuration files, which are also part of the wheel."""
