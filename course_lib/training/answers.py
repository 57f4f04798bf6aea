"""Teachers that are not networks of PyTorch: answers at hand, in files, of functions, of other libraries."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.files import content_hash, write_atomically
from course_lib.progress import progress_bar
from course_lib.training.cache import TeacherCache, fingerprints

_SUFFIXES = (".npy", ".npz", ".safetensors")
_LOGITS, _MARKS = "logits", "fingerprints"


def answers_from(
    source: Any,
    examples: Examples,
    *,
    probabilities: bool = False,
    batch_size: int = 512,
    progress: bool = True,
) -> TeacherCache:
    """A teacher of any kind, asked once, to be given as ``teacher``.

    Args:
        source: where the answers come from:

            - a tensor or an array, one row for each example, (N, C), (N, L, C) or (N, C, H, W), in their order;
            - a file of such an array, ``.npy``, ``.npz`` or ``.safetensors``; with several arrays it is the one named
              "logits". Where there is one named "fingerprints", as ``save_answers`` writes it, the examples must be
              those that were answered, in any order;
            - a function from inputs (B, ...), as a student is given them, to logits (B, ...), tensor or array;
            - a classifier or regressor of scikit-learn, given all inputs as (N, features);
            - a session of ONNX Runtime with one input, whose first output counts.
        examples: which are answered.
        probabilities: the answers are probabilities p over the classes, not logits. Their logarithm is kept; for p = 0,
            that of the smallest float32. Classifiers of scikit-learn always give probabilities.
        batch_size: number of inputs that a function or a session is asked about at once.
        progress: show a bar where a person can see it, while a function or a session is asked.

    Returns:
        The cache, on the CPU.

    Raises:
        CourseError: the answers are not one finite row per example, not probabilities, or for other examples; a file
            cannot be read.

    Examples:
        >>> shares = torch.eye(10)[digits.train.labels]
        >>> training.answers_from(shares, digits.train, probabilities=True).logits.shape
        torch.Size([1200, 10])
    """
    if isinstance(source, nn.Module):
        raise CourseError("source must not be a network of PyTorch: cache_teacher(network, examples) asks it")
    marks = None
    if isinstance(source, str | Path):
        logits, marks = _from_file(Path(source))
    elif isinstance(source, Tensor | np.ndarray):
        logits = torch.as_tensor(source)
    elif hasattr(source, "predict"):
        logits, probabilities = _from_estimator(source, examples)
    else:
        logits = _asked(source, examples, batch_size, progress)
    if marks is not None:
        logits = logits[_places(marks, examples)]
    _check(logits, examples)
    kept = _logarithm(logits) if probabilities else logits.detach().cpu().float()
    if not torch.isfinite(kept).all():
        raise CourseError(
            "logits must be finite numbers, got NaN or infinity (the logarithm of a probability of 0? Give the "
            "probabilities, with probabilities=True)"
        )
    order, marks = examples.index.cpu().argsort(), fingerprints(examples)
    key = content_hash(kept, examples.index, marks)
    return TeacherCache(key, examples.index.cpu()[order], marks[order], kept[order])


def save_answers(cache: TeacherCache, path: str | Path) -> Path:
    """Write a teacher's logits and its examples' fingerprints into an ``.npz`` file, for ``answers_from``.

    Raises:
        CourseError: another kind of file, or one that cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise CourseError(f"path must end in .npz, got {path.name!r}")
    arrays: dict[str, Any] = {_LOGITS: cache.logits.numpy(), _MARKS: cache.marks.numpy()}
    write_atomically(path, lambda file: np.savez(file, **arrays))
    return path


def _check(logits: Tensor, examples: Examples) -> None:
    if not logits.is_floating_point() or logits.ndim < 2:
        raise CourseError(
            f"logits must be floating point of shape (N, C), got {logits.dtype} {tuple(logits.shape)}"
        )
    if len(logits) != len(examples):
        raise CourseError(
            f"logits must have one row for each of the {len(examples)} examples, got {len(logits)}"
        )


def _logarithm(shares: Tensor) -> Tensor:
    shares = shares.detach().cpu().double()
    classes = 1 if shares.ndim == 4 else -1
    sums = shares.sum(dim=classes)
    if not (shares >= 0).all() or not torch.allclose(sums, torch.ones(()).double(), atol=1e-3):
        negative = (shares < 0).any()
        came = "numbers below 0" if negative else f"sums from {sums.min():g} to {sums.max():g}"
        raise CourseError(f"probabilities must be at least 0 and sum to 1 over the classes, got {came}")
    return shares.clamp(min=torch.finfo(torch.float32).tiny).log().float()


def _places(marks: Tensor, examples: Examples) -> Tensor:
    """Rows of a file for the examples, found by what they look like."""
    ascending, order = marks.sort()
    wanted = fingerprints(examples)
    place = torch.searchsorted(ascending, wanted).clamp(max=len(ascending) - 1)
    if missing := int((ascending[place] != wanted).sum()):
        raise CourseError(
            f"the file does not know {missing} of the {len(wanted)} examples: it holds the answers to {len(marks)} "
            "others"
        )
    return order[place]


def _from_file(path: Path) -> tuple[Tensor, Tensor | None]:
    """Logits, and fingerprints where the file has them."""
    if path.suffix not in _SUFFIXES:
        raise CourseError(f"source must be a file {', '.join(_SUFFIXES)}, got {path.name!r}")
    try:
        arrays = _arrays(path)
    except ImportError as error:
        raise CourseError(f"reading {path.name} needs a package: pip install safetensors") from error
    except Exception as error:  # whatever is thrown by what a stranger wrote
        raise CourseError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    marks = arrays.pop(_MARKS, None)
    if _LOGITS not in arrays and len(arrays) != 1:
        has = ", ".join(sorted(arrays)) or "none"
        raise CourseError(f"{path} must hold one array, or one named {_LOGITS!r}, got {has}")
    logits = arrays.get(_LOGITS, next(iter(arrays.values())))
    if marks is not None and marks.shape != logits.shape[:1]:
        raise CourseError(
            f"{path} must hold a fingerprint for each row, got {marks.shape} for {logits.shape}"
        )
    return torch.as_tensor(logits), None if marks is None else torch.as_tensor(marks)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        # Who has such a file has the package, which the course does without.
        from safetensors.numpy import load_file  # pyright: ignore[reportMissingImports]

        return load_file(path)
    found = np.load(path, allow_pickle=False)
    return {_LOGITS: found} if isinstance(found, np.ndarray) else dict(found)


def _from_estimator(estimator: Any, examples: Examples) -> tuple[Tensor, bool]:
    """What an estimator of scikit-learn says, and whether it is probabilities."""
    inputs = examples.inputs.cpu().flatten(1).numpy()
    if not hasattr(estimator, "predict_proba"):
        values = torch.as_tensor(np.asarray(estimator.predict(inputs)))
        return (values[:, None] if values.ndim == 1 else values), False
    classes = np.asarray(estimator.classes_)
    if not np.array_equal(classes, np.arange(len(classes))):
        raise CourseError(
            f"source must know the classes 0, 1, 2, … without a gap, got {classes.tolist()}: the columns of its "
            "probabilities would not be those of the student"
        )
    return torch.as_tensor(estimator.predict_proba(inputs)), True


def _asked(source: Any, examples: Examples, batch_size: int, progress: bool) -> Tensor:
    """What a function or a session of ONNX Runtime says about all examples."""
    if hasattr(source, "get_inputs") and hasattr(source, "run"):
        ask = partial(_run, source, source.get_inputs()[0].name)
    elif callable(source):
        ask = source
    else:
        raise CourseError(
            "source must be an array, a file, a function, an estimator of scikit-learn or a session of ONNX Runtime, "
            f"got {type(source).__name__}"
        )
    return torch.cat(list(_batches(ask, examples, batch_size, progress)))


def _run(session: Any, name: str, inputs: Tensor) -> np.ndarray:
    return session.run(None, {name: inputs.cpu().numpy()})[0]


def _batches(
    ask: Callable[[Tensor], Any], examples: Examples, batch_size: int, progress: bool
) -> Iterator[Tensor]:
    with torch.no_grad(), progress_bar("Asking the teacher", len(examples), progress) as advance:
        every = torch.arange(len(examples)).split(batch_size)
        for rows, inputs in zip(every, examples.batches(every), strict=True):
            answers = torch.as_tensor(ask(inputs)).cpu()
            if answers.ndim < 2 or len(answers) != len(rows):
                raise CourseError(
                    f"source must answer with a row of logits for each example, {len(rows)}, got shape "
                    f"{tuple(answers.shape)}"
                )
            yield answers
            advance(len(rows))
