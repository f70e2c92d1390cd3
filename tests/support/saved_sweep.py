"""Sweeps that are frozen in their folders and begun in their store, for a pool or a scheduler to run."""

import json
from dataclasses import replace

from mlflow import MlflowClient

from image_sweeps.cell.cell import SweepContext
from image_sweeps.config.composition import hydra_at
from image_sweeps.launch.pool import Pool
from image_sweeps.launch.slots import Slot
from image_sweeps.launch.worker import HydraJob
from image_sweeps.sweep.plan import plan
from image_sweeps.tracking.delivery import deliver
from image_sweeps.tracking.journal import Journal
from image_sweeps.tracking.store import open_store
from tests.support.empty_store import with_store
from tests.support.listeners import Remembering

TINY = ("dataset.image_size=8", "model=mlp", "epochs=1")
SILENT = HydraJob({"root": None, "version": 1}, verbose=False, environment={"SAID": "by Hydra"})


class Sweep:
    """A frozen sweep, not yet run."""

    def __init__(self, outputs, name, overrides):
        with hydra_at():
            cells = plan([*TINY, f"outputs_dir={outputs}", *overrides]).cells
        with_store(cells[0].config.outputs_dir)
        self.store = open_store(cells[0].config)
        self.id = name
        self.listener = Remembering()
        self.folders = [outputs / "sweeps" / name / cell.id for cell in cells]
        tracking = cells[0].config.tracking
        sweep = Journal(outputs / "sweeps" / name)
        sweep.begin(name, {"kind": "sweep", "sweep": name}, tracking, nested=False)
        deliver(sweep, self.store)
        for position, (cell, folder) in enumerate(zip(cells, self.folders, strict=True), start=1):
            replace(cell, sweep=SweepContext(name, position, len(cells))).save(folder)

    def run(self, work, num_slots=2, num_threads=1, gpu=None, when_idle=None):
        """The outcomes by seed."""
        slots = [Slot(f"slot {number}", num_threads, gpu) for number in range(num_slots)]
        results = Pool(slots, lambda folder: SILENT, self.listener, work, when_idle).run(self.folders)
        return {result.name: result for result in results}

    def told(self, name):
        """What the cells left in files of this name."""
        return [json.loads((folder / name).read_text()) for folder in self.folders]

    def runs(self):
        """The runs of the cells by cell."""
        found = MlflowClient(self.store.uri).search_runs(
            [self.store.experiment_id], f"tags.sweep = '{self.id}' and tags.kind = 'cell'"
        )
        return {run.data.tags["cell"]: run for run in found}
