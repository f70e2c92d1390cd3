"""The answer of a report on the terminal."""

from collections.abc import Sequence
from pathlib import Path

from image_sweeps.system.console import CONSOLE


def show_answer(sentences: Sequence[str], page: Path) -> None:
    """Show the answer of a report, and the path of its page."""
    CONSOLE.print()
    for sentence in sentences:
        CONSOLE.print(sentence, markup=False)
    CONSOLE.print(f"The report: {page}", soft_wrap=True, markup=False)
