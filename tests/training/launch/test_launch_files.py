"""The configurations that ship for `accelerate launch`: its own loader reads each, and the guide names each."""

from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env

from vitpose import training
from vitpose.training.config.recipe import Recipe
from vitpose.training.engine.sharding import sharding_plugin

FOLDER = Path(training.__file__).parent / "launch"
EXPECTED = {
    "cpu.yaml": (DistributedType.NO, 1, 1, True),
    "one_gpu.yaml": (DistributedType.NO, 1, 1, False),
    "ddp_8_gpus.yaml": (DistributedType.MULTI_GPU, 1, 8, False),
    "fsdp2.yaml": (DistributedType.FSDP, 1, 8, False),
    "two_nodes.yaml": (DistributedType.MULTI_GPU, 2, 16, False),
}


def test_each_is_expected():
    assert {path.name for path in FOLDER.iterdir()} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_accelerate_reads_it(name):
    found = load_config_from_file(str(FOLDER / name))
    assert isinstance(found, ClusterConfig)
    assert (found.distributed_type, found.num_machines, found.num_processes, found.use_cpu) == EXPECTED[name]
    assert "mixed_precision" not in yaml.safe_load((FOLDER / name).read_text()), "precision is the recipe's"


@pytest.mark.parametrize("name", EXPECTED)
def test_its_command_is_one_that_accelerate_takes(name):
    comment = [line[1:].strip().rstrip("\\") for line in (FOLDER / name).read_text().splitlines() if line[:1] == "#"]
    start = next(number for number, line in enumerate(comment) if line.startswith("accelerate launch"))
    words = " ".join(comment[start : start + 2]).split("training/run.py")[0].split()
    given = launch_command_parser().parse_args([*words[2:], "training/run.py"])
    assert given.config_file == f"training/launch/{name}"


def test_a_run_launched_with_fsdp2_shards(monkeypatch):
    given = launch_command_parser().parse_args(["--config_file", str(FOLDER / "fsdp2.yaml"), "training/run.py"])
    launched, _, _ = _validate_launch_command(given)
    for name, value in prepare_multi_gpu_env(launched).items():
        monkeypatch.setenv(name, value)
    plugin = sharding_plugin(Recipe.from_fields(mixed_precision="bf16"))
    assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
    assert not plugin.cpu_ram_efficient_loading


def test_the_guide_names_each(checkout):
    guide = (checkout / "docs" / "recipes.md").read_text()
    assert [name for name in EXPECTED if f"`{name}`" not in guide] == []
