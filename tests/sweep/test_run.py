from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from image_sweeps.sweep.run import folder_overrides


@pytest.mark.parametrize("cell_id", ["b4a1671d2f28", "1020079e5857", "012345678901", "123456789012", "000000000e12"])
@pytest.mark.parametrize("folder", ["/a/b", "/with space", "/it's", "/a,b=c", "/back\\slash"])
def test_hydra_reads_folders_and_ids_as_they_are(cell_id, folder):
    parsed = OverridesParser.create().parse_overrides(folder_overrides(Path(folder), cell_id))
    assert [(o.key_or_group, o.value()) for o in parsed] == [
        ("hydra.sweep.dir", folder),
        ("hydra.sweep.subdir", cell_id),
    ]
