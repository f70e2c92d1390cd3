"""Runs of a store, page by page."""

from collections.abc import Iterator, Sequence

from mlflow.entities import Run

from image_sweeps.tracking.store import Store

PAGE = 1000  # runs a query


def find_runs(store: Store, condition: str, experiments: Sequence[str] | None = None) -> Iterator[Run]:
    """Yield all runs that meet MLflow's filter `condition`, the latest first.

    Args:
        store: that is asked.
        condition: the filter.
        experiments: the ids of those that are looked through; None for the store's own.
    """
    token = None
    while True:
        page = store.client.search_runs(
            list(experiments or [store.experiment_id]), condition, max_results=PAGE, page_token=token
        )
        yield from page
        if not (token := page.token):
            return
