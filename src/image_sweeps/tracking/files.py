"""The files of a run, written to one folder and logged together, because each call costs MLflow queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from pyarrow import parquet

from image_sweeps.fit.evaluate import Evaluation
from image_sweeps.tracking import figures
from image_sweeps.tracking.tables import Table


@dataclass(frozen=True)
class Files:
    """The files that become artifacts under the same names.

    Attributes:
        folder: the folder that the files are written to.
    """

    folder: Path

    def text(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def yaml(self, name: str, content: Mapping[str, Any]) -> None:
        self.text(name, OmegaConf.to_yaml(OmegaConf.create(dict(content))))

    def table(self, name: str, table: Table) -> None:
        self.text(name, table.csv())

    def figure(self, name: str, figure: Figure) -> None:
        """Write a picture, `figures/<name>.png`."""
        path = self.folder / "figures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        figures.picture(figure).save(path)

    def predictions(self, evaluation: Evaluation, names: Sequence[str]) -> None:
        """Write test_predictions.parquet: index, label, prediction, and one column of probabilities per class."""
        columns: dict[str, Any] = {
            "index": np.arange(len(evaluation.labels), dtype=np.int32),
            "label": evaluation.labels.astype(np.int32),
            "prediction": evaluation.predictions.astype(np.int32),
            **{f"p_{name}": evaluation.probabilities[:, k] for k, name in enumerate(names)},
        }
        parquet.write_table(pa.table(columns), self.folder / "test_predictions.parquet", compression="zstd")
