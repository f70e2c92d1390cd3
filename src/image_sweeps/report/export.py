"""The report for programs: `report.json`, and `cells.csv`."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from image_sweeps.report.content import MAX_COUNTED, CellRow, Summary
from image_sweeps.report.record import Confusion


def as_json(summary: Summary) -> str:
    """Return every attribute of the summary under its own name, as strict JSON."""
    return json.dumps(_plain(summary), indent=1, allow_nan=False) + "\n"


def as_csv(cells: Sequence[CellRow]) -> str:
    """Return CSV with one row per cell; each key that varies has a column of its own."""
    levels = list(cells[0].levels) if cells else []
    facts = [field.name for field in fields(cells[0]) if field.name != "levels"] if cells else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*facts[:2], *levels, *facts[2:]])
    for cell in cells:
        values = [getattr(cell, name) for name in facts]
        writer.writerow([*values[:2], *(cell.levels[key] for key in levels), *values[2:]])
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Return dataclasses and arrays as JSON types; numbers that are not finite become None."""
    if isinstance(value, Confusion) and len(value.class_names) > MAX_COUNTED:
        return {"class_names": _plain(value.class_names), "counts": None}
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
