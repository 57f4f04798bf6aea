"""What a training step is given: a batch of examples by position, and the teacher's answers to the same ones."""

from collections.abc import Iterator, Sequence
from itertools import tee

import torch
from torch import Tensor, nn

from course_lib.data import Examples, Views
from course_lib.data.streams import Streamed
from course_lib.errors import CourseError
from course_lib.losses import NO_LABEL, class_dimension
from course_lib.models import MacCounter, evaluating
from course_lib.training.cache import TeacherCache, cache_teacher
from course_lib.training.forward import Forward, ForwardResult
from course_lib.training.known import AllKnown, Known, pick
from course_lib.training.live import LiveTeacher
from course_lib.training.objective import Objective, PerStudent
from course_lib.training.sources import (
    INDEX,
    INPUTS,
    LABELS,
    SOFT_MATRIX,
    TEACHER_GRADIENTS,
    TEACHER_LOGITS,
    Source,
    extra,
)
from course_lib.training.top_k import Logits, TopLogits, changed, in_full

Teacher = TeacherCache | LiveTeacher | nn.Module
WHOLE = slice(None)  # of a batch


class BatchSource:
    """Supplies the tensors that the terms of an objective ask for.

    Args:
        objective: what is asked for.
        examples: the labelled examples, on the device of the training.
        teacher: its cache, a live teacher, or the network itself, which is then asked once about all examples; for
            stacked students also a list, one for each.
        views: of which each example is shown one at a time.

    Raises:
        CourseError: the examples are empty, or a teacher is needed and none was given, or its cache lacks something.
    """

    def __init__(
        self,
        objective: Objective,
        examples: Examples,
        teacher: Teacher | Sequence[Teacher] | None,
        views: Views | None = None,
    ):
        if not len(examples):
            raise CourseError("examples must hold at least one example, got none")
        self.examples, self.views = examples, views
        self._read: tuple[Tensor, Tensor] | None = None  # draws, and their inputs
        self.limits: list[str] = []  # of the classes about which teachers tell
        self._wanted = [
            each for each in objective.sources if each.name.startswith("teacher") or each == SOFT_MATRIX
        ]
        teachers = list(teacher) if isinstance(teacher, Sequence) else [teacher]
        self._live = teacher if isinstance(teacher, LiveTeacher) and self._wanted else None
        self._of_examples = self._asked_of_examples(objective)
        known = [Known({})] if self._live else [self._ask(objective, each) for each in teachers]
        self.teachers = len(known)
        # One soft matrix for all examples of a teacher stands apart: (teachers, C, m).
        matrices = [each.answers.pop(SOFT_MATRIX) for each in known if each.has_one_matrix]
        together = torch.stack([in_full(each) for each in matrices]) if matrices else None
        self._matrices = None if together is None else together.to(examples.device)
        self._known = AllKnown(known, len(examples) * (len(views) if views else 1))

    def __call__(self, draws: Tensor, part: slice = WHOLE) -> dict[Source, Tensor]:
        """Tensors for the draws of ``batch_order``, (B,) or (students, B), each with those leading dimensions.

        Args:
            draws: one of those that ``ahead`` gave, or any others.
            part: of a batch of one student that is taken in parts.
        """
        read = self._read[1][part] if self._read and self._read[0] is draws else None
        draws = draws[part]
        rows = self._rows(draws)
        inputs = self.examples.batch(rows) if read is None else read
        if self.views:
            flat = self.views.apply(inputs.flatten(0, -4), (draws % len(self.views)).flatten())
            inputs = flat.view_as(inputs)
        batch = {INPUTS: inputs} | {
            source: pick(values, rows) for source, values in self._of_examples.items()
        }
        if self._live:
            return batch | self._ask_now(self._live, inputs, batch[LABELS], rows)
        if self._matrices is not None:
            shape = self._matrices.shape[1:]
            batch[SOFT_MATRIX] = (
                self._matrices.expand(len(rows), *shape) if rows.ndim == 2 else self._matrices[0]
            )
        return batch | self._known(draws)

    def ahead(self, order: Iterator[Tensor]) -> Iterator[Tensor]:
        """The same draws; of examples that are streamed, those to come are read while the caller works on one."""
        if not isinstance(self.examples, Streamed):
            return order
        return self._reading(order, self.examples)

    def _reading(self, order: Iterator[Tensor], examples: Streamed) -> Iterator[Tensor]:
        now, later = tee(order)
        for draws, inputs in zip(now, examples.batches(map(self._rows, later)), strict=False):
            self._read = draws, inputs
            yield draws
        self._read = None

    def _rows(self, draws: Tensor) -> Tensor:
        return draws // len(self.views) if self.views else draws

    def of_teacher(self, number: int) -> dict[Source, Tensor]:
        """What the teachers say about this many of the examples as they are, by source, however they are asked."""
        step = max(1, len(self.examples) // number)
        rows = torch.arange(len(self.examples), device=self.examples.device)[::step]
        rows = rows.expand(self.teachers, -1) if self.teachers > 1 else rows
        batch = self(rows * len(self.views) + self.views.unchanged if self.views else rows)
        found = {source: batch[source] for source in self._wanted}
        if _is_shared(found.get(SOFT_MATRIX)):
            found[SOFT_MATRIX] = found[SOFT_MATRIX].expand(len(rows), -1, -1)
        return found

    def _asked_of_examples(self, objective: Objective) -> dict[Source, Tensor]:
        """What belongs to the examples besides the inputs, and is asked for."""
        examples = self.examples
        known = {LABELS: examples.labels, INDEX: examples.index}
        known |= {extra(name): values for name, values in examples.extras.items()}
        asked = {source for source in objective.sources if source in known or source.name == "extra"}
        if missing := [source for source in asked if source not in known]:
            has, name = ", ".join(map(repr, examples.extras)) or "none", missing[0].layer
            raise CourseError(
                f"examples must have the extra {name!r} for the term {objective.asking('extra')}, got {has}: "
                f"Examples(..., extras={{{name!r}: ...}})"
            )
        if self._live:
            asked |= {LABELS}
        return {source: known[source] for source in asked}

    def _ask_now(
        self, teacher: LiveTeacher, inputs: Tensor, labels: Tensor, rows: Tensor
    ) -> dict[Source, Tensor]:
        last = rows.ndim - 1
        answers = teacher.answers(inputs.flatten(0, last), labels.flatten(0, last), self._wanted)
        return {
            source: value.view(*rows.shape, *value.shape[1:])
            for source, value in answers.items()
            if source in self._wanted
        }

    def _ask(self, objective: Objective, teacher: Teacher | None) -> Known:
        """What an objective asks of a teacher, for all examples, or for all views of them."""
        if not self._wanted:
            return Known({})
        if teacher is None:
            asking = objective.asking(*(each.name for each in self._wanted))
            raise CourseError(f"teacher must be given for the term {asking}, got None")
        if isinstance(teacher, LiveTeacher):
            raise CourseError(
                "teacher must be one LiveTeacher, or a list of caches, got a list with a LiveTeacher"
            )
        layers = sorted(each.layer for each in self._wanted if each.layer)
        if not isinstance(teacher, TeacherCache):
            teacher = cache_teacher(teacher, self.examples, layers=layers, views=self.views)
        if self.views and teacher.views != self.views:
            raise CourseError(
                f"teacher must know the views that are trained on, {self.views}, got a cache of {teacher.views}: make "
                "it with cache_teacher(..., views=...), or give a LiveTeacher"
            )
        if isinstance(teacher.kept, TopLogits):
            refuse_other_temperatures(objective, teacher.kept.temperature)
            count = teacher.kept.values.shape[-1]
            self.limits.append(f"the {count} largest at T = {teacher.kept.temperature}")
        if not teacher.mapped:
            return Known(self._wanted_of(objective, teacher.answers(self.examples)))
        return Known(
            self._wanted_of(objective, teacher),
            teacher.places(self.examples),
            len(self.views) if self.views else 1,
            self.examples.device,
        )

    def _wanted_of(self, objective: Objective, answers: TeacherCache) -> dict[Source, Logits]:
        logits, views = answers.kept, answers.views
        if views is not None:
            alone = self.views is None
            logits = changed(logits, lambda all: all[:, views.unchanged] if alone else all.flatten(0, 1))
        known: dict[Source, Logits | None] = {
            TEACHER_LOGITS: logits,
            TEACHER_GRADIENTS: answers.gradients,
            SOFT_MATRIX: answers.soft_matrix,
        }
        known |= {Source("teacher_activation", name): value for name, value in answers.activations.items()}
        found = {source: value for source in self._wanted if (value := known.get(source)) is not None}
        for source in self._wanted:
            if source not in found:
                setting = f"layers=[{source.layer!r}]" if source.layer else "soft_matrix=..."
                raise CourseError(
                    f"teacher must be a cache with {source} for the term {objective.asking(source.name)}: "
                    f"make it with cache_teacher(teacher, examples, {setting})"
                )
        return found

    def dry_run(
        self, forward: Forward, model: nn.Module, objective: Objective, students: int = 1
    ) -> tuple[ForwardResult, float]:
        """Evaluate every term once on two examples, so that bad input is answered before training starts.

        Under ``torch.vmap`` the losses cannot look at values; here each student's settings are plain numbers.

        Returns:
            The pass, and the multiply-accumulates of one student for one example, with a live teacher's.
        """
        draws = torch.arange(min(2, len(self.examples)), device=self.examples.device)
        with MacCounter() as counter:
            batch = self(draws * len(self.views) if self.views else draws)
            with evaluating(model), forward:
                supplied = self._tried(forward, batch)
        logits = supplied.logits
        if not isinstance(logits, Tensor) or logits.ndim < 2 or len(logits) != len(draws):
            came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise CourseError(
                f"build_model must make a network with logits (N, C), (N, L, C) or (N, C, H, W), got {came} for "
                f"{len(draws)} examples"
            )
        if LABELS in objective.sources:
            check_classes(self.examples.labels, logits)
        knobs = objective.knobs(students)
        tried = set()
        for student in range(students):
            values = {
                key: value[student] if value.ndim > 1 else float(value[student])
                for key, value in knobs.items()
            }
            numbers = tuple(value for value in values.values() if isinstance(value, float))
            if len(numbers) < len(values) or numbers not in tried:
                objective(supplied, values)
                tried.add(numbers)
        return supplied, counter.macs / len(draws)

    def _tried(self, forward: Forward, batch: dict[Source, Tensor]) -> ForwardResult:
        try:
            return forward(batch, dry_run=True)
        except (RuntimeError, TypeError, IndexError) as error:
            inputs = batch[INPUTS]
            raise CourseError(
                f"build_model must make a network that takes the examples' inputs, {tuple(inputs.shape)} "
                f"{inputs.dtype} for {len(inputs)} of them, and this one ends in {type(error).__name__}: {error}"
            ) from error


def check_classes(labels: Tensor, logits: Tensor) -> None:
    """Refuse class indices that the logits have no place for; -100 stands for no label."""
    if labels.is_floating_point():
        return
    classes = logits.shape[class_dimension(logits)]
    known = labels[labels != NO_LABEL]
    low, high = (int(value) for value in known.aminmax()) if len(known) else (0, 0)
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise CourseError(f"labels must be from 0 to below the model's {classes} classes, got {wrong}")


def refuse_other_temperatures(objective: Objective, temperature: float) -> None:
    """Refuse terms with a temperature at which the classes that a cache leaves out weigh something else."""
    for term in objective.terms:
        default = term.signature["temperature"].default if "temperature" in term.signature else temperature
        setting = term.settings.get("temperature", default)
        asked = setting.values if isinstance(setting, PerStudent) else (setting,)
        others = [float(each) for each in asked if float(each) != temperature]
        if others and TEACHER_LOGITS in term.sources.values():
            raise CourseError(
                f"teacher was cached with top_k for the temperature {temperature}, and term {term.name!r} has "
                f"{others[0]}: make another cache, with cache_teacher(..., temperature={others[0]})"
            )


def _is_shared(soft_matrix: Tensor | None) -> bool:
    return soft_matrix is not None and soft_matrix.ndim == 2
