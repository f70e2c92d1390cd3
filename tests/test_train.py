"""The README's main command, run for real and read back through MLflow's client."""

import json
from pathlib import Path
from urllib.parse import urlparse

import mlflow
import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient
from pyarrow import csv, parquet
from sklearn.metrics import accuracy_score

from image_sweeps.cell.folders import CellFile, SweepFile
from image_sweeps.dataset import load
from image_sweeps.fit import checkpoint
from image_sweeps.fit.batches import Normalize, pixels
from image_sweeps.fit.loop import predict
from image_sweeps.model import build
from tests.support.archives import two_classes, write_zip
from tests.support.configurations import FASHION, choices, config_of

TINY = ("epochs=2", "dataset.image_size=8")


class Sweep:
    """A sweep that has run, and what it left."""

    def __init__(self, done, outputs):
        self.done, self.outputs = done, outputs
        self.client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
        (self.experiment,) = [
            e.experiment_id for e in self.client.search_experiments() if e.name == "image-classification"
        ]
        runs = self.client.search_runs([self.experiment], max_results=1000)
        self.cells = {run.info.run_name: run for run in runs if run.data.tags["kind"] == "cell"}
        self.parents = [run for run in runs if run.data.tags["kind"] == "sweep"]

    def artifact(self, run, name):
        return Path(urlparse(run.info.artifact_uri).path) / name


@pytest.fixture(scope="module")
def sweep(command_line, tmp_path_factory):
    outputs = tmp_path_factory.mktemp("sweep")
    done = command_line("-m", "model=cnn,cnn_batch", *TINY, f"outputs_dir={outputs}")
    return Sweep(done, outputs)


def test_the_main_command_succeeds_without_a_warning(sweep):
    assert sweep.done.returncode == 0
    assert sweep.done.stderr == ""


def test_the_terminal_shows_choices_first_results_last_and_the_way_to_the_runs(sweep):
    text = sweep.done.stdout
    assert text.startswith("sweep 20")
    parts = [
        "model = cnn, cnn_batch",
        "optimizer    sgd  lr=0.1",
        "val acc",
        " *",
        "mlflow server",
        "http://127.0.0.1:5000/#/",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "epoch 1/2" not in text  # nobody is looking


def test_both_cells_finish_under_one_parent_named_by_what_varies(sweep):
    (parent,) = sweep.parents
    assert set(sweep.cells) == {"model=cnn", "model=cnn_batch"}
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "sweep of model"
    assert parent.data.params == {"model": "cnn, cnn_batch"}
    assert "cnn\\_batch" in parent.data.tags["mlflow.note.content"]
    for run in sweep.cells.values():
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["sweep"] == parent.data.tags["sweep"]
        assert len(run.data.tags["cell"]) == 12
        assert run.data.tags["git.dirty"] in ("true", "false")
        assert len(run.data.tags["git.commit"]) == 40


def test_every_file_in_the_folders_of_the_sweep_and_its_cells_has_a_name_in_the_source(sweep):
    (folder,) = sweep.outputs.glob("sweeps/*")
    cells = [path for path in folder.iterdir() if (path / CellFile.CELL).exists()]
    assert len(cells) == 2
    assert {path.name for path in folder.iterdir() if path not in cells} <= set(SweepFile)
    assert {path.name for cell in cells for path in cell.iterdir()} <= set(CellFile)


def test_params_are_the_short_choices_and_the_flattened_config(sweep):
    params = sweep.cells["model=cnn_batch"].data.params
    expected = {
        "dataset": "digits",
        "model": "cnn_batch",
        "activation": "relu",
        "norm": "batch",
        "optimizer": "sgd",
        "scheduler": "none",
        "optimizer.lr": "0.1",
        "dataset.image_size": "8",
        "model.channels": "[16, 32]",
        "epochs": "2",
        "seed": "0",
    }
    assert {key: params.get(key) for key in expected} == expected


def test_metrics_have_their_names_and_epochs_counted_from_1(sweep):
    for run in sweep.cells.values():
        for key in ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr", "time/epoch_s"):
            history = sweep.client.get_metric_history(run.info.run_id, key)
            assert [metric.step for metric in history] == [1, 2], key
        once = ["stop/epoch", "best/epoch", "best/val_loss", "best/val_accuracy"]
        once += ["test/loss", "test/accuracy", "test/accuracy_low", "test/accuracy_high", "test/precision"]
        once += ["test/recall", "test/f1", "test/roc_auc", "test/average_precision", "test/ece"]
        for key in once:
            assert [metric.step for metric in sweep.client.get_metric_history(run.info.run_id, key)] == [0], key


def test_the_best_checkpoint_is_the_epoch_that_validation_prefers(sweep):
    for run in sweep.cells.values():
        accuracies = [m.value for m in sweep.client.get_metric_history(run.info.run_id, "val/accuracy")]
        assert run.data.metrics["best/val_accuracy"] == max(accuracies)
        best = checkpoint.load(sweep.artifact(run, "checkpoints/best.pt"))
        assert best["epoch"] == run.data.metrics["best/epoch"]
        assert best["cell"] == run.data.tags["cell"]


@pytest.fixture(params=["model=cnn", "model=cnn_batch"])
def reloaded(request, sweep):
    """A cell's network, rebuilt from its checkpoint alone, with the test split."""
    run = sweep.cells[request.param]
    best = checkpoint.load(sweep.artifact(run, "checkpoints/best.pt"))
    config = config_of(request.param, *TINY)
    source = config.dataset.build(config.data_dir)
    net = build(config, source.shape, 10, torch.device("cpu"))
    net.load_state_dict(best["model"])
    test = load(source, sweep.outputs / "cache").test
    return sweep, run, test, predict(net, test, Normalize((0.0,), (1.0,)), config)


def test_test_metrics_are_those_of_the_best_checkpoint_on_the_test_split(reloaded):
    _, run, test, logits = reloaded
    accuracy = accuracy_score(test.labels, logits.argmax(1))
    assert run.data.metrics["test/accuracy"] == pytest.approx(accuracy)
    assert run.data.metrics["test/accuracy_low"] < accuracy < run.data.metrics["test/accuracy_high"]


def test_every_test_prediction_is_kept(reloaded):
    sweep, run, test, logits = reloaded
    table = parquet.read_table(sweep.artifact(run, "test_predictions.parquet"))
    assert table.column_names == ["index", "label", "prediction", *(f"p_{k}" for k in range(10))]
    assert table["label"].to_pylist() == test.labels.tolist()
    assert table["prediction"].to_pylist() == logits.argmax(1).tolist()
    ours = np.stack([table[f"p_{k}"].to_numpy() for k in range(10)], axis=1)
    np.testing.assert_allclose(ours, logits.softmax(1).numpy(), atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what loads the model, not of the model
def test_the_logged_model_answers_as_the_checkpoint_for_any_batch_size(reloaded):
    sweep, run, test, logits = reloaded
    (output,) = run.outputs.model_outputs
    model = mlflow.pyfunc.load_model(sweep.outputs / "artifacts" / "models" / output.model_id / "artifacts")
    for num_images in (1, 3, len(test)):
        answers = model.predict(pixels(test.images[:num_images]).numpy())
        np.testing.assert_allclose(answers, logits[:num_images].numpy(), atol=1e-5)


def test_the_logged_model_needs_named_versions_and_no_code_of_ours(sweep):
    run = sweep.cells["model=cnn"]
    (output,) = run.outputs.model_outputs
    folder = sweep.outputs / "artifacts" / "models" / output.model_id / "artifacts"
    assert (folder / "requirements.txt").read_text().split()[-2].startswith("torch==")
    assert (folder / "data" / "model.pt2").exists()
    assert not list(folder.rglob("*.pkl"))


def test_the_artifacts_are_all_there(sweep):
    for run in sweep.cells.values():
        folder = sweep.artifact(run, "")
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert found == {
            "calibration.csv",
            "config.yaml",
            "confusion.csv",
            "environment.yaml",
            "history.csv",
            "layers.csv",
            "mistakes.csv",
            "per_class.csv",
            "precision_recall.csv",
            "roc.csv",
            "test_predictions.parquet",
            "checkpoints/best.pt",
            "figures/batch.png",
            "figures/confusion.png",
            "figures/curves.png",
            "figures/mistakes.png",
            "figures/precision_recall.png",
            "figures/reliability.png",
            "figures/roc.png",
        }


def test_the_tables_agree_with_the_metrics(sweep):
    for run in sweep.cells.values():
        counts = csv.read_csv(sweep.artifact(run, "confusion.csv")).to_pandas().set_index("label").to_numpy()
        assert np.trace(counts) / counts.sum() == pytest.approx(run.data.metrics["test/accuracy"])
        per_class = csv.read_csv(sweep.artifact(run, "per_class.csv")).to_pandas()
        assert per_class["f1"].mean() == pytest.approx(run.data.metrics["test/f1"])
        assert per_class["support"].tolist() == counts.sum(1).tolist()
        layers = csv.read_csv(sweep.artifact(run, "layers.csv")).to_pandas()
        assert layers["parameters"].sum() == int(run.data.params["num_parameters"])


def test_the_logged_config_is_resolved_and_runs_again(sweep):
    logged = yaml.safe_load(sweep.artifact(sweep.cells["model=cnn_batch"], "config.yaml").read_text())
    assert logged["norm"] == {"_target_": "image_sweeps.norm.BatchNorm", "eps": 1e-5, "momentum": 0.1}
    assert "${" not in json.dumps(logged)
    from image_sweeps.config.schema import Config

    assert Config.checked(logged).scientific() == config_of("model=cnn_batch", *TINY).scientific()


def test_the_environment_is_recorded(sweep):
    logged = yaml.safe_load(sweep.artifact(sweep.cells["model=cnn"], "environment.yaml").read_text())
    assert logged["torch"] == torch.__version__
    assert {"python", "device", "threads", "git.commit", "git.dirty", "command"} <= set(logged)


def test_the_data_set_is_the_runs_input_with_its_fingerprint(sweep):
    for run in sweep.cells.values():
        (logged,) = run.inputs.dataset_inputs
        source = config_of().dataset.build(Path())
        assert (logged.dataset.name, logged.dataset.digest) == ("digits", source.fingerprint)
        assert json.loads(logged.dataset.profile) == {"train": 1293, "val": 144, "test": 360, "classes": 10}


def test_a_cell_alone_gives_the_same_numbers_as_in_a_sweep(sweep, command_line, tmp_path):
    done = command_line("model=cnn_batch", *TINY, f"outputs_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = Sweep(done, tmp_path).cells.values()
    planned = sweep.cells["model=cnn_batch"]
    assert run.data.tags["cell"] == planned.data.tags["cell"]
    assert "mlflow.parentRunId" not in run.data.tags
    same = {key: value for key, value in planned.data.metrics.items() if not key.startswith("time/")}
    assert {key: run.data.metrics[key] for key in same} == same


def test_a_diverging_cell_fails_alone_and_says_why(command_line, tmp_path):
    done = command_line("-m", "optimizer.lr=1e30,0.1", *TINY, f"outputs_dir={tmp_path}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    message = "optimizer.lr=1e+30 failed. NonFiniteLossError: the training loss became nan in epoch 1, step 2 of 13"
    assert message in done.stderr
    sweep = Sweep(done, tmp_path)
    status = {name: run.info.status for name, run in sweep.cells.items()}
    assert status == {"optimizer.lr=1e+30": "FAILED", "optimizer.lr=0.1": "FINISHED"}
    assert "at learning rate 1e+30" in sweep.cells["optimizer.lr=1e+30"].data.tags["reason"]


def test_data_that_cannot_be_split_fails_with_a_message(command_line, tmp_path):
    done = command_line("dataset.val_fraction=0.001", *TINY, f"outputs_dir={tmp_path}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "dataset.val_fraction = 0.001: cannot split" in done.stderr


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_composes(experiment):
    config_of(f"experiment={experiment}")


@pytest.fixture(scope="module")
def regularised(command_line, tmp_path_factory):
    """One cell with all that is off by default."""
    outputs = tmp_path_factory.mktemp("regularised")
    settings = ("l2=0.01", "early_stopping.patience=1", "optimizer.lr=1e-9", "epochs=9", "dataset.normalize=dataset")
    done = command_line("model=mlp", *settings, "augmentation=rotate", "dataset.image_size=8", f"outputs_dir={outputs}")
    return Sweep(done, outputs)


def test_the_epoch_at_which_training_stopped_is_recorded(regularised):
    assert (regularised.done.returncode, regularised.done.stderr) == (0, "")
    (run,) = regularised.cells.values()
    epochs = regularised.client.get_metric_history(run.info.run_id, "val/accuracy")
    assert run.data.metrics["stop/epoch"] == len(epochs) < 9
    assert run.data.metrics["best/epoch"] == len(epochs) - 1


def test_the_penalty_is_recorded(regularised):
    (run,) = regularised.cells.values()
    weights = checkpoint.load(regularised.artifact(run, "checkpoints/best.pt"))["model"]
    expected = 0.01 / 2 * sum(w.double().square().sum().item() for w in weights.values())
    assert run.data.metrics["train/penalty"] == pytest.approx(expected, rel=1e-4)  # the rate moves nothing


def test_what_the_images_are_normalised_by_is_recorded_and_part_of_the_model(regularised):
    (run,) = regularised.cells.values()
    best = checkpoint.load(regularised.artifact(run, "checkpoints/best.pt"))
    assert run.data.params["normalize.mean"] == str(best["mean"])
    assert run.data.params["normalize.std"] == str(best["std"])
    config = config_of("model=mlp", "dataset.image_size=8", "dataset.normalize=dataset")
    source = config.dataset.build(config.data_dir)
    test = load(source, regularised.outputs / "cache").test
    net = build(config, source.shape, 10, torch.device("cpu")).eval()
    net.load_state_dict(best["model"])
    mean, std = torch.tensor(best["mean"])[:, None, None], torch.tensor(best["std"])[:, None, None]
    pixels_NCHW = test.images.float() / 255
    (output,) = run.outputs.model_outputs
    model = mlflow.pyfunc.load_model(regularised.outputs / "artifacts" / "models" / output.model_id / "artifacts")
    expected = net((pixels_NCHW - mean) / std).detach().numpy()
    np.testing.assert_allclose(model.predict(pixels_NCHW.numpy()), expected, atol=1e-5)


def test_a_fold_of_an_archive_runs_from_an_experiment_without_edits(command_line, tmp_path):
    archive = FASHION.parents[2] / "two_signs.zip"
    if not archive.exists():
        pytest.skip(f"the archive is not there: {archive}")
    overrides = (
        "experiment=anime_activations",
        "dataset.fold=0,1",
        "activation=relu",
        "epochs=1",
        "dataset.image_size=16",
    )
    done = command_line("-m", *overrides, f"outputs_dir={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(Sweep(done, tmp_path).cells) == {"dataset.fold=0", "dataset.fold=1"}


def test_images_that_cannot_be_decoded_are_counted_and_listed_in_the_run(command_line, tmp_path):
    files = {**two_classes(num_images=20), "a/broken.png": b"no image"}
    write_zip(tmp_path / "images.zip", files)
    settings = ("dataset=image_zip", f"dataset.path={tmp_path}/images.zip", "dataset.image_size=8", "epochs=1")
    done = command_line(
        *settings, "dataset.on_bad_image=skip", "dataset.val_fraction=0.2", f"outputs_dir={tmp_path}/outputs"
    )
    assert (done.returncode, done.stderr) == (0, "")
    sweep = Sweep(done, tmp_path / "outputs")
    (run,) = sweep.cells.values()
    assert run.data.params["num_skipped_images"] == "1"
    assert sweep.artifact(run, "skipped_images.txt").read_text() == "a/broken.png\n"
