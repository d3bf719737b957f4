"""Weights sharded over two processes (FSDP): the step is that of one process with the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = """
import copy, json, sys
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
import vitpose

dist.init_process_group("gloo")
rank, mesh = dist.get_rank(), init_device_mesh("cpu", (2,))
torch.manual_seed(0)
small = {"hidden_size": 48, "num_attention_heads": 4, "num_hidden_layers": 2, "image_size": (64, 48)}
config = vitpose.ViTPoseConfig.from_preset("tiny", decoder="simple", datasets=["coco", "mpii"], **small)
model = vitpose.ViTPoseForPoseEstimation(config).eval()
whole = copy.deepcopy(model)
for module in model.modules():
    if type(module).__name__ in model._no_split_modules:
        fully_shard(module, mesh=mesh)
fully_shard(model, mesh=mesh)

crops, labels = torch.randn(4, 3, 64, 48), torch.rand(4, 17, 32, 24)
index = torch.tensor([0, 1, 1, 0])  # both processes see both datasets
own = slice(2 * rank, 2 * rank + 2)
model(crops[own], dataset_index=index[own], labels=labels[own]).loss.backward()
whole(crops, dataset_index=index, labels=labels).loss.backward()
worst = {}
for (name, sharded), parameter in zip(model.named_parameters(), whole.named_parameters()):
    difference = (sharded.grad.full_tensor() - parameter[1].grad).abs().max()
    worst[name] = float(difference / parameter[1].grad.abs().max())
shares = sum(p.to_local().numel() for p in model.parameters()) / sum(p.numel() for p in whole.parameters())
if rank == 0:
    json.dump({"worst": worst, "share": shares}, open(sys.argv[1], "w"))
dist.barrier()  # a process that is gone before the other one has heard its last word makes that one fail
dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_a_sharded_step_equals_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    result = subprocess.run(
        [*launch, str(tmp_path / "worker.py"), str(tmp_path / "found.json")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["share"] == pytest.approx(0.5, abs=0.05), "each process holds half of the weights"
    # softmax does not see what is added to all keys alike: the gradient of a key bias is rounding noise
    worst = {name: value for name, value in found["worst"].items() if not name.endswith("key.bias")}
    assert max(worst.values()) < 1e-4, max(worst, key=lambda name: worst[name])
