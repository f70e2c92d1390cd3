"""The access to MLflow's page: the command that starts its server, and a link that compares the cells."""

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
"""The MLflow versions with saved views, whose undocumented format was read off MLflow 3. Others get a plain link."""


def show_runs(config: Config, sweep: str | None) -> None:
    """Print how to view the cells of `sweep`, or all cells if `sweep` is None."""
    store = open_store(config)
    show_view(server_command(config), link(store, sweep))


def server_command(config: Config) -> str | None:
    """Return the command that starts MLflow's server on the embedded store; None if a server is configured."""
    if config.tracking.uri is not None:
        return None
    database = config.outputs_dir.resolve() / "mlflow.db"
    here = Path.cwd()
    shown = database.relative_to(here) if database.is_relative_to(here) else database
    return f"mlflow server --workers 1 --port {PORT} --backend-store-uri sqlite:///{shown}"


def link(store: Store, sweep: str | None) -> str:
    """Return a link to the cells of `sweep`, or to all cells, with charts, the best validation accuracy first."""
    root = store.uri.rstrip("/") if store.uri.startswith("http") else f"http://127.0.0.1:{PORT}"
    page = f"{root}/#/experiments/{store.experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"
    if mlflow.__version__.startswith(UNDERSTOOD):
        return f"{page}&viewStateShareKey={_saved_view(store, sweep)}"
    return page + "".join(f"&{key}={quote(value, safe='')}" for key, value in _selection(sweep).items())


def _selection(sweep: str | None) -> dict[str, str]:
    """Return the shown runs. Without a filter, MLflow folds children under their parent and charts only the parent."""
    which = f" and tags.sweep = '{sweep}'" if sweep else ""
    return {
        "searchFilter": f"tags.kind = 'cell'{which}",
        "orderByKey": "metrics.`best/val_accuracy`",
        "orderByAsc": "false",
    }


def _saved_view(store: Store, sweep: str | None) -> str:
    """Save a view in a tag of the experiment, as MLflow's own "share view" button does, and return its key."""
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
    """Print how to view the runs; `command` is None if a server is running already."""
    CONSOLE.print("\nTo compare the runs in MLflow, " + ("start its server and " if command else "") + "open the link:")
    if command:
        CONSOLE.print(f"  {command}", soft_wrap=True, markup=False)
    CONSOLE.print(f"  {link}", soft_wrap=True, markup=False)
