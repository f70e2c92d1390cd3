"""The only place that uses internals of Hydra; the names are those of Hydra 1.3.8, which pyproject.toml pins."""

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser

__all__ = ["Hydra", "apply_overrides", "create_config_search_path", "get_args_parser"]

apply_overrides = ConfigLoaderImpl._apply_overrides_to_config
