"""The oracle is Hydra itself, given all overrides of a configuration at once."""

import itertools
from shutil import copytree

import pytest
import yaml
from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from image_sweeps.config.composition import CONF, Composer, hydra_at
from image_sweeps.config.composition_cache import CompositionCache, explained
from image_sweeps.config.overrides import OWNED_BY_HYDRA, ParsedOverride, parse
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import GROUPS, Config
from tests.support.configurations import choices, one_composer
from tests.support.soak import depth

CHOICES = {group: choices(group) for group in (*GROUPS, "experiment")}


def by_hydra(overrides):
    """What Hydra makes of all overrides at once: the configuration and the choices, or what is wrong."""
    loader = GlobalHydra.instance().config_loader()
    texts = []
    for override in parse(overrides):
        text = override.input_line
        plain = not text.startswith((*OWNED_BY_HYDRA, "+", "~")) and not loader.get_group_options(override.key_or_group)
        texts.append(f"++{text}" if plain else text)
    try:
        cfg = compose("config", texts, return_hydra_config=True)
        own = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
        raw = OmegaConf.to_container(own, resolve=True)
        config = Config.checked(raw)
        return raw, config, {group: cfg.hydra.runtime.choices[group] for group in GROUPS}
    except ConfigError as error:
        return list(error.problems)
    except Exception as error:
        return [explained(error)]


def here(composer, overrides):
    try:
        made = composer.composed(overrides)
    except ConfigError as error:
        return list(error.problems)
    return made.raw, made.config, made.choices


def assert_same(composer, overrides):
    overrides = sorted(overrides, key=lambda text: not text.startswith(OWNED_BY_HYDRA))  # of two errors, the first
    found, expected = here(composer, overrides), by_hydra(overrides)
    assert found == expected
    assert isinstance(found, list) or list(found[0]) == list(expected[0])


def keys():
    """Every key of conf/, and what stands there."""
    found = {}

    def walk(prefix, tree):
        for key, value in tree.items():
            if isinstance(value, dict):
                walk(f"{prefix}{key}.", value)
            else:
                found[f"{prefix}{key}"] = value

    top = yaml.safe_load((CONF / "config.yaml").read_text())
    walk("", {key: value for key, value in top.items() if key not in ("defaults", "hydra")})
    for group in GROUPS:
        for choice in choices(group):
            content = yaml.safe_load((CONF / group / f"{choice}.yaml").read_text())
            content.pop("defaults", None)
            walk(f"{group}.", content)
    return found


KEYS = keys()
LITERALS = ["0", "1", "3", "-1", "0.5", "1e-3", "null", "true", "text", "''", "'a, b: {c}'", '"it is"', "[8,16]", "[]"]
ODD_VALUES = ["{a: 1}", "{lr: 0.5}", "[{a: 1},2]", "${seed}", "[8,${epochs}]", "${nowhere}", "???", "${oc.env:HOME}"]
ODD = [
    *("optimizer.momentun=0.5", "sed=3", "a.b.c=1", "model.channels.0=4", "model.channels.0.x=4", "seed.x=1"),
    *("model@other=cnn", "seed@other=1", "++model=cnn", "+norm@other=batch", "+experiment=none"),
    *("+seed=1", "+optimizer.foo=1", "+early_stopping={patience: 2}", "early_stopping={patience: 2}"),
    *("early_stopping={patience: 2, mindelta: 1}", "early_stopping=3", "early_stopping.patience={a: 1}"),
    *("~optimizer.lr", "~seed", "~seed=0", "~seed=1", "~nothing", "~norm", "~norm=none", "~norm=batch", "~experiment"),
    *("hydra.verbose=true", "hydra.nothing=1", "hydra/launcher=basic", "hydra.sweeper.params=null"),
    *("data_dir.x=1", "tracking.uri=null", "tracking=mlflow", "dataset.path=nowhere.zip", "experiment=[none]"),
    *("outputs_dir=${hydra.job.name}", "outputs_dir=${hydra:job.name}", "data_dir=${oc.env:NOT_THERE}"),
    *("seed=${oc.select:epochs,3}", "optimizer.lr=${l2}", "model.channels=[8,${epochs}]"),
]

choice = st.sampled_from(sorted(CHOICES)).flatmap(
    lambda group: st.sampled_from(CHOICES[group]).map(lambda name: f"{group}={name}")
)
known_value = st.sampled_from(sorted(KEYS)).map(lambda key: f"{key}={yaml.safe_dump(KEYS[key]).splitlines()[0]}")
any_value = st.builds(
    lambda prefix, key, value: f"{prefix}{key}={value}",
    st.sampled_from(["", "", "", "++", "+"]),
    st.sampled_from(sorted(KEYS)),
    st.sampled_from(LITERALS + ODD_VALUES),
)
arm = st.lists(st.one_of(choice, choice, any_value, st.sampled_from(ODD)), max_size=6)


@pytest.fixture
def composer(hydra_conf):
    """One for all tests, also of other modules: what it remembers of earlier ones must not show."""
    return one_composer()


@pytest.mark.deep
@settings(max_examples=depth(10, 100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arm)
def test_a_configuration_is_what_hydra_makes_of_it(composer, overrides):
    assert_same(composer, overrides)


@pytest.mark.parametrize("overrides", [*([odd] for odd in ODD), ["seed=1", "optimizer.lr=0.5", "seed=2", "model=mlp"]])
def test_a_configuration_is_what_hydra_makes_of_it_in_corners(composer, overrides):
    assert_same(composer, ["norm=batch", *overrides])


def test_choices_do_not_show_in_one_another(composer):
    """Also where a model chooses a norm, or sets a value at the top."""
    models, norms, activations = ("cnn_batch", "mlp_dropout_l2", "mlp"), ("layer", "batch"), ("gelu", "tanh")
    for model, norm, activation in itertools.product(models, norms, activations):
        assert_same(composer, [f"model={model}", f"norm={norm}", f"activation={activation}", "norm.eps=0.5"])


@pytest.fixture
def conf(tmp_path):
    """A copy of conf/ to change."""
    return copytree(CONF, tmp_path / "conf")


def test_a_value_that_refers_to_another_follows_it(conf):
    text = (conf / "config.yaml").read_text()
    (conf / "config.yaml").write_text(text.replace("l2: 0.0", "l2: ${optimizer.weight_decay}"))
    with hydra_at(conf):
        composer = Composer()
        for overrides in (["optimizer.weight_decay=0.5"], ["optimizer.weight_decay=0.25"], ["optimizer=adamw"], []):
            assert_same(composer, overrides)


def test_a_file_that_two_choices_name_together_counts(conf):
    (conf / "config.yaml").write_text(
        (conf / "config.yaml").read_text().replace("  - experiment: none", "  - optional both: ${norm}_${activation}")
    )
    (conf / "both").mkdir()
    (conf / "both" / "batch_gelu.yaml").write_text("# @package _global_\nseed: 7\n")
    with hydra_at(conf):
        composer = Composer()
        for norm, activation in itertools.product(["none", "batch"], ["relu", "gelu"]):
            assert_same(composer, [f"norm={norm}", f"activation={activation}"])
        assert composer.composed(["norm=batch", "activation=gelu"]).config.seed == 7


def test_choices_that_fill_only_their_own_group_are_composed_one_by_one(hydra_conf):
    bases, made = CompositionCache("config"), set()
    norms, activations = ([ParsedOverride.parse(f"{g}={c}") for c in choices(g)] for g in ("norm", "activation"))
    for chosen in itertools.product(norms, activations):
        trunk, leaves = bases.split_by_group(chosen)
        made |= {trunk, *leaves.values()}
    assert len(made) == len(norms) + len(activations) - 1


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("model=cnnn", "model=cnnn: there is no such choice. Did you mean cnn? Choices of model: anime_cnn, cnn, "),
        ("optimizer=null", "optimizer=null: there is no such choice. Choices of optimizer: adam, "),
        ("optimizer=[sgd,sgd]", "optimizer: takes one choice, as in optimizer=..."),
        ("model.channels.x=4", "model.channels.x=4: invalid literal for int() with base 10: 'x'"),
        ("seed", "seed: is not in Hydra's override grammar (key=value). "),
    ],
)
def test_what_hydra_does_not_explain_is_explained(composer, override, problem):
    (found,) = here(composer, [override])
    assert found.startswith(problem)


def test_all_problems_are_told_at_once(composer):
    found = here(composer, ["model=cnnn", "epochs=0", "optimizer=sgdd", "seed=-1"])
    assert [problem.split(":")[0] for problem in found] == ["model=cnnn", "optimizer=sgdd", "seed = -1", "epochs = 0"]
