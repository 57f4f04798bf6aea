"""Reading the intermediate activations z_k out of any network, without changing the network."""

from collections.abc import Iterable

from torch import Tensor, nn

from course_lib.errors import CourseError


class Activations:
    """Records the outputs of named layers during forward passes inside a ``with`` block.

    The recorded tensors are part of the autograd graph, so ``torch.autograd.grad(logits, z)`` works on them::

        with Activations(model, ["relu1", "relu2"]) as z:
            logits = model(inputs)
        z["relu1"]  # (N, 16), of the last forward pass

    Args:
        model: any module.
        layers: names as in ``model.named_modules()``, e.g. ``"features.3"``.

    Raises:
        CourseError: a layer does not exist, was not reached by a forward pass, returned something other than one
            tensor, or its output was overwritten by a later in-place operation.
    """

    def __init__(self, model: nn.Module, layers: Iterable[str]):
        if isinstance(layers, str):
            raise CourseError(f"layers must be a list of names, got the single string {layers!r}")
        modules = dict(model.named_modules())
        self._modules = {}
        for name in layers:
            if name not in modules or not name:
                known = ", ".join(filter(None, modules)) or "none"
                raise CourseError(f"layers names {name!r}, which the model does not have; it has: {known}")
            self._modules[name] = modules[name]
        self._recorded: dict[str, tuple[Tensor, int]] = {}
        self._handles = []

    def __enter__(self) -> "Activations":
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._recorder(name)))
        return self

    def __exit__(self, *exception) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _recorder(self, name: str):
        def record(module, inputs, output):
            if not isinstance(output, Tensor):
                raise CourseError(
                    f"layer {name!r} returns {type(output).__name__}; only one tensor can be read"
                )
            self._recorded[name] = (output, output._version)

        return record

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._modules:
            raise CourseError(
                f"activation {name!r} was not asked for; recorded are: {', '.join(self._modules)}"
            )
        if name not in self._recorded:
            raise CourseError(
                f"activation {name!r} is empty: no forward pass inside the with block reached the layer"
            )
        output, version = self._recorded[name]
        # ReLU(inplace=True) after the layer would silently turn "conv1" into "relu1".
        if output._version != version:
            raise CourseError(
                f"the output of layer {name!r} was overwritten by a later in-place operation; "
                "set inplace=False there, or read the later layer"
            )
        return output

    def __iter__(self):
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
