"""Checkpoints: a training that may be killed at any moment and is resumed as if it had not been."""

import hashlib
import io
import logging
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from course_lib import __version__
from course_lib.errors import CourseError, check_count
from course_lib.files import clear_unfinished, content_hash, write_atomically
from course_lib.training.batches import BatchSource
from course_lib.training.cache import alike
from course_lib.training.objective import Objective, PerStudent, Term
from course_lib.training.processes import gather_objects, on_rank_zero
from course_lib.training.recipe import Recipe
from course_lib.training.sources import Source

_MAGIC = b"course_lib checkpoint 3\n"
_CONTENT = ("identity", "teacher", "done", "seconds", "record", "parts", "random")
_IMAGES = 1024  # by which sets of examples are told apart
_ANSWERS = 16  # examples about which teachers are compared
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoints:
    """Where a training keeps its state, and how often.

    ``fit`` and ``fit_many`` resume from the newest checkpoint in the folder, if it is of the same training: on a CPU
    they then end with bit-identical weights. A finished training is not repeated. What is not compared is code: after a
    change of a loss or a network that leaves names, settings and shapes as they are, name another folder.

    Attributes:
        folder: one for each training; made if needed.
        every: optimiser steps between two checkpoints; one is written at the end, too.
        keep: how many of the newest are kept.
        fall_back: skip checkpoints that are damaged or of another training and resume from the newest that is
            neither, instead of stopping with an error; which one is logged as a warning.

    Raises:
        CourseError: a number below 1.
    """

    folder: str | Path
    every: int = 500
    keep: int = 2
    fall_back: bool = False

    def __post_init__(self) -> None:
        check_count(every=self.every, keep=self.keep)

    def files(self) -> list[Path]:
        """The checkpoints in the folder, the newest first."""
        return sorted(Path(self.folder).glob("step-*.ckpt"), reverse=True)


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Weights:
    """Tensors by name, written to in place."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        self._tensors = tensors

    def state_dict(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self._tensors.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._tensors.items():
                value.copy_(state[name])


class CheckpointWriter:
    """Writes and reads the checkpoints of one training.

    Args:
        checkpoints: where and how often.
        identity: what makes it this training and no other.
        parts: what has state, by name.
        fabric: of the training; its first process writes, all read.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        identity: "Identity",
        parts: Mapping[str, Stateful | None],
        fabric: Fabric,
    ):
        self._checkpoints, self._identity, self._fabric = checkpoints, identity, fabric
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._whole: Path | None = None  # what was read or written last

    def due(self, done: int, steps: int) -> bool:
        return done % self._checkpoints.every == 0 or done == steps

    def restore(self, **more: Stateful | None) -> tuple[int, float, Tensor | None]:
        """Put the newest checkpoint's state in place: steps done, seconds spent, and the record until then."""
        if self._fabric.is_global_zero:
            clear_unfinished(Path(self._checkpoints.folder))
        kept = self._newest()
        if kept is None:
            return 0, 0.0, None
        for name, part in self._all(more).items():
            # A training may be watched, or keep snapshots, that did not before.
            if name in kept["parts"] or name not in ("watched", "snapshots"):
                part.load_state_dict(kept["parts"][name])
        random = kept["random"][self._fabric.global_rank]
        torch.set_rng_state(random["cpu"])
        if self._fabric.device.type == "cuda" and random["cuda"] is not None:
            torch.cuda.set_rng_state(random["cuda"], self._fabric.device)
        return kept["done"], kept["seconds"], kept["record"]

    def save(self, done: int, seconds: float, record: Tensor, **more: Stateful | None) -> None:
        """Write one checkpoint, then forget the oldest: at every moment a whole one is there."""
        device = self._fabric.device
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        random = gather_objects({"cpu": torch.get_rng_state(), "cuda": cuda}, self._fabric)
        parts = self._all(more)
        on_rank_zero(lambda: self._write(done, seconds, record, random, parts), self._fabric)

    def _write(
        self, done: int, seconds: float, record: Tensor, random: list, parts: Mapping[str, Stateful]
    ) -> None:
        content = {
            "identity": self._identity.words,
            "teacher": self._identity.teacher,
            "done": done,
            "seconds": seconds,
            "record": record[:done].cpu(),
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "random": random,  # of every process
        }
        path = Path(self._checkpoints.folder) / f"step-{done:010}.ckpt"
        try:
            write_atomically(path, lambda file: _write(file, content))
        except CourseError as error:
            rest = f"{self._whole.name} is complete" if self._whole else "there is no earlier checkpoint"
            raise CourseError(f"{error}; {rest}") from error
        self._whole = path
        # Those of later steps are damaged ones that were passed over: they do not count as kept.
        older = [each for each in self._checkpoints.files() if each.name <= path.name]
        for old in older[self._checkpoints.keep :]:
            old.unlink(missing_ok=True)

    def _all(self, more: Mapping[str, Stateful | None]) -> dict[str, Stateful]:
        return self._parts | {name: part for name, part in more.items() if part is not None}

    def _newest(self) -> dict[str, Any] | None:
        refused = []
        for path in self._checkpoints.files():
            try:
                kept = read(path)
                self._identity.refuse_another(path, kept)
            except CourseError as error:
                if not self._checkpoints.fall_back:
                    raise
                refused.append(error)
                continue
            self._whole = path
            if refused and self._fabric.is_global_zero:
                _log.warning("resuming from %s, for %s", path.name, "; ".join(map(str, refused)))
            return kept
        if refused:
            number = f"none of the {len(refused)} checkpoints" if len(refused) > 1 else "the only checkpoint"
            raise CourseError(f"{number} in {self._checkpoints.folder} can be used: {refused[0]}")
        return None


@dataclass(frozen=True)
class Identity:
    """What makes a training this one and no other.

    Attributes:
        words: by name.
        teacher: what the teacher says about some examples, by source. Numbers, because they may be rounded differently
            when a teacher is asked once more, on another device or with another number of threads.
    """

    words: Mapping[str, str]
    teacher: Mapping[str, Tensor]

    def refuse_another(self, path: Path, kept: Mapping[str, Any]) -> None:
        """Refuse the content of a checkpoint that belongs to another training."""
        for name, now in self.words.items():
            then = kept["identity"].get(name, "none")
            if then != now:
                before, after = _where_they_differ(then, now)
                raise _another(path, name, f"{before}, now {after}")
        asked, now = ", ".join(kept["teacher"]) or "none", ", ".join(self.teacher) or "none"
        if asked != now:
            raise _another(path, "teacher", f"asked for {asked}, now {now}")
        for source, answers in self.teacher.items():
            if not alike(kept["teacher"][source], answers):
                raise _another(path, "teacher", f"its answers differ, {source}")


def _another(path: Path, name: str, how: str) -> CourseError:
    return CourseError(
        f"{path} belongs to a training with another {name}: {how}; name another folder, or delete {path.parent} to "
        "start again"
    )


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        CourseError: it is not a checkpoint, or not complete.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CourseError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    if not data.startswith(_MAGIC[: max(1, len(data))]):
        raise CourseError(f"{path} is not a checkpoint of course_lib; move it out of the folder")
    digest, payload = data[len(_MAGIC) : len(_MAGIC) + 64], data[len(_MAGIC) + 64 :]
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        raise CourseError(
            f"{path} is damaged or was changed: its content does not match its checksum; delete it, or ask to fall "
            "back on the one before (fall_back=True, --fall-back)"
        )
    try:
        content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
        return {name: content[name] for name in _CONTENT}
    except pickle.UnpicklingError as error:
        raise CourseError(
            f"{path} holds something other than tensors and plain values, which might run code; delete it"
        ) from error
    except Exception as error:  # whatever is thrown by what a stranger wrote
        raise CourseError(
            f"{path} holds no training ({type(error).__name__}: {error}); move it out of the folder"
        ) from error


def _write(file: Any, content: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getbuffer()
    file.write(_MAGIC + hashlib.sha256(payload).hexdigest().encode())
    file.write(payload)


def identity(
    objective: Objective,
    batches: BatchSource,
    recipe: Recipe,
    seeds: Iterable[int],
    network: nn.Module,
    fabric: Fabric,
    own: Tensor | None = None,
) -> Identity:
    """What makes a training this one and no other; not how often it is looked at or kept, which changes no weight.

    Args:
        own: which of the examples are each student's, where they are several.
        others: of the training.

    Raises:
        CourseError: a setting of a term cannot be recognised, or is a random generator, whose state no checkpoint
            holds.
    """
    examples = batches.examples
    some = examples.images[:: max(1, len(examples) // _IMAGES)]
    contents = [examples.index, examples.labels, *examples.scale, some, *examples.extras.values()]
    contents += [] if own is None else [own]
    shapes = (f"{name} {tuple(value.shape)}" for name, value in network.state_dict().items())
    words = {
        "version of course_lib": __version__,
        "recipe": recipe.words(),
        "seed": ", ".join(map(str, seeds)),
        "objective": "; ".join(map(_words, objective.terms)),
        "network": _one_line(network),
        "list of weights": ", ".join(shapes),
        "set of examples": f"{len(examples)}, {_short(*contents)}",
        "set of views": str(batches.views),
        "precision": fabric.strategy.precision.precision,
        "number of processes": str(fabric.world_size),
    }
    answers = {str(source): value.cpu() for source, value in batches.of_teacher(_ANSWERS).items()}
    return Identity(words, dict(sorted(answers.items())))


def _one_line(network: nn.Module) -> str:
    """All layers with their settings, also those without weights, such as dropout and its rate."""
    return " ".join(repr(network).split())


def _words(term: Term) -> str:
    """All that the loss is called with, defaults too; not its code."""
    parameters = term.signature.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    settings = {"weight": term.weight, **defaults, **term.settings, **term.sources}
    # What a functools.partial was given without a name.
    settings |= {f"argument {place}": value for place, value in enumerate(getattr(term.loss, "args", ()))}
    shown = [f"{key}={_value(term, key, value)}" for key, value in settings.items() if key != term.by]
    if term.layers:
        shown.append(f"layers={'+'.join(term.layers)}")
    if term.module is not None:  # as it is before the first step
        shown.append(f"{_one_line(term.module)} {_short(*term.module.state_dict().values())}, lr={term.lr}")
    return f"{term.name}: {term.loss_name}({', '.join(shown)})"


def _value(term: Term, key: str, value: Any) -> str:
    """A setting in words that are the same in every process."""
    if isinstance(value, torch.Generator):
        raise CourseError(
            f"term {term.name!r} has a random generator of its own ({key}), whose state no checkpoint holds: leave it "
            "out, and the training's seed is used"
        )
    if isinstance(value, PerStudent):
        value = value.values
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(term, key, each) for each in value)}]"
    if isinstance(value, np.ndarray):
        value = torch.as_tensor(value)
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {_short(value)}"
    if value is None or isinstance(value, str | int | float | np.number | Source):
        return str(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    raise CourseError(
        f"term {term.name!r} has a setting ({key}) that a checkpoint cannot recognise: it must be made of numbers, "
        f"words, tensors, lists and functions, got {type(value).__name__}"
    )


def _short(*tensors: Tensor) -> str:
    return content_hash(*tensors)[:12]


def _where_they_differ(then: str, now: str, limit: int = 120) -> tuple[str, str]:
    """Both, cut to what a person can read, so that the difference is seen."""
    pairs = enumerate(zip(then, now, strict=False))
    first = next((place for place, (a, b) in pairs if a != b), min(len(then), len(now)))
    start = max(0, first - limit // 3) if max(len(then), len(now)) > limit else 0

    def part(text: str) -> str:
        shown = text[start : start + limit]
        return ("…" if start else "") + shown + ("…" if start + limit < len(text) else "")

    return part(then), part(now)
