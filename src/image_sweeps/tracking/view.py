"""The way into MLflow's page: the command that opens it, and a link that already compares the cells."""

import base64
import json
import zlib
from pathlib import Path
from urllib.parse import quote

import mlflow

from image_sweeps.config.schema import Config
from image_sweeps.system.console import CONSOLE
from image_sweeps.tracking.store import Store, open_store

PORT = 5000

UNDERSTOOD = "3."
"""Saved views are not documented; their format was read off MLflow 3. Other versions get a plain link."""


def show_runs(config: Config, sweep: str | None) -> None:
    """Print how to look at the cells of `sweep`, or at all of them."""
    store = open_store(config)
    show_view(server_command(config), link(store, sweep))


def server_command(config: Config) -> str | None:
    """What starts MLflow's page on the embedded store; None where a server is running already."""
    if config.tracking.uri is not None:
        return None
    database = config.outputs_dir.resolve() / "mlflow.db"
    here = Path.cwd()
    shown = database.relative_to(here) if database.is_relative_to(here) else database
    return f"mlflow server --workers 1 --port {PORT} --backend-store-uri sqlite:///{shown}"


def link(store: Store, sweep: str | None) -> str:
    """The cells of `sweep`, or all of them, in the runs table with charts beside it, best validation accuracy first."""
    root = store.uri.rstrip("/") if store.uri.startswith("http") else f"http://127.0.0.1:{PORT}"
    page = f"{root}/#/experiments/{store.experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"
    if mlflow.__version__.startswith(UNDERSTOOD):
        return f"{page}&viewStateShareKey={_saved_view(store, sweep)}"
    return page + "".join(f"&{key}={quote(value, safe='')}" for key, value in _selection(sweep).items())


def _selection(sweep: str | None) -> dict[str, str]:
    """Which runs are shown. MLflow folds children under their parent and charts the parent alone, hence the filter."""
    which = f" and tags.sweep = '{sweep}'" if sweep else ""
    return {
        "searchFilter": f"tags.kind = 'cell'{which}",
        "orderByKey": "metrics.`best/val_accuracy`",
        "orderByAsc": "false",
    }


def _saved_view(store: Store, sweep: str | None) -> str:
    """The key of a view kept in a tag of the experiment, where MLflow's own "share view" button keeps them."""
    key = sweep or "cells"
    sections = [{"uuid": "answer", "name": "comparison", "display": True, "isReordered": True, "isGenerated": False}]
    view = {
        **_selection(sweep),
        "orderByAsc": False,
        "selectedColumns": [f"metrics.`{name}`" for name in ("test/accuracy", "best/val_accuracy")],
        "compareRunSections": sections,
        "compareRunCharts": [
            _chart("BAR", "test/accuracy"),
            _chart("BAR", "best/val_accuracy"),
            _chart("LINE", "val/accuracy"),
            _chart("LINE", "train/loss"),
        ],
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "isAccordionReordered": True,
        "runsHiddenMode": "SHOW_ALL",
    }
    state = "deflate;" + base64.b64encode(zlib.compress(json.dumps(view).encode())).decode()
    store.client.set_experiment_tag(store.experiment_id, f"mlflow.sharedViewState.{key}", state)
    return key


def _chart(kind: str, metric: str) -> dict[str, object]:
    return {
        "type": kind,
        "uuid": f"{kind.lower()} {metric}",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "metricSectionId": "answer",
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 20,
        "useGlobalLineSmoothing": True,
        "useGlobalXaxisKey": True,
    }


def show_view(command: str | None, link: str) -> None:
    """How to look at the runs; no command where a server is running already."""
    CONSOLE.print("\nTo compare the runs in MLflow, " + ("start its server and " if command else "") + "open the link:")
    if command:
        CONSOLE.print(f"  {command}", soft_wrap=True, markup=False)
    CONSOLE.print(f"  {link}", soft_wrap=True, markup=False)
