import json
import threading

import numpy as np
import pytest

from image_sweeps.dataset.cache import rows
from tests.support.synthetic_images import made


def the_files(folder):
    (array,) = folder.glob("*.npy")
    return array, array.with_suffix(".json")


def test_images_are_decoded_once_and_come_back_the_same(tmp_path):
    source = made(tmp_path)
    first, again = (rows(source, 40, tmp_path) for _ in range(2))
    assert len(source.decodings) == 1
    expected = np.stack([source.pixels(p) for p in range(40)])
    np.testing.assert_array_equal(first.images, expected)
    np.testing.assert_array_equal(again.images, expected)


def test_images_that_could_not_be_decoded_are_left_out(tmp_path):
    source = made(tmp_path, bad=[0, 7, 8, 9, 10, 11, 12, 13, 39])
    decoded = rows(source, 40, tmp_path)
    kept = [p for p in range(40) if p not in source.bad]
    assert decoded.positions.tolist() == kept
    np.testing.assert_array_equal(decoded.images, np.stack([source.pixels(p) for p in kept]))


def test_another_size_is_another_cache(tmp_path):
    rows(made(tmp_path), 40, tmp_path)
    assert rows(made(tmp_path, image_size=5), 40, tmp_path).images.shape == (40, 3, 5, 5)


def flip_a_bit(array, description):
    raw = bytearray(array.read_bytes())
    raw[-5] ^= 4
    array.write_bytes(raw)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        lambda array, description: array.write_bytes(array.read_bytes()[:-3]),
        lambda array, description: array.write_bytes(b""),
        lambda array, description: array.write_bytes(b"not an array"),
        lambda array, description: array.unlink(),
        lambda array, description: description.unlink(),
        lambda array, description: description.write_text("{"),
        lambda array, description: description.write_text("[]"),
        lambda array, description: description.write_text(json.dumps({"positions": [1], "crc32": 0})),
        lambda array, description: np.save(array, np.array([{}], dtype=object), allow_pickle=True),
    ],
)
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    source = made(tmp_path)
    rows(source, 40, tmp_path)
    damage(*the_files(tmp_path))
    decoded = rows(source, 40, tmp_path)
    np.testing.assert_array_equal(decoded.images, np.stack([source.pixels(p) for p in range(40)]))
    assert len(source.decodings) == 2


def test_several_that_want_it_at_once_decode_once(tmp_path):
    source = made(tmp_path)
    found = []
    threads = [threading.Thread(target=lambda: found.append(rows(source, 40, tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(source.decodings) == 1
    assert all(np.array_equal(found[0].images, other.images) for other in found)


def test_an_interrupted_decoding_leaves_nothing_in_place(tmp_path):
    source = made(tmp_path)

    class Interrupted(type(source)):
        def decode(self):
            yield next(super().decode())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rows(Interrupted(**vars(source)), 40, tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
