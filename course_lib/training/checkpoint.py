"""Checkpoints: a training that may be killed at any moment and is resumed as if it had not been."""

import hashlib
import io
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from course_lib.errors import CourseError, check_count
from course_lib.files import clear_unfinished, write_atomically
from course_lib.saved import load_plain
from course_lib.training.identity import Identity
from course_lib.training.processes import gather_objects, on_rank_zero

_MAGIC = b"course_lib checkpoint 3\n"
_CONTENT: dict[str, Callable[[Any], bool]] = {  # what a checkpoint holds, and whether it is that
    "identity": lambda value: all(isinstance(word, str) for pair in value.items() for word in pair),
    "teacher": lambda value: all(isinstance(answers, Tensor) for answers in value.values()),
    "done": lambda value: type(value) is int and value >= 0,
    "seconds": lambda value: isinstance(value, float) and 0 <= value < math.inf,
    "record": lambda value: value.ndim == 3 and value.is_floating_point(),  # (steps, terms + 1, students)
    "parts": lambda value: isinstance(value["weights"], dict),
    "random": lambda value: all(isinstance(each["cpu"], Tensor) for each in value),
}
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

        extend: go on from a training with fewer steps that is the same in all else. Its learning rate must be constant:
            then the student is, on a CPU bit for bit, the one trained for so many steps from the beginning.

    Raises:
        CourseError: a number below 1.
    """

    folder: str | Path
    every: int = 500
    keep: int = 2
    fall_back: bool = False
    extend: bool = False

    def __post_init__(self) -> None:
        check_count(every=self.every, keep=self.keep)

    def files(self) -> list[Path]:
        """The checkpoints in the folder, the newest first."""
        return sorted(Path(self.folder).glob("step-*.ckpt"), reverse=True)


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


class Weights:
    """Tensors by name, written to in place."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        self._tensors = tensors

    def state_dict(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self._tensors.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._tensors.items():
                if state[name].shape != value.shape:  # it would be repeated along a dimension
                    raise CourseError(
                        f"{name} must have shape {tuple(value.shape)}, got {tuple(state[name].shape)}"
                    )
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
        identity: Identity,
        parts: Mapping[str, Stateful | None],
        fabric: Fabric,
    ):
        self._checkpoints, self._identity, self._fabric = checkpoints, identity, fabric
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._whole: Path | None = None  # what was read or written last
        self.done = 0  # the steps that it holds

    def due(self, done: int, steps: int) -> bool:
        return done % self._checkpoints.every == 0 or done == steps

    def restore(self, **more: Stateful | None) -> tuple[int, float, Tensor | None]:
        """Put the newest checkpoint's state in place: steps done, seconds spent, and the record until then."""
        if self._fabric.is_global_zero:
            clear_unfinished(Path(self._checkpoints.folder))
        kept = self._newest()
        if kept is None:
            return 0, 0.0, None
        try:
            for name, part in self._all(more).items():
                # A training may be watched, or keep snapshots, that did not before.
                if name in kept["parts"] or name not in ("watched", "snapshots"):
                    part.load_state_dict(kept["parts"][name])
            random = kept["random"][self._fabric.global_rank]
            torch.set_rng_state(random["cpu"])
            if self._fabric.device.type == "cuda" and random["cuda"] is not None:
                torch.cuda.set_rng_state(random["cuda"], self._fabric.device)
        except Exception as error:  # whatever comes of what a stranger wrote
            raise _not_a_training(self._whole, error) from error
        self.done = kept["done"]
        return self.done, kept["seconds"], kept["record"]

    def save(self, done: int, seconds: float, record: Tensor, **more: Stateful | None) -> None:
        """Write one checkpoint, then forget the oldest: at every moment a whole one is there."""
        device = self._fabric.device
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        random = gather_objects({"cpu": torch.get_rng_state(), "cuda": cuda}, self._fabric)
        parts = self._all(more)
        on_rank_zero(lambda: self._write(done, seconds, record, random, parts), self._fabric)
        self.done = done

    def _write(
        self, done: int, seconds: float, record: Tensor, random: list, parts: Mapping[str, Stateful]
    ) -> None:
        content = {
            "identity": self._identity.words,
            "teacher": self._identity.teacher,
            "done": done,
            "seconds": seconds,
            "record": record[:done].cpu().clone(),  # a part of a tensor would be written with the rest
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
                self._identity.refuse_another(path, kept, extend=self._checkpoints.extend)
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


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """The weights in a checkpoint by name, on the CPU, for ``load_state_dict``; of ``fit_many`` with (students, ...).

    If the recipe averages weights, their average. They belong to the checkpoint's last step, even if ``Watch`` chose
    another one.

    Args:
        path: a file ``step-….ckpt`` of a training; ``Checkpoints(folder).files()`` lists them, the newest first.

    Raises:
        CourseError: it is not a checkpoint, or not complete.
    """
    parts = read(Path(path))["parts"]
    return parts.get("average", parts["weights"])


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint.

    Raises:
        CourseError: it is not a checkpoint, or not complete.
    """
    payload = _payload(Path(path))
    try:
        content = load_plain(io.BytesIO(payload))
        content = {name: content[name] for name in _CONTENT}
        wrong = [name for name, fits in _CONTENT.items() if not fits(content[name])]
        if wrong or len(content["record"]) != content["done"]:
            raise CourseError(f"it does not hold what a checkpoint does: {(wrong or ['record'])[0]}")
    except Exception as error:  # whatever comes of what a stranger wrote
        raise _not_a_training(path, error) from error
    return content


def _payload(path: Path) -> bytes:
    """What follows the checksum, if that is right."""
    try:
        with path.open("rb") as file:
            magic, digest = file.read(len(_MAGIC)), file.read(64)
            if not magic or not _MAGIC.startswith(magic):
                raise CourseError(f"{path} is not a checkpoint of course_lib; move it out of the folder")
            # In pieces: a file that is nearly all holes may claim any size.
            if hashlib.file_digest(file, "sha256").hexdigest().encode() != digest:
                raise CourseError(
                    f"{path} is damaged or was changed: its content does not match its checksum; delete it, or ask to "
                    "fall back on the one before (fall_back=True, --fall-back)"
                )
            file.seek(len(_MAGIC) + len(digest))
            return file.read()
    except OSError as error:
        raise CourseError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error


def _not_a_training(path: Path | None, error: Exception) -> CourseError:
    reason = str(error) if isinstance(error, CourseError) else f"{type(error).__name__}: {error}"
    return CourseError(f"{path} holds no training that can go on ({reason}); move it out of the folder")


def _write(file: Any, content: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    payload = buffer.getbuffer()
    file.write(_MAGIC + hashlib.sha256(payload).hexdigest().encode())
    file.write(payload)
