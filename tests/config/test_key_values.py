import pytest

from image_sweeps.config.key_values import UsageError, key_values

KEYS = ("outputs_dir", "filter")


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("plain", "plain"),
        ("'a b'", "a b"),
        ('"Gr\u00f6\u00dfe"', "Gr\u00f6\u00dfe"),
        ("'it\\'s'", "it's"),
        ("params.dataset = 'digits'", "params.dataset = 'digits'"),
        ("'a' = 'a'", "'a' = 'a'"),  # quotes at both ends, of two strings
    ],
)
def test_quotes_around_a_whole_value_are_taken_off_as_train_does(typed, value):
    assert key_values([f"filter={typed}"], KEYS, "usage") == {"filter": value}


def test_a_key_that_does_not_exist_is_refused_with_the_nearest_one():
    with pytest.raises(UsageError, match=r"output_dir: there is no such key\. Did you mean outputs_dir\?"):
        key_values(["output_dir=x"], KEYS, "usage")
