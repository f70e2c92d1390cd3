"""What many processes do at once, each with a run of its own."""

from pathlib import Path

from image_sweeps.cell.status import CellStatus
from image_sweeps.tracking.delivery_thread import DeliveryThread
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.store import store_at
from tests.support.configurations import config_of

FACTS = {"name": "digits", "digest": "d1", "source_type": "code", "source": "{}", "profile": "{}", "context": "train"}


def write_one(home, outputs, uri, experiment, barrier):
    """Record a run as a cell does, on a store that all the others open at the same moment."""
    tracking = config_of(f"tracking.uri={uri or 'null'}", f"tracking.experiment={experiment}").tracking
    journal = Journal(Path(home))
    barrier.wait()
    journal.begin("run", {"kind": "cell"}, tracking, nested=False)
    delivery_thread = DeliveryThread(journal, lambda: store_at(Path(outputs), uri, experiment), lambda _: None)
    journal.params({f"p{number}": number for number in range(50)})
    journal.dataset(**FACTS)
    for epoch in range(1, 6):
        journal.metrics([("loss", 1 / epoch, epoch, epoch), ("accuracy", epoch / 10, epoch, epoch)])
        delivery_thread.wake()
    with journal.files() as folder:
        (folder / "a.txt").write_text("a")
    journal.end(CellStatus.FINISHED)
    delivery_thread.close(settled=True)
