"""Every mistake, and the words it is met with."""

import pytest
import torch

from image_sweeps.config.composition import CONF, hydra_at
from image_sweeps.config.problems import ConfigError
from image_sweeps.config.schema import GROUPS, Config, for_other_machines
from image_sweeps.sweep.plan import plan
from tests.support.archives import two_classes, write_folder, write_zip
from tests.support.configurations import choices, config_of


def problems(*overrides):
    with hydra_at(), pytest.raises(ConfigError) as error:
        plan(overrides)
    return error.value.problems


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_in_conf_is_accepted_as_it_stands(group, tmp_path):
    required = {
        "image_zip": [f"dataset.path={write_zip(tmp_path / 'images.zip', two_classes())}"],
        "image_folder": [f"dataset.path={write_folder(tmp_path / 'images', two_classes())}"],
    }
    for choice in choices(group):
        config_of(f"{group}={choice}", *required.get(choice, []))


@pytest.mark.parametrize("choice", ["image_zip", "image_folder"])
def test_images_without_a_path_are_asked_for_one(choice):
    (problem,) = problems(f"dataset={choice}")
    assert problem == "dataset.path: is missing; give it a value, as in dataset.path=..."


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            "model=cnnn",
            f"model=cnnn: there is no such choice. Did you mean cnn? Choices of model: {', '.join(choices('model'))}",
        ),
        (
            "optimizer.momentun=0.9",
            "optimizer.momentun: there is no such key. Did you mean optimizer.momentum? Keys here: optimizer.lr, "
            "optimizer.momentum, optimizer.nesterov, optimizer.weight_decay",
        ),
        ("optimizer.lr=-1", "optimizer.lr = -1: must be greater than 0"),
        ("optimizer.lr=0", "optimizer.lr = 0: must be greater than 0"),
        ("optimizer.lr=nan", "optimizer.lr = nan: must be a finite number"),
        ("optimizer.lr=inf", "optimizer.lr = inf: must be a finite number"),
        ("optimizer.lr=fast", "optimizer.lr = 'fast': must be a valid number"),
        ("optimizer.momentum=1", "optimizer.momentum = 1: must be less than 1"),
        ("epochs=0", "epochs = 0: must be greater than 0"),
        ("epochs=2.5", "epochs = 2.5: must be a valid integer"),
        ("epochs=true", "epochs = True: must be a valid integer"),
        ("epochs=null", "epochs = None: must be a valid integer"),
        ("batch_size=-3", "batch_size = -3: must be greater than 0"),
        ("seed=-1", "seed = -1: must be greater than or equal to 0"),
        ("dataset.val_fraction=1.5", "dataset.val_fraction = 1.5: must be less than 1"),
        ("dataset.channels=2", "dataset.channels = 2: must be one of 1 or 3"),
        ("precision=fp16", "precision = 'fp16': must be one of 'fp32' or 'bf16'"),
        ("device=tpu", "device = 'tpu': must be auto, cpu, mps, cuda or cuda:1"),
        ("deterministic=1", "deterministic = 1: must be a valid boolean"),
        ("model.channels=[16,0]", "model.channels.1 = 0: must be greater than 0"),
        ("~seed", "seed: is missing; give it a value, as in seed=..."),
        ("~model", "model: is missing; give it a value, as in model=..."),
        ("optimizer.lr=${nowhere}", "optimizer.lr: Interpolation key 'nowhere' not found"),
        (
            "optimizer._target_=image_sweeps.optimizer.torch.hub.load",
            "optimizer._target_ = 'image_sweeps.optimizer.torch.hub.load': must name a builder of "
            "image_sweeps.optimizer, a function or class",
        ),
        ("lr", "lr: is not in Hydra's override grammar (key=value). missing EQUAL at '<EOF>'"),
        (
            "optimizer.nesterov=true",
            "optimizer.nesterov = True: needs optimizer.momentum above 0, for example optimizer.momentum=0.9",
        ),
        (
            "seed=interval(0,1)",
            "seed=interval(0,1): a grid needs values to try, as in key=1,2 or key=range(1,4)",
        ),
        ("outputs_dir=[a]", "outputs_dir = ['a']: must be the name of a file or folder"),
        ("outputs_dir=a,b", "outputs_dir: cannot be swept; its values would give the same cell"),
    ],
)
def test_a_mistake_is_named_with_key_value_and_what_is_accepted(override, problem):
    assert problems(override) == (problem,)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "optimizer=os.system",
            "optimizer=image_sweeps.train.main",
            "optimizer=image_sweeps.optimizer.nothing",
            "optimizer=3",
        ),
        *(
            "dataset=image_sweeps.dataset.load.load",
            "dataset=image_sweeps.dataset.source.Dataset",
            "dataset=image_sweeps.dataset",
        ),
        *(
            "norm=image_sweeps.norm.Norm",
            "norm=image_sweeps.norm.Epsilon",
            "activation=image_sweeps.activation.nn.ReLU",
        ),
    ],
)
def test_only_builders_of_the_group_are_called(target):
    group, _, name = target.partition("=")
    found = problems(f"{group}._target_={name}")
    assert f"{group}._target_ = {name!r}: must name a builder of image_sweeps.{group}, a function or class" in found


def test_a_key_of_another_place_is_suggested():
    (problem,) = problems("modle=cnn")
    assert problem.startswith("modle: there is no such key. Did you mean model? Keys here: seed, epochs, batch_size,")
    (problem,) = problems("optimiser.lr=1")
    assert problem.startswith("optimiser: there is no such key. Did you mean optimizer? ")


def test_batch_norm_needs_two_images():
    (problem,) = problems("norm=batch", "batch_size=1")
    assert problem.startswith("batch_size = 1: norm=batch needs the statistics of at least 2 images a batch")


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many GPUs, as far as can be seen, or with Apple's."""

    def has(gpus, mps=False):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["devices=4", "device=cuda"], "devices = 4: 4 GPUs are wanted on this machine, which has 2"),
        (["devices=4"], "devices = 4: 4 GPUs are wanted on this machine, which has 2"),
        (["devices=2", "device=cuda:1"], "devices = 2: device = 'cuda:1' names one; device=cuda takes the first 2"),
        (["devices=0"], "devices = 0: must be greater than 0"),
        (["devices=1.5"], "devices = 1.5: must be a valid integer"),
    ],
)
def test_devices_that_cannot_be_had_are_refused_before_anything_runs(machine, overrides, problem):
    machine(gpus=2)
    assert problems(*overrides) == (problem,)


@pytest.mark.parametrize("device", ["auto", "mps"])
def test_apples_gpu_is_one(machine, device):
    machine(gpus=0, mps=True)
    problem = "devices = 2: there is one device of the kind mps; device=cpu trains in several processes"
    assert problems("devices=2", f"device={device}") == (problem,)


@pytest.mark.parametrize("overrides", [["devices=2", "device=cuda"], ["devices=2"], ["devices=9", "device=cpu"]])
def test_devices_that_can_be_had_are_accepted(machine, overrides):
    machine(gpus=2)
    assert config_of(*overrides).devices == int(overrides[0].removeprefix("devices="))


def test_of_the_devices_of_another_machine_nothing_is_known(machine):
    machine(gpus=0)
    with for_other_machines():
        assert config_of("devices=4", "device=cuda").devices == 4
        assert problems("devices=0") == ("devices = 0: must be greater than 0",)
    assert problems("device=cuda")[0].startswith("device = 'cuda': this machine has cpu")


def test_of_several_machines_each_has_to_have_its_own_devices(machine, monkeypatch):
    machine(gpus=2)
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert config_of("devices=4", "device=cuda").devices == 4
    machine(gpus=1)
    assert problems("devices=4", "device=cuda") == ("devices = 4: 2 GPUs are wanted on this machine, which has 1",)


def test_devices_belong_to_the_whole_sweep_and_to_no_cell():
    one, two = (config_of(f"devices={count}", "device=cpu") for count in (1, 2))
    assert one.scientific() == two.scientific()
    assert problems("devices=1,2", "device=cpu") == ("devices: cannot be swept; its values would give the same cell",)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    (problem,) = problems("device=cuda")
    assert problem.startswith("device = 'cuda': this machine has cpu")


def test_all_problems_come_in_one_message():
    found = problems(
        "model=cnnn", "optimizer.lr=-1", "epochs=0", "dataset.val_fraction=1.5", "optimizer.momentun=0", "a=1"
    )
    assert [problem.split(":")[0] for problem in found] == [
        "model=cnnn",
        "epochs = 0",
        "dataset.val_fraction = 1.5",
        "optimizer.lr = -1",
        "optimizer.momentun",
        "a",
    ]
    assert str(ConfigError(found)).startswith("The configuration has 6 problems; nothing was run.\n  model=cnnn:")


def test_a_problem_of_some_arms_names_them():
    (problem,) = problems("seed=0,1", "norm=none,layer", "dataset.image_size=2,16")
    assert problem == (
        "dataset.image_size = 2: too small for the 2 poolings of model.channels = [16, 32], which need at least 4\n"
        "(in seed=0 norm=none dataset.image_size=2; seed=0 norm=layer dataset.image_size=2; "
        "seed=1 norm=none dataset.image_size=2 and 1 more)"
    )


def test_a_misspelled_key_in_an_experiment_file_is_found(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\noptimizer:\n  momentun: 0.9\n")
    with hydra_at(extra_dir=tmp_path), pytest.raises(ConfigError, match=r"optimizer\.momentun: there is no such key"):
        plan(["experiment=mine"])


def test_a_missing_group_in_an_experiment_file_is_found(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\ndefaults:\n  - override /model: cnnn\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    with hydra_at(extra_dir=tmp_path), pytest.raises(ConfigError, match="Could not find 'model/cnnn'"):
        plan(["experiment=mine"])


def test_an_experiment_changes_run_level_values_and_the_command_line_wins(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nepochs: 7\nseed: 3\n")
    with hydra_at(extra_dir=tmp_path):
        config = plan(["experiment=mine", "seed=4"]).cells[0].config
    assert (config.epochs, config.seed) == (7, 4)


def test_choices_in_subfolders_are_taken_alone_and_in_a_grid(tmp_path):
    for name, text in {
        "experiment/mine/deep.yaml": "# @package _global_\nepochs: 7\n",
        "model/mine/small.yaml": (CONF / "model" / "mlp.yaml").read_text(),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    with hydra_at(extra_dir=tmp_path):
        cells = plan(["experiment=mine/deep", "model=cnn,mine/small"]).cells
        assert [cell.choices["model"] for cell in cells] == ["cnn", "mine/small"]
        assert {cell.config.epochs for cell in cells} == {7}
        with pytest.raises(ConfigError, match=r"model=mine/smal: there is no such choice. Did you mean mine/small\?"):
            plan(["model=mine/smal"])


def test_a_config_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        config_of().epochs = 3  # type: ignore[misc]


def test_a_group_that_is_no_mapping_is_named():
    raw = config_of().model_dump(by_alias=True, serialize_as_any=True) | {"optimizer": 3}
    with pytest.raises(ConfigError, match=r"optimizer = 3: must be a group of keys, chosen as in optimizer=\.\.\."):
        Config.checked(raw)
