import numpy as np
import pytest

from image_sweeps.dataset import DataError, Role
from image_sweeps.dataset.split import split
from tests.support.synthetic_images import made

LABELS = [0] * 50 + [1] * 30 + [2] * 20


def splits(tmp_path, **settings):
    source = made(tmp_path, **{"labels": LABELS, **settings})
    return split(source, source.index())


def counts(positions):
    return np.bincount(np.array(LABELS)[positions], minlength=3).tolist()


def test_every_image_stands_in_exactly_one_split_in_its_class_share(tmp_path):
    train, val, test = splits(tmp_path)
    assert sorted([*train, *val, *test]) == list(range(100))
    assert (counts(train), counts(val), counts(test)) == ([30, 18, 12], [10, 6, 4], [10, 6, 4])


def test_another_split_seed_gives_another_split_and_the_same_seed_the_same(tmp_path):
    first, again, other = (splits(tmp_path, split_seed=seed).test.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_folds_test_every_image_exactly_once(tmp_path):
    tested = []
    for fold in range(5):
        train, val, test = splits(tmp_path, folds=5, fold=fold)
        assert sorted([*train, *val, *test]) == list(range(100))
        assert counts(test) == [10, 6, 4]
        tested += test.tolist()
    assert sorted(tested) == list(range(100))


def test_where_the_source_publishes_a_test_split_folds_are_held_out_for_validation(tmp_path):
    roles = [Role.TEST if n % 5 == 0 else Role.TRAIN for n in range(100)]
    validated = []
    for fold in range(4):
        train, val, test = splits(tmp_path, roles=roles, folds=4, fold=fold, test_fraction=None)
        assert test.tolist() == list(range(0, 100, 5))
        assert not set(train) & set(val)
        validated += val.tolist()
    assert sorted(validated) == [n for n in range(100) if n % 5]


def test_what_the_source_assigns_stays(tmp_path):
    roles = ([Role.TRAIN] * 3 + [Role.VAL] + [Role.TEST]) * 20
    train, val, test = splits(tmp_path, roles=roles)
    assert val.tolist() == list(range(3, 100, 5))
    assert test.tolist() == list(range(4, 100, 5))
    assert len(train) == 60


def test_a_class_too_small_to_split_is_named(tmp_path):
    with pytest.raises(
        DataError,
        match=r"dataset\.test_fraction = 0\.2: needs at least 2 images of every class to split; class 2 has 1",
    ):
        splits(tmp_path, labels=[0] * 20 + [1] * 20 + [2])


def test_of_many_classes_too_small_only_some_are_named(tmp_path):
    with pytest.raises(DataError, match=r"class 0 has 1, .*class 4 has 1 and 35 classes more$"):
        splits(tmp_path, labels=range(40))


def test_a_class_too_small_for_the_folds_is_named(tmp_path):
    with pytest.raises(
        DataError, match=r"dataset\.folds = 5: needs at least 5 images of every class .*; class 2 has 3"
    ):
        splits(tmp_path, labels=[0] * 20 + [1] * 20 + [2] * 3, folds=5)


def test_a_fraction_too_small_for_the_classes_is_refused_by_its_key(tmp_path):
    with pytest.raises(DataError, match=r"dataset\.val_fraction = 0\.01: cannot split the 80 images"):
        splits(tmp_path, val_fraction=0.01)


def test_a_fraction_of_the_training_images_leaves_validation_and_test_as_they_are(tmp_path):
    whole, part = splits(tmp_path), splits(tmp_path, train_fraction=0.5)
    assert (part.val.tolist(), part.test.tolist()) == (whole.val.tolist(), whole.test.tolist())
    assert counts(part.train) == [15, 9, 6]
    assert set(part.train) < set(whole.train)


def test_another_split_seed_draws_another_fraction_where_the_source_splits_itself(tmp_path):
    roles = ([Role.TRAIN] * 3 + [Role.VAL] + [Role.TEST]) * 20
    first, again, other = (
        splits(tmp_path, roles=roles, train_fraction=0.5, split_seed=seed).train.tolist() for seed in (0, 0, 1)
    )
    assert first == again != other


def test_a_fraction_without_images_of_every_class_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"dataset.train_fraction = 0.01: cannot split the 60 images"):
        splits(tmp_path, train_fraction=0.01)
