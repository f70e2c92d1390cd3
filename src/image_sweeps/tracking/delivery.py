"""The delivery of journals to the store: every entry arrives exactly once, even if delivery is interrupted or repeated.

Two operations of MLflow would have a second effect when repeated: creating a run and creating a model. Delivery looks
for an earlier run or model first. All other operations are idempotent: a metric with the same step, time and value is
one record, parameters and tags have one value, and a file replaces itself.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from filelock import Timeout
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModel,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID
from sqlalchemy.exc import SQLAlchemyError

from image_sweeps.cell.status import CellStatus
from image_sweeps.system.files import DiskError, locked
from image_sweeps.tracking.journal import LOCK, REASON, Entry, Journal, journals
from image_sweeps.tracking.store import MAX_PARAM_LENGTH, Store, explain_error, first_line

MAX_METRICS, MAX_PARAMS, MAX_TAG_LENGTH = 1000, 100, 8000
"""MLflow's limits on the metrics and the parameters of a batch, and on the length of a tag's value."""

TOKEN = "token"  # noqa: S105, the tag that a run is found by
MODEL = "model"

REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST")
"""MLflow's errors for which a retry is useless. All other errors may pass: a server that is down, full or locked."""

T = TypeVar("T")


class StoreUnavailableError(Exception):
    """The store cannot be reached or takes no records at present; a later retry may succeed."""


def deliver(journal: Journal, store: Store) -> None:
    """Deliver the pending entries of a journal, unless another process is delivering them.

    Raises:
        StoreUnavailableError: if the store takes no records at present. The entries delivered so far are remembered.
    """
    try:
        with locked(journal.folder / LOCK, timeout_s=0):
            Delivery(journal, store).run()
    except Timeout:
        return


def deliver_all(folder: Path, store: Store) -> None:
    """Deliver the pending entries of a sweep and its cells, except those that other processes are delivering.

    Raises:
        StoreUnavailableError: if the store takes no records at present.
    """
    for journal in journals(folder):
        if journal.num_pending:
            deliver(journal, store)


class Delivery:
    """The delivery of one journal. The caller of `run` must hold the journal's lock.

    Args:
        journal: the journal to deliver.
        store: the store that the entries go to.
    """

    def __init__(self, journal: Journal, store: Store) -> None:
        self.journal, self.store, self.client = journal, store, store.client
        self.progress = journal.progress

    def run(self) -> None:
        """Deliver all pending entries.

        Raises:
            StoreUnavailableError: if the store takes no records at present.
        """
        for entry, end in self.journal.lines(self.progress.offset):
            try:
                self._bring(entry)
            except (MlflowException, SQLAlchemyError, OSError) as error:
                if entry["do"] == "begin" or not _refuses(error):  # without a run, no other entry can arrive
                    raise StoreUnavailableError(explain_error(error, self.store.uri)) from error
                self.journal.refuse(entry, first_line(error))
                self.progress = replace(self.progress, num_refused=self.progress.num_refused + 1)
            self.progress = replace(self.progress, offset=end)
            self._save_progress()
            if "folder" in entry:
                shutil.rmtree(self.journal.entry_dir(entry), ignore_errors=True)

    def _save_progress(self) -> None:
        """Save the progress. If it is lost, entries are delivered again, but still have one record."""
        try:
            self.journal.save_progress(self.progress)
        except DiskError as error:
            raise StoreUnavailableError(str(error)) from error

    @property
    def run_id(self) -> str:
        assert self.progress.run_id is not None, "a journal opens with the beginning of its run"
        return self.progress.run_id

    def _bring(self, entry: Entry) -> None:
        bring = {
            "begin": self._begin,
            "go on": self._go_on,
            "params": self._params,
            "metrics": self._metrics,
            "tags": self._tags,
            "dataset": self._dataset,
            "files": self._files,
            "model": self._model,
            "end": self._end,
        }
        bring[entry["do"]](entry)

    def _begin(self, entry: Entry) -> None:
        """Create the run, unless an interrupted delivery has created it already."""
        wanted = f"tags.{TOKEN} = '{entry['token']}'"
        found = self.client.search_runs([self.store.experiment_id], wanted)
        run = found[0] if found else self._created(entry)
        self.progress = replace(self.progress, run_id=str(run.info.run_id))

    def _created(self, entry: Entry) -> Run:
        tags = {TOKEN: entry["token"], **entry["tags"]}
        if entry["nested"]:
            tags[MLFLOW_PARENT_RUN_ID] = self._parent()
        return self.client.create_run(self.store.experiment_id, entry["at_ms"], tags, entry["name"])

    def _parent(self) -> str:
        """Return the id of the sweep's own run, which is delivered first if it is not in the store yet."""
        sweep = Journal(self.journal.home.parent)
        if sweep.progress.run_id is None and sweep.exists:
            deliver(sweep, self.store)
        parent = sweep.progress.run_id
        if parent is None:
            raise StoreUnavailableError("the sweep's own run is being recorded by another process")
        return parent

    def _go_on(self, entry: Entry) -> None:
        self.client.update_run(self.run_id, CellStatus.RUNNING.run_status, entry["name"])
        if REASON in self.client.get_run(self.run_id).data.tags:
            self.client.delete_tag(self.run_id, REASON)

    def _params(self, entry: Entry) -> None:
        pairs = [Param(key, value[:MAX_PARAM_LENGTH]) for key, value in entry["params"].items()]
        for batch in _batches(pairs, MAX_PARAMS):
            self.client.log_batch(self.run_id, params=batch)

    def _metrics(self, entry: Entry) -> None:
        self._log([Metric(*values) for values in entry["metrics"]])

    def _log(self, metrics: Sequence[Metric]) -> None:
        for batch in _batches(metrics, MAX_METRICS):
            self.client.log_batch(self.run_id, metrics=batch)

    def _tags(self, entry: Entry) -> None:
        self._tag(entry["tags"])

    def _tag(self, tags: Mapping[str, str]) -> None:
        self.client.log_batch(self.run_id, tags=[RunTag(key, value[:MAX_TAG_LENGTH]) for key, value in tags.items()])

    def _files(self, entry: Entry) -> None:
        self.client.log_artifacts(self.run_id, str(self.journal.entry_dir(entry)))

    def _end(self, entry: Entry) -> None:
        if entry["reason"] is not None:
            self._tag({REASON: entry["reason"]})
        self.client.set_terminated(self.run_id, entry["status"], entry["at_ms"])

    def _dataset(self, entry: Entry) -> None:
        facts = {key: entry[key] for key in ("name", "digest", "source_type", "source", "profile")}
        inputs = [DatasetInput(Dataset(**facts), [InputTag(MLFLOW_DATASET_CONTEXT, entry["context"])])]
        try:
            self.client.log_inputs(self.run_id, inputs)
        except MlflowException:  # another run added the same data set at the same moment; now it is found
            self.client.log_inputs(self.run_id, inputs)

    def _model(self, entry: Entry) -> None:
        """Log the network as a model of the run, as `mlflow.pytorch.log_model` would, in steps that can be repeated."""
        folder, model = self.journal.entry_dir(entry) / MODEL, self._created_model()
        if model.status == LoggedModelStatus.READY:
            return
        described = Model.load(str(folder))
        described.run_id, described.model_id, described.model_uuid = self.run_id, model.model_id, model.model_id
        described.artifact_path = model.artifact_location
        described.save(str(folder / MLMODEL_FILE_NAME))
        self.client.log_model_artifacts(model.model_id, str(folder))
        outputs = self.client.get_run(self.run_id).outputs
        if model.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
            self.client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])
        self._log_model_metrics(model)
        self.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)

    def _created_model(self) -> LoggedModel:
        experiment = self.store.experiment_id
        found = self.client.search_logged_models([experiment], f"source_run_id = '{self.run_id}'")
        if found:
            return found[0]
        params = {key: value[:MAX_PARAM_LENGTH] for key, value in self.journal.known_params().items()}
        return self.client.create_logged_model(experiment, MODEL, source_run_id=self.run_id, params=params)

    def _log_model_metrics(self, model: LoggedModel) -> None:
        """Log the metrics of the result (step 0) for the model too, because MLflow's page of models compares these."""
        of_model = {"model_id": model.model_id, "run_id": self.run_id}
        measured = (values for entry in self.journal.entries() for values in entry.get("metrics", ()))
        self._log([Metric(key, value, at_ms, step, **of_model) for key, value, at_ms, step in measured if step == 0])


def _refuses(error: Exception) -> bool:
    return isinstance(error, MlflowException) and error.error_code in REFUSALS


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
