"""The report in a few lines of Markdown, for the description of the sweep's run in MLflow."""

from image_sweeps.report.content import Configuration, Summary
from image_sweeps.report.formatting import count, interval, percent

MAX_LENGTH = 8000
"""The number of characters that MLflow keeps of a description."""


def description(summary: Summary) -> str:
    """Return the answer, and a table of as many configurations as fit."""
    head = ["\n\n".join(map(_plain, summary.answer)), ""]
    table = ["| configuration | cells | test accuracy | 95% interval | validation |", "|---|---|---|---|---|"]
    rows = [_row(configuration) for configuration in summary.configurations]
    foot = ["", "★ has the highest validation accuracy. `report.html`, among the artifacts, has the whole report."]
    for shown in range(len(rows), -1, -1):
        more = [f"\nand {count(len(rows) - shown, 'configuration')} more"] * (shown < len(rows))
        text = "\n".join([*head, *table, *rows[:shown], *more, *foot])
        if len(text) <= MAX_LENGTH:
            return text
    return text[:MAX_LENGTH]


def _row(c: Configuration) -> str:
    test = c.test_accuracy
    reach = "\N{EN DASH}" if test.low is None or test.high is None else interval(test.low, test.high)
    name = _plain(c.name or "all cells") + " ★" * c.chosen
    return f"| {name} | {c.num_finished} | {percent(test.mean)} | {reach} | {percent(c.val_accuracy.mean)} |"


def _plain(text: str) -> str:
    """Return the text in one line, escaped so that Markdown and HTML show it unchanged."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{letter}" if letter in "\\`*_|[]" else letter for letter in line)
