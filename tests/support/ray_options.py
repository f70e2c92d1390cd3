"""The options of conf/hydra/launcher/ray.yaml, for tests that change some of them."""

from image_sweeps.launch.ray.options import RayOptions


def options(**changes):
    """The options of the file with `init` and `remote` changed, and a cluster of two CPUs for the sweep."""
    init = {"address": "local", "num_cpus": 2, "num_gpus": None, "resources": None, "include_dashboard": False}
    remote = {
        **dict.fromkeys(("num_gpus", "memory", "resources", "accelerator_type", "label_selector")),
        "num_cpus": 1,
        "scheduling_strategy": "DEFAULT",
        "max_retries": 1,
    }
    both = {"init": init | changes.get("init", {}), "remote": remote | changes.get("remote", {})}
    return RayOptions.checked({"ray": both, "autoscaling": changes.get("autoscaling", False)})


def on(nodes, **changes):
    """The options for cells on a cluster that is there."""
    return options(init={"address": nodes.address, "num_cpus": None}, **changes)
