"""The trainings of one distillation: each resumes where it was stopped, is logged, and leaves its network in a file."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from course_lib.data import Dataset, Examples
from course_lib.distillation.engine import Engine
from course_lib.distillation.networks import Builder, channels_last, save_network
from course_lib.distillation.plan import Plan
from course_lib.measure import accuracy
from course_lib.training import Checkpoints, Objective, Recipe, Run, Watch, fit, fit_many, shared_logits
from course_lib.training.batches import Teacher
from course_lib.training.processes import on_rank_zero


@dataclass(frozen=True)
class Trainings:
    """How networks are trained by a plan.

    Attributes:
        plan: its settings.
        engine: how it is carried out.
        dataset: whose images the networks are for; its validation images are looked at meanwhile.
    """

    plan: Plan
    engine: Engine
    dataset: Dataset

    def students(
        self,
        builder: Builder,
        objective: Objective,
        labelled: Sequence[Examples],
        teacher: Teacher | None,
        name: str,
    ) -> list[Run]:
        """A student for each seed of the plan, trained on its labelled images; ``name`` is that of their folder."""
        recipe = self.plan.recipe(len(labelled[0]))
        if self.engine.together:
            return self._together(builder, objective, labelled, recipe, teacher, name)
        return [
            self.one(builder, objective, train, recipe, seed, teacher, f"{name}/seed-{seed}")
            for seed, train in zip(self.plan.student_seeds, labelled, strict=True)
        ]

    def _together(
        self,
        builder: Builder,
        objective: Objective,
        labelled: Sequence[Examples],
        recipe: Recipe,
        teacher: Teacher | None,
        name: str,
    ) -> list[Run]:
        engine, every = self.engine, self._look_every(labelled[0])
        runs = fit_many(
            builder.make,
            objective,
            labelled,
            recipe,
            seeds=self.plan.student_seeds,
            teacher=teacher,
            views=self.plan.views(self.dataset),
            fabric=engine.fabric,
            progress=engine.progress,
            checkpoints=Checkpoints(engine.folder / name, every, fall_back=engine.fall_back),
            loggers=engine.logs(name),
        )
        found = []
        for place, seed in enumerate(runs.seeds):
            history = {term: values[:, place] for term, values in runs.history.items()}
            found.append(Run(runs.model(place), history, runs.seconds / len(runs), seed))
            save_network(engine.folder / f"{name}/seed-{seed}.pt", found[-1].model, builder.settings)
        return found

    def _look_every(self, train: Examples) -> int:
        """Steps between two checkpoints."""
        return self.plan.steps_per_epoch(len(train)) * self.plan.checkpoint_every

    def one(
        self,
        builder: Builder,
        objective: Objective,
        train: Examples,
        recipe: Recipe,
        seed: int,
        teacher: Teacher | None,
        name: str,
    ) -> Run:
        """One network, trained and written to its file."""
        engine, every = self.engine, self._look_every(train)
        validation = self.dataset.validation.to(engine.fabric.device)

        def look(network: nn.Module) -> dict[str, float]:
            logits = shared_logits(network, validation, engine.fabric)
            return {"accuracy": 100 * float(accuracy(logits, validation.labels))}

        run = fit(
            lambda: channels_last(builder.make()),
            objective,
            train,
            recipe,
            seed=seed,
            teacher=teacher,
            views=self.plan.views(self.dataset),
            fabric=engine.fabric,
            compile=engine.compile,
            progress=engine.progress,
            checkpoints=Checkpoints(engine.folder / name, every=every, fall_back=engine.fall_back),
            watch=Watch(look, every=every),
            loggers=engine.logs(name),
        )
        path = engine.folder / f"{name}.pt"
        on_rank_zero(lambda: save_network(path, run.model, builder.settings), engine.fabric)
        return run
