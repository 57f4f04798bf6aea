"""The benchmarks fit the library as it is now; what they measure is not a test's business."""

import importlib
import pkgutil

import pytest
from lightning_fabric import Fabric

import benchmarks

MODULES = [each.name for each in pkgutil.iter_modules(benchmarks.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_it_can_be_imported(name):
    importlib.import_module(f"benchmarks.{name}")


def test_the_throughput_is_measured_in_small():
    from benchmarks.throughput import Size, measure

    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    found = measure(Size(1 / 32, 1 / 64, images=256, matrix=64), fabric, rounds=2)
    assert set(found["images_per_second"]) == {"hard labels", "teacher kept", "teacher live", "usual loop"}
    assert all(speed > 0 for speed in found["images_per_second"].values())
    assert found["share_of_peak, teacher kept"] > 0
