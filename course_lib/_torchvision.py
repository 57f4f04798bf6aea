"""Import torchvision, also where its compiled operators do not load; all of course_lib imports it from here.

A torchvision wheel built for another variant of PyTorch (a CUDA wheel beside a CPU-only torch is the common case)
cannot load its operators, and ``import torchvision`` then stops with "operator torchvision::nms does not exist"
while it registers shape functions for operators that are missing. The course uses none of these operators, so on
that very error we declare their schemas, forget the half-imported modules and import once more.
"""

import sys

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # a Library takes its schemas back when it is collected


def _import():
    import torchvision

    return torchvision


try:
    torchvision = _import()
except RuntimeError as error:
    if "torchvision::nms does not exist" not in str(error):
        raise
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + _SCHEMA)
    _declared.append(library)
    for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    torchvision = _import()
