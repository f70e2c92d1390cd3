"""The report, kept with the sweep's own run."""

import time

from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from src.report import Report
from src.summary.charts import standalone
from src.summary.description import description
from src.summary.record import CHOSEN_BY, MEASURE
from src.tracking.store import Store


def publish(store: Store, parent_run_id: str, report: Report) -> None:
    """Keep the report with the sweep's own run: its files, its charts, the best values as metrics, the description.

    Doing it again replaces files and description. A metric is logged again only where its value has changed: then the
    step is the same, 0, and the later time makes it the one that counts.
    """
    client = store.client
    for path in report.files:
        client.log_artifact(parent_run_id, str(path))
    for name, svg in report.charts.items():
        client.log_text(parent_run_id, standalone(svg), f"figures/{name}.svg")
    client.set_tag(parent_run_id, MLFLOW_RUN_NOTE, description(report.summary))
    if best := next((c for c in report.summary.configurations if c.chosen), None):
        logged = client.get_run(parent_run_id).data.metrics
        values = {CHOSEN_BY: best.val_accuracy.mean, MEASURE: best.test_accuracy.mean}
        now = int(time.time() * 1000)
        changed = [Metric(key, value, now, 0) for key, value in values.items() if logged.get(key) != value]
        client.log_batch(parent_run_id, metrics=changed)
