"""What is recorded of the cells in an outputs folder, in a shape that can be compared with that of another one."""

from mlflow import MlflowClient

from image_sweeps.tracking.journal import Journal

MEASURED = ("val/loss", "val/accuracy", "train/loss", "train/accuracy", "test/loss", "test/accuracy", "best/epoch")


def histories(outputs):
    """Of every run in the store: its cell, its status, and all that was ever recorded of each metric but the times."""
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    return [
        (
            run.data.tags.get("cell", "the sweep"),
            run.info.status,
            {key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)] for key in MEASURED},
        )
        for run in client.search_runs(["1"], max_results=1000)
    ]


def numbers(outputs):
    """All that was measured, by cell, as the journals have it; not how long it took, nor when."""
    found = {}
    for path in outputs.rglob("journal.jsonl"):
        entries = Journal(path.parent.parent).entries()
        tags = entries[0]["tags"]
        if tags["kind"] == "cell":
            measured = [m for entry in entries for m in entry.get("metrics", ())]
            found[tags["cell"]] = {
                (key, step): value for key, value, _, step in measured if not key.startswith("time/")
            }
    return found
