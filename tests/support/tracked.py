"""A small sweep that is recorded by a tracking server, and what the server then has to have of it."""

from collections import Counter

from mlflow import MlflowClient

from image_sweeps.tracking.delivery_thread import GONE
from image_sweeps.tracking.journal import journals

TINY = ("dataset.image_size=8", "model=mlp", "model.hidden=[8]")
SWEEP = ("-m", *TINY, "epochs=3", "seed=0,1", "hydra.launcher.slots=1")
NUM_CELLS = 2
EPOCH_METRICS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr", "time/epoch_s")


def recorded_at(uri, outputs, experiment):
    """The overrides that say where."""
    return (f"outputs_dir={outputs}", f"tracking.uri={uri}", f"tracking.experiment={experiment}")


def folder_of(outputs):
    (folder,) = (outputs / "sweeps").iterdir()
    return folder


def cell_journals(outputs):
    return [journal for journal in journals(folder_of(outputs)) if journal.home != folder_of(outputs)]


def trained(outputs, num_epochs):
    """Whether the cells have recorded so many epochs together."""
    if not list(outputs.glob("sweeps/*")):
        return False
    epochs = [m for journal in cell_journals(outputs) for e in journal.entries() for m in e.get("metrics", ())]
    return sum(key == "val/loss" for key, *_ in epochs) >= num_epochs


def assert_all_is_there(uri, outputs, experiment):
    """Every record of the sweep is in the store once, with the time at which it was taken."""
    client = MlflowClient(uri)
    (found,) = client.search_experiments(filter_string=f"name = '{experiment}'")
    runs = client.search_runs([found.experiment_id], max_results=100)
    (parent,) = (run for run in runs if run.data.tags["kind"] == "sweep")
    cells = [run for run in runs if run.data.tags["kind"] == "cell"]
    assert [run.info.status for run in runs] == ["FINISHED"] * (NUM_CELLS + 1)
    assert Counter(run.data.tags["cell"] for run in cells) == {j.home.name: 1 for j in cell_journals(outputs)}
    assert {run.data.tags["mlflow.parentRunId"] for run in cells} == {parent.info.run_id}
    assert "report.html" in {file.path for file in client.list_artifacts(parent.info.run_id)}
    for journal in cell_journals(outputs):
        run_id, entries = journal.progress.run_id, journal.entries()
        taken = {(key, step, at_ms, value) for e in entries for key, value, at_ms, step in e.get("metrics", ())}
        histories = [client.get_metric_history(run_id, key) for key in client.get_run(run_id).data.metrics]
        stored = [(m.key, m.step, m.timestamp, m.value) for history in histories for m in history]
        assert len(stored) == len(taken)
        assert set(stored) == taken
        assert {key for key, step, *_ in stored if step} == set(EPOCH_METRICS)
        assert journal.progress.num_refused == 0
        files = {file.path for file in client.list_artifacts(run_id)}
        assert {"config.yaml", "environment.yaml", "history.csv", "figures", "checkpoints"} <= files
        assert "best.pt" in {f.path.split("/")[1] for f in client.list_artifacts(run_id, "checkpoints")}
        assert len(client.get_run(run_id).outputs.model_outputs) == 1


def assert_said_once(process):
    """The command went on to its end, and told once that records are kept here, and how they get there."""
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert errors.count(GONE) + output.count(GONE) == 1
    assert "python -m src.sync" in output
    assert "Traceback" not in output + errors
