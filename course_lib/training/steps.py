"""The steps of a training, whoever is trained: take one, look at the losses, log them, keep a checkpoint."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from course_lib.errors import CourseError
from course_lib.progress import Progress, progress_bar
from course_lib.training.checkpoint import CheckpointWriter
from course_lib.training.logs import Logs
from course_lib.training.objective import Objective
from course_lib.training.processes import average
from course_lib.training.recipe import Recipe
from course_lib.training.snapshots import Snapshots
from course_lib.training.termination import Terminated, answering_requests, asked_to_end
from course_lib.training.watch import Watcher

# How often losses are looked at: looking waits for the device, so not at every step.
CHECK_EVERY = 50


class TrainingDiverged(CourseError):
    """A loss or a weight became NaN or infinite; the message names the step, the seed, and the term of a loss."""


class Trained(Protocol):
    """The student or the students of a training, as its steps need them."""

    objective: Objective
    optimizer: Optimizer
    seeds: tuple[int, ...]

    def order(self, start: int, stop: int, /) -> Iterator[Tensor]: ...
    def take(self, draws: Tensor, progress: float, /) -> Tensor: ...
    def step(self, number: int) -> None: ...


@dataclass(frozen=True)
class Steps:
    """All that a training's steps need.

    Attributes:
        students: who is trained.
        fabric, recipe: of this training.
        progress: show a bar where a person can see it; or a function to report to.
        logs: told of every term by name.
        snapshots: copies of the weights at smaller budgets.
        writer, watcher: where there are checkpoints, or something to watch.
    """

    students: Trained
    fabric: Fabric
    recipe: Recipe
    progress: bool | Progress
    logs: Logs
    snapshots: Snapshots
    writer: CheckpointWriter | None = None
    watcher: Watcher | None = None

    def run(self) -> tuple[dict[str, np.ndarray], float]:
        """Take all steps, or those that a checkpoint leaves, and close the logs.

        Returns:
            The history by term, each (steps, students), and the seconds.
        """
        status = "failed"
        try:
            with answering_requests():
                done = self._run()
            status = "success"
        finally:
            self.logs.close(status)
        return done

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.students.objective.names, "total")

    def _run(self) -> tuple[dict[str, np.ndarray], float]:
        steps, students = self.recipe.steps, self.students
        record = torch.zeros(steps, len(self._names), len(students.seeds), device=self.fabric.device)
        schedule = self.recipe.make_schedule(students.optimizer)
        checked, before = self._restore(record, schedule)
        done, start = checked, time.perf_counter()
        what = f"Training {len(students.seeds)} students" if len(students.seeds) > 1 else "Training"
        bar = self.progress if self.fabric.is_global_zero else False
        with progress_bar(what, steps, bar) as advance:
            advance(done)
            for step, draws in enumerate(students.order(done, steps), start=done + 1):
                if self._satisfied():
                    break
                record[step - 1] = self._take(step, draws, schedule)
                ending = step < steps and self._ending(step)
                due = self.writer is not None and (ending or self.writer.due(step, steps))
                if step % CHECK_EVERY == 0 or step == steps or due:
                    self._check(record, checked, step)
                    advance(step - checked)
                    checked = step
                if due or step == steps:
                    self._check_weights(step)
                done, spent = step, before + time.perf_counter() - start
                self.snapshots.after(step, spent)
                if self.watcher:
                    self.watcher.after(step, steps)
                if self.writer and due:
                    self.writer.save(step, spent, record, **self._stateful(schedule))
                if ending:
                    self._end(step)
        seconds = before + time.perf_counter() - start
        if done < steps:
            self._stop(record, checked, done, seconds, schedule)
        values = record[:done].cpu().numpy()
        return {name: values[:, i] for i, name in enumerate(self._names)}, seconds

    def _restore(self, record: Tensor, schedule: LRScheduler | None) -> tuple[int, float]:
        """The steps that a checkpoint has done, and the seconds; the record is filled in until there."""
        if self.writer is None:
            return 0, 0.0
        done, seconds, kept = self.writer.restore(**self._stateful(schedule))
        self.snapshots.refuse_missed(done)
        if kept is not None:
            record[:done] = kept.to(record)
        return done, seconds

    def _take(self, step: int, draws: Tensor, schedule: LRScheduler | None) -> Tensor:
        """One step, and its losses, (terms + 1, students)."""
        values = self.students.take(draws, (step - 1) / self.recipe.steps)
        self.students.step(step)
        if schedule:
            schedule.step()
        return values.view(len(self._names), -1)

    def _satisfied(self) -> bool:
        return self.watcher is not None and self.watcher.satisfied

    def _stop(
        self, record: Tensor, checked: int, done: int, seconds: float, schedule: LRScheduler | None
    ) -> None:
        """Do what the last step would have done, if watching ended the training earlier."""
        if checked < done:
            self._check(record, checked, done)
        self._check_weights(done)
        if self.writer and self.writer.done < done:
            self.writer.save(done, seconds, record, **self._stateful(schedule))

    def _ending(self, step: int) -> bool:
        """Whether the system has asked to end; several processes ask each other only now and then."""
        return (self.fabric.world_size == 1 or step % CHECK_EVERY == 0) and asked_to_end(self.fabric)

    def _end(self, step: int) -> None:
        kept = (
            "a checkpoint holds them, and the same call resumes there" if self.writer else "nothing is kept"
        )
        raise Terminated(f"the system asked to end: {step} of {self.recipe.steps} steps are done; {kept}")

    def _stateful(self, schedule: LRScheduler | None) -> dict[str, Any]:
        """What a checkpoint holds besides weights and optimiser."""
        return {"schedule": schedule, "watched": self.watcher, "snapshots": self.snapshots}

    def _check(self, record: Tensor, start: int, stop: int) -> None:
        """Stop if a loss of the last steps is not finite; the record tells exactly where it began. Log their means."""
        record[start:stop] = average(record[start:stop], self.fabric)
        bad = ~torch.isfinite(record[start:stop])  # (steps, terms + 1, students)
        if bad.any():
            step, term, student = (int(value) for value in bad.nonzero()[0])
            raise TrainingDiverged(
                f"the loss term {self._names[term]!r} became {float(record[start + step, term, student])} at step "
                f"{start + step + 1} (seed {self.students.seeds[student]}): lower lr or the term's weight, or look for "
                "bad values in the data"
            )
        if self.logs:
            means = record[start:stop].mean(dim=(0, 2)).tolist()
            told = {f"train/{name}": mean for name, mean in zip(self._names, means, strict=True)}
            weights = self.students.objective.weights_at((stop - 1) / self.recipe.steps)
            self.logs.tell(told | {f"weight/{name}": value for name, value in weights.items()}, stop)

    def _check_weights(self, step: int) -> None:
        """What the last step did shows in no loss yet, and a checkpoint should be worth keeping."""
        students = len(self.students.seeds)
        weights = [each for group in self.students.optimizer.param_groups for each in group["params"]]
        finite = torch.stack([torch.isfinite(each).reshape(students, -1).all(dim=1) for each in weights])
        finite = finite.all(dim=0)  # (students,)
        if not finite.all():
            seed = self.students.seeds[int(finite.int().argmin())]
            raise TrainingDiverged(f"a weight became NaN or infinite at step {step} (seed {seed}): lower lr")
