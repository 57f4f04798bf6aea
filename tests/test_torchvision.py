"""The one place that imports torchvision: it fixes that one error, and no other."""

import subprocess
import sys

import pytest

IMPORT = "from course_lib._torchvision import torchvision; print(torchvision.__name__, hasattr(torchvision, 'mark'))"


def run(code, path=None):
    environment = {"PYTHONPATH": str(path)} if path else {}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_torchvision_can_be_used():
    done = run("from course_lib._torchvision import torchvision as t; print(t.datasets.CIFAR10.tgz_md5)")
    assert done.stdout.strip() == "c58f30108f718f92721af3b95e74349a", done.stderr


def fake(folder, body):
    (folder / "torchvision.py").write_text(body)
    return folder


def test_missing_operators_are_declared_and_the_import_is_tried_again(tmp_path):
    body = (
        "import torch\n"
        "if not hasattr(torch.ops.torchvision, 'nms') or not hasattr(torch.ops.torchvision, 'qnms'):\n"
        "    raise RuntimeError('operator torchvision::nms does not exist')\n"
        "mark = 1\n"
    )
    done = run(IMPORT, fake(tmp_path, body))
    assert done.stdout.strip() == "torchvision True", done.stderr


@pytest.mark.parametrize("error", ["RuntimeError('another fault')", "ImportError('no torchvision::nms')"])
def test_any_other_error_is_left_alone(tmp_path, error):
    done = run(IMPORT, fake(tmp_path, f"raise {error}\n"))
    assert done.returncode == 1
    assert error.split("(")[0] in done.stderr.strip().splitlines()[-1]
