"""What makes a training this one and no other: a checkpoint of another one is refused, in a sentence that says why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from course_lib import __version__
from course_lib.errors import CourseError
from course_lib.files import content_hash
from course_lib.training.batches import BatchSource
from course_lib.training.cache import alike
from course_lib.training.functions import held_by, word, words_of_function, words_of_module
from course_lib.training.objective import Objective, PerStudent, Term
from course_lib.training.recipe import Recipe
from course_lib.training.sources import Source
from course_lib.training.weights import Ramp

_STEPS = "number of steps"
_IMAGES = 1024  # by which sets of examples are told apart
_ANSWERS = 16  # examples about which teachers are compared


@dataclass(frozen=True)
class Identity:
    """What makes a training this one and no other.

    Attributes:
        words: by name.
        teacher: what the teacher says about some examples, by source. Numbers, because they may be rounded differently
            when a teacher is asked once more, on another device or with another number of threads.
        length: what of the training depends on the number of its steps, in words, if anything.
    """

    words: Mapping[str, str]
    teacher: Mapping[str, Tensor]
    length: str | None = None

    def refuse_another(self, path: Path, kept: Mapping[str, Any], *, extend: bool = False) -> None:
        """Refuse the content of a checkpoint that belongs to another training, or to a shorter one."""
        for name, now in self.words.items():
            then = kept["identity"].get(name, "none")
            if name == _STEPS and then.isdecimal() and int(then) < int(now):
                self._refuse_shorter(path, int(then), extend)
            elif then != now:
                before, after = _where_they_differ(then, now)
                raise _another(path, name, f"{before}, now {after}")
        self._refuse_another_teacher(path, kept)

    def _refuse_shorter(self, path: Path, steps: int, extend: bool) -> None:
        if not extend:
            raise _another(
                path, _STEPS, f"{steps}, now {self.words[_STEPS]} (extend=True goes on from there)"
            )
        if self.length:
            raise CourseError(
                f"{path} cannot be extended from {steps} to {self.words[_STEPS]} steps: {self.length} depends on the "
                "number of steps, and extending needs a training in which nothing does"
            )

    def _refuse_another_teacher(self, path: Path, kept: Mapping[str, Any]) -> None:
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


def identity(
    objective: Objective,
    batches: BatchSource,
    recipe: Recipe,
    seeds: Iterable[int],
    network: nn.Module,
    fabric: Fabric,
    own: Tensor | None = None,
    more: Mapping[str, str] | None = None,
    length: str | None = None,
) -> Identity:
    """What makes a training this one and no other; not how often it is looked at or kept, which changes no weight.

    Args:
        own: which of the examples are each student's, where they are several.
        more: what else must be the same, by name; "none" is what checkpoints of before are taken to have.
        length: what besides the learning rate depends on the number of steps, in words, if anything.
        others: of the training.

    Raises:
        CourseError: a setting of a term cannot be recognised, or is a random generator, whose state no checkpoint
            holds.
    """
    examples = batches.examples
    some = examples.spread(_IMAGES)
    contents = [examples.index, examples.labels, *examples.scale, some, *examples.extras.values()]
    contents += [] if own is None else [own]
    shapes = (f"{name} {tuple(value.shape)}" for name, value in network.state_dict().items())
    words = {
        "version of course_lib": __version__,
        "recipe": recipe.words(),
        _STEPS: str(recipe.steps),
        "seed": ", ".join(map(str, seeds)),
        "objective": "; ".join(map(_words, objective.terms)),
        "network": words_of_module(network),
        "list of weights": ", ".join(shapes),
        "set of examples": f"{len(examples)}, {_short(*contents)}",
        "set of views": str(batches.views),
        "limit of the teacher's classes": ", ".join(batches.limits) or "none",
        "precision": fabric.strategy.precision.precision,
        "number of processes": str(fabric.world_size),
        **(more or {}),
    }
    answers = {str(source): value.cpu() for source, value in batches.of_teacher(_ANSWERS).items()}
    length = length if recipe.endless else "its learning rate"
    return Identity(words, dict(sorted(answers.items())), length)


def _words(term: Term) -> str:
    """All that the loss is called with and holds, defaults too; not its code."""
    parameters = term.signature.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    settings = {"weight": term.weight, **defaults, **term.settings, **term.sources}
    # What a functools.partial was given without a name.
    settings |= {f"argument {place}": value for place, value in enumerate(getattr(term.loss, "args", ()))}
    shown = [f"{key}={_value(term, key, value)}" for key, value in settings.items() if key != term.by]
    if term.module is None:
        shown += [f"{key}={word(value)}" for key, value in held_by(term.loss).items() if key not in settings]
    if term.layers:
        shown.append(f"layers={'+'.join(term.layers)}")
    if term.module is not None:  # as it is before the first step
        shown.append(
            f"{words_of_module(term.module)} {_short(*term.module.state_dict().values())}, lr={term.lr}"
        )
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
    if value is None or isinstance(value, str | int | float | np.number | Source | Ramp):
        return str(value)
    if callable(value) and (isinstance(value, partial) or hasattr(value, "__qualname__")):
        return words_of_function(f"the {key} of term {term.name!r}", value)
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
