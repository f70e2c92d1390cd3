"""Options of Hydra's own part, which a file in `conf/hydra/launcher/` or `conf/hydra/sweeper/` says."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ValidationError

from image_sweeps.config.problems import ConfigError, describe_problem
from image_sweeps.config.schema import STRICT

LAUNCHER, SWEEPER = "hydra.launcher", "hydra.sweeper"


class Options(BaseModel):
    """Options, checked.

    Attributes:
        where: the key that they stand under.
    """

    model_config = STRICT
    where: ClassVar[str]

    @classmethod
    def checked(cls, raw: Mapping[str, Any]) -> Self:
        """The options in `raw`.

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
        """One problem that pydantic has found, in words that begin with the option."""
        return describe_problem(problem, cls)

    def problems(self) -> Iterable[str]:
        """What is wrong with options that are each right by itself."""
        return ()
