"""The command that sums up a sweep: one page, one file for programs, one table.

    image-sweeps report sweep=last
    image-sweeps report sweep=20260131-120000-1a2b3c4d outputs_dir=elsewhere
    image-sweeps report experiment=image-classification filter="params.dataset = 'digits'"

A sweep writes its report itself when it ends, however it ends; this command writes it again, also while the sweep
runs. Exit codes: 0 if the report is written; 2 if the arguments are wrong or there is nothing to report on.
"""

import sys
from collections.abc import Sequence

from image_sweeps.config.key_values import UsageError, key_values, show_help
from image_sweeps.config.problems import WRONG_CONFIGURATION
from image_sweeps.report.record import ReportError
from image_sweeps.report.terminal import show_answer
from image_sweeps.system import process_exit
from image_sweeps.system.console import show_error
from image_sweeps.system.credentials import hide_credentials

KEYS = ("sweep", "experiment", "filter", "outputs_dir", "tracking.uri")

USAGE = "give sweep=last, sweep=<id>, or experiment=<name> with or without filter=<MLflow's filter>"


def main() -> None:
    """Run the command line."""
    hide_credentials()
    if show_help(sys.argv[1:], "report", f"{__doc__}"):
        return
    try:
        given = _parsed(sys.argv[1:])
        from image_sweeps.report.command import report_on  # imports MLflow: seconds that a wrong argument saves

        report = report_on(given)
    except (ReportError, UsageError) as error:
        show_error(str(error))
        sys.exit(WRONG_CONFIGURATION)
    show_answer(report.summary.answer, report.page)


def _parsed(arguments: Sequence[str]) -> dict[str, str]:
    given = key_values(arguments, KEYS, USAGE)
    if ("sweep" in given) == bool({"experiment", "filter"} & given.keys()):
        raise UsageError(USAGE)
    return given


if __name__ == "__main__":
    process_exit.run(main)
