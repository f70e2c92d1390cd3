"""A sweep's run in MLflow: the parent that its cells are nested under."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from src.sweep.plan import Plan
from src.sweep.result import Result
from src.tracking.environment import git_state
from src.tracking.store import Store


@contextmanager
def open_sweep(store: Store, sweep_id: str, plan: Plan) -> Iterator[str]:
    """The parent run's id. The run is open as long as the block, and ends as it does."""
    varied = " x ".join(plan.factors) or "one cell"
    run = store.client.create_run(
        store.experiment_id,
        run_name=f"sweep of {varied}",
        tags={"kind": "sweep", "sweep": sweep_id, **git_state()},
    )
    run_id = run.info.run_id
    for key, values in plan.factors.items():
        store.client.log_param(run_id, key, ", ".join(value.removeprefix(f"{key}=") for value in values))
    try:
        yield run_id
    except BaseException as error:
        store.client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    store.client.set_terminated(run_id, "FINISHED")


def log_summary(store: Store, run_id: str, results: Sequence[Result]) -> None:
    """The sweep's results as the parent run's description, a Markdown table, and the best of them as its metrics."""
    rows = ["| cell | val accuracy | test accuracy | 95% interval |", "|---|---|---|---|"]
    for r in results:
        if r.finished:
            interval = f"{r.test_accuracy_low:.2%} to {r.test_accuracy_high:.2%}"
            rows.append(f"| {r.name} | {r.val_accuracy:.2%} | {r.test_accuracy:.2%} | {interval} |")
        else:
            rows.append(f"| {r.name} | failed | | |")
    store.client.set_tag(run_id, "mlflow.note.content", "\n".join(rows))
    if best := max((r for r in results if r.finished), key=lambda r: r.val_accuracy, default=None):
        store.client.log_metric(run_id, "best/val_accuracy", best.val_accuracy, step=0)
        store.client.log_metric(run_id, "test/accuracy", best.test_accuracy, step=0)
