import base64
import json
import zlib
from urllib.parse import parse_qs

import mlflow
import pytest

from image_sweeps.tracking import view
from image_sweeps.tracking.store import open_store
from tests.support.configurations import config_of


@pytest.fixture
def store(tmp_path):
    return open_store(config_of(f"outputs_dir={tmp_path}"))


def test_the_link_opens_a_saved_view_of_the_sweeps_cells(store):
    link = view.link(store, "sweep-1")
    page, _, query = link.partition("?")
    assert page == f"http://127.0.0.1:5000/#/experiments/{store.experiment_id}/runs"
    (key,) = parse_qs(query)["viewStateShareKey"]
    tags = store.client.get_experiment(store.experiment_id).tags
    kind, _, state = tags[f"mlflow.sharedViewState.{key}"].partition(";")
    assert kind == "deflate"
    saved = json.loads(zlib.decompress(base64.b64decode(state)))
    assert saved["searchFilter"] == "tags.kind = 'cell' and tags.sweep = 'sweep-1'"
    assert saved["orderByKey"] == "metrics.`best/val_accuracy`"
    assert [chart["metricKey"] for chart in saved["compareRunCharts"]][:1] == ["test/accuracy"]


def test_an_mlflow_whose_views_are_not_known_gets_the_same_selection_in_the_link(store, monkeypatch):
    monkeypatch.setattr(mlflow, "__version__", "4.0.0")
    query = parse_qs(view.link(store, None).partition("?")[2])
    assert query["searchFilter"] == ["tags.kind = 'cell'"]
    assert query["orderByAsc"] == ["false"]


def test_the_command_names_the_store_shortly_where_it_lies_below(tmp_path, monkeypatch):
    config = config_of(f"outputs_dir={tmp_path}/outputs")
    assert view.server_command(config).endswith(f"--backend-store-uri sqlite:///{tmp_path}/outputs/mlflow.db")
    monkeypatch.chdir(tmp_path)
    assert view.server_command(config).endswith("--backend-store-uri sqlite:///outputs/mlflow.db")


def test_a_server_that_runs_already_needs_no_command():
    assert view.server_command(config_of("tracking.uri=http://127.0.0.1:8080")) is None
