"""A run as its journal has it, for whoever cannot ask the store or must not wait for it."""

from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run, RunData, RunInfo, RunInputs, RunTag

from image_sweeps.tracking.journal import REASON, Entry, Journal

RUNNING = "RUNNING"


def run(journal: Journal) -> Run | None:
    """What the store would say of the run if it had all entries; None where the run was never begun.

    A run that has not arrived there is named by its token.
    """
    entries = journal.entries()
    if not entries:
        return None
    first = entries[0]
    last = next(entry for entry in reversed(entries) if entry["do"] in ("begin", "go on", "end"))
    ended = last["do"] == "end"
    info = RunInfo(
        run_id=journal.progress.run_id or first["token"],
        run_name=first["name"],
        experiment_id="",
        user_id="",
        status=last["status"] if ended else RUNNING,
        start_time=first["at_ms"],
        end_time=last["at_ms"] if ended else None,
        lifecycle_stage="active",
    )
    tags = first["tags"] | _merged(entries, "tags") | ({REASON: last["reason"]} if ended and last["reason"] else {})
    latest = {key: Metric(key, value, *when) for entry in entries for key, value, *when in entry.get("metrics", ())}
    params = [Param(key, value) for key, value in _merged(entries, "params").items()]
    data = RunData(list(latest.values()), params, [RunTag(key, value) for key, value in tags.items()])
    return Run(info, data, RunInputs([_dataset(entry) for entry in entries if entry["do"] == "dataset"]))


def _merged(entries: list[Entry], do: str) -> dict[str, str]:
    return {key: value for entry in entries if entry["do"] == do for key, value in entry[do].items()}


def _dataset(entry: Entry) -> DatasetInput:
    return DatasetInput(Dataset(**{key: entry[key] for key in ("name", "digest", "source_type", "source", "profile")}))
