"""From a plan to a report: data, teacher, its answers, students over seeds; each part resumes where it was stopped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.logger import Logger
from torch import nn

from course_lib.data import Dataset, Examples
from course_lib.distillation.answers import answering
from course_lib.distillation.engine import Engine
from course_lib.distillation.exam import examined
from course_lib.distillation.networks import (
    Builder,
    alexnet_builder,
    channels_last,
    check_network,
    load_network,
    own_builder,
)
from course_lib.distillation.plan import Plan
from course_lib.distillation.report import Report
from course_lib.distillation.trainings import Trainings
from course_lib.errors import CourseError
from course_lib.provenance import provenance
from course_lib.training import (
    Objective,
    Run,
    hard_labels,
    shared_logits,
)
from course_lib.training.functions import name_of_function
from course_lib.training.processes import check_shares, on_rank_zero
from course_lib.training.stack import check_student

Network = str | Callable[..., nn.Module]


def distill(
    plan: Plan,
    folder: str | Path,
    *,
    data: Dataset | None = None,
    student: Network | None = None,
    teacher: Network | Path | nn.Module | None = None,
    objective: Objective | None = None,
    fabric: Fabric | None = None,
    loggers: Callable[[str], Sequence[Logger]] | None = None,
    together: bool = False,
    compile: bool = False,
    fall_back: bool = False,
    progress: bool = True,
) -> Report:
    """Carry out a plan; a stopped distillation is resumed by the same call with the same folder.

    The folder then holds the teacher as ``teacher.pt``, the students as ``student/seed-0.pt`` and so on, those that
    learned from hard labels as ``baseline/seed-0.pt`` (all for ``load_network``), ``report.json`` and
    ``report.html``, and what resuming needs: the checkpoints, and the teacher's ``answers``.

    Args:
        plan: what is to be done.
        folder: for all of this; only one distillation at a time can use it.
        data: your own data set, with one class index for each example, in place of the plan's.
        student: a function that makes the student, or its name as "package.module:function"; AlexNet at the plan's
            width if None. It is called with ``image_shape`` and ``num_classes`` if it has parameters of these names.
        teacher: a network's file from an earlier distillation; a trained network; or a function as for the student,
            whose network is trained, or used as it is if the plan's ``teacher_epochs`` is 0. If None, an AlexNet is
            trained.
        objective: of the students, in place of the plan's losses, for instance with losses that have parameters.
        fabric: device, precision and processes; the CPU if None.
        loggers: a function from the name of a training, such as "student/seed-0", to its Lightning Fabric loggers.
        together: train the students of all seeds at once, which is much faster if they are small; the validation data
            are then read only at the end, and the logs show means over the students.
        compile: use ``torch.compile`` where no loss differentiates the logits.
        fall_back: resume from an older checkpoint if the newest is damaged or belongs to another plan.
        progress: show bars where a person can see them.

    Returns:
        The report; test data are read for it once, after all trainings.

    Raises:
        CourseError: data, networks or checkpoints that do not fit the plan, a folder that cannot be written or is in
            use. What can be checked beforehand is checked before anything is trained.
        TrainingDiverged: a loss or a weight is NaN or infinite.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    engine = Engine(fabric, Path(folder), loggers, together, compile, fall_back, progress)
    if together and fabric.world_size > 1:
        raise CourseError(f"together must be False in several processes, got True in {fabric.world_size}")
    report = Distillation.of(plan, engine, data, student, teacher, objective).carry_out()
    # From here, where no data and networks are at hand: what draws the page holds on to all that called it for a while.
    on_rank_zero(lambda: _write(report, engine.folder), fabric)
    return report


def _write(report: Report, folder: Path) -> None:
    from course_lib.distillation.page import write_page  # draws with matplotlib, which training does not need

    report.write(folder)
    write_page(report, folder)  # after the numbers are safe


@dataclass(frozen=True)
class Distillation:
    """All that one distillation is made of; ``distill`` makes it and carries it out.

    Attributes:
        plan: its settings.
        engine: how it is carried out.
        dataset: whose images and classes the networks are for.
        student: how students are made.
        teacher: how the teacher is made, or the teacher itself, trained.
        objective: of the students.
        told: what the report says about data, networks and losses that are not the plan's.
    """

    plan: Plan
    engine: Engine
    dataset: Dataset
    student: Builder
    teacher: Builder | nn.Module
    objective: Objective
    told: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        plan: Plan,
        engine: Engine,
        data: Dataset | None,
        student: Network | None,
        teacher: Network | Path | nn.Module | None,
        objective: Objective | None,
    ) -> "Distillation":
        """What the arguments of ``distill`` mean, checked before anything is trained."""
        # The first process on each machine decodes the images, the others read what it kept.
        with engine.fabric.rank_zero_first(local=True):
            dataset = plan.dataset() if data is None else data
        learner = (
            alexnet_builder(dataset, plan.student_width, 0.0)
            if student is None
            else own_builder(student, dataset, "student")
        )
        goal = objective or plan.objective()
        check_student(learner.make, goal, together=engine.together)
        big, name = _teacher(plan, dataset, teacher)
        told = {
            "data": None if data is None else data.title,
            "student": learner.function,
            "teacher": name,
            "losses": None
            if objective is None
            else [[term.name, _weight(term.weight)] for term in objective.terms],
        }
        return cls(
            plan,
            engine,
            dataset,
            learner,
            big,
            goal,
            {key: value for key, value in told.items() if value is not None},
        )

    def carry_out(self) -> Report:
        """Teacher, answers, students, report."""
        views, labelled = self.plan.views(self.dataset), self._labelled()
        for examples in (self.dataset.train, labelled[0]):
            check_shares(min(self.plan.batch_size, len(examples)), self.engine.fabric)
        with self.engine.alone():
            big, taught = self._taught()
            answers = answering(
                self.plan,
                self.objective,
                big,
                self._all_of(labelled),
                views,
                train=self.dataset.train,
                folder=self.engine.folder / "answers",
                fabric=self.engine.fabric,
                progress=self.engine.progress,
            )
            methods = {"student": self.objective} | (
                {"baseline": hard_labels()} if self.plan.baseline else {}
            )
            train = Trainings(self.plan, self.engine, self.dataset).students
            runs = {
                name: train(self.student, each, labelled, answers, name) for name, each in methods.items()
            }
            return self._report(big, taught, runs)

    def _taught(self) -> tuple[nn.Module, Run | None]:
        """The teacher, on the device, and its training if it had one here."""
        device, plan, made = self.engine.fabric.device, self.plan, self.teacher
        if isinstance(made, Builder) and plan.teacher_epochs != 0:
            recipe = plan.teacher_recipe(len(self.dataset.train))
            train = Trainings(plan, self.engine, self.dataset).one
            run = train(made, hard_labels(), self.dataset.train, recipe, plan.seed, None, "teacher")
            return run.model, run
        network = made.make() if isinstance(made, Builder) else made
        return network.to(device).eval(), None

    def _labelled(self) -> list[Examples]:
        """The labelled images of each student: all, or a draw of its own."""
        plan, dataset = self.plan, self.dataset
        if plan.labels is None:
            return [dataset.train] * plan.seeds
        classes = dataset.num_classes
        if not classes <= plan.labels <= len(dataset.train):
            raise CourseError(
                f"labels must be from {classes}, one for each class, to all {len(dataset.train)} of {dataset.title}, "
                f"got {plan.labels}"
            )
        return [dataset.train.subset(plan.labels, seed=seed) for seed in plan.student_seeds]

    def _all_of(self, labelled: Sequence[Examples]) -> Examples:
        """All images that any student sees."""
        train = self.dataset.train
        seen = torch.isin(train.index, torch.cat([each.index for each in labelled]))
        return train if bool(seen.all()) else train.take(seen.nonzero().flatten())

    def _report(self, big: nn.Module, taught: Run | None, runs: Mapping[str, list[Run]]) -> Report:
        """The test data are read here, once."""
        dataset, fabric = self.dataset, self.engine.fabric
        of_teacher = shared_logits(big, dataset.test, fabric)
        exam = partial(examined, dataset=dataset, of_teacher=of_teacher, fabric=fabric)
        told = {key: value for key, value in self.told.items() if key != "teacher" or taught}
        return Report(
            plan=self.plan.values() | told,
            data=dataset.title,
            teacher=exam(taught or Run(big, {}, 0.0, 0)),
            students={name: [exam(run) for run in several] for name, several in runs.items()},
            provenance=provenance() | self.engine.provenance(),
            teacher_file=None if taught else self.told["teacher"],
        )


def _teacher(
    plan: Plan, dataset: Dataset, given: Network | Path | nn.Module | None
) -> tuple[Builder | nn.Module, str | None]:
    """The teacher or how it is made, and its name where it is not the plan's AlexNet."""
    if given is None:
        if plan.teacher_epochs == 0:
            raise CourseError("teacher_epochs must be at least 1 for AlexNet, which comes untrained, got 0")
        return alexnet_builder(dataset, plan.teacher_width, plan.dropout), None
    if isinstance(given, nn.Module):
        check_network(given, dataset, "teacher")
        return given, type(given).__name__
    if isinstance(given, Path) or (isinstance(given, str) and (Path(given).exists() or ":" not in given)):
        return channels_last(load_network(given, dataset)), str(given)
    builder = own_builder(given, dataset, "teacher")
    return builder, builder.function


def _weight(weight: Any) -> float | str:
    """Of a term, as a report can hold it."""
    if isinstance(weight, FunctionType | partial):
        return name_of_function("weight", weight)
    return float(weight) if isinstance(weight, int | float) else str(weight)
