"""Options of Hydra's own part, as a file in `conf/hydra/launcher/` or `conf/hydra/sweeper/` sets them."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ValidationError

from image_sweeps.config.problems import ConfigError, describe_problem
from image_sweeps.config.schema import STRICT

LAUNCHER, SWEEPER = "hydra.launcher", "hydra.sweeper"


class Options(BaseModel):
    """The validated options of a launcher or sweeper.

    Attributes:
        where: the key that contains the options, for example `hydra.launcher`.
    """

    model_config = STRICT
    where: ClassVar[str]

    @classmethod
    def checked(cls, raw: Mapping[str, Any]) -> Self:
        """Return the validated options in `raw`.

        Raises:
            ConfigError: with every problem found.
        """
        try:
            options = cls.model_validate(dict(raw))
        except ValidationError as error:
            raise ConfigError([f"{cls.where}.{cls.describe(problem)}" for problem in error.errors()]) from None
        if problems := list(options.problems()):
            raise ConfigError(problems)
        return options

    @classmethod
    def describe(cls, problem: Any) -> str:
        """Return the text of a problem that pydantic found; it begins with the name of the option."""
        return describe_problem(problem, cls)

    def problems(self) -> Iterable[str]:
        """Return the problems of options that are valid one by one but not together."""
        return ()
