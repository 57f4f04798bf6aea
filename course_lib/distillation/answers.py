"""How the students of a plan get the teacher's answers: from a cache, or by asking at every step."""

from pathlib import Path

from lightning_fabric import Fabric
from torch import nn

from course_lib.data import Examples, Views
from course_lib.distillation.plan import Plan
from course_lib.matrices import class_soft_matrix, cross_entropy_matrix
from course_lib.models import HalfPrecision
from course_lib.training import LiveTeacher, Objective, TeacherCache, cache_teacher, shared_logits
from course_lib.training.live import SoftMatrix
from course_lib.training.processes import on_rank_zero


def answering(
    plan: Plan,
    objective: Objective,
    teacher: nn.Module,
    asked: Examples,
    views: Views | None,
    *,
    train: Examples,
    folder: Path,
    fabric: Fabric,
    progress: bool = True,
) -> TeacherCache | LiveTeacher | None:
    """The teacher in the form that is less work for what the students' losses ask; None where they ask nothing.

    Args:
        plan: what is to be done.
        objective: of the students.
        teacher: the network, on the device of the training.
        asked: all examples that any student sees.
        views: of which they see one at a time.
        train: the teacher's training images, from which S of the classes is computed.
        folder: for the file of a cache.
        fabric: whose first process asks; the others read the file.
        progress: show a bar where a person can see it.
    """
    layers = {each.layer or "" for each in objective.sources if each.name == "teacher_activation"}
    sources = {source.name for source in objective.sources}
    if not any(name.startswith("teacher") or name == "soft_matrix" for name in sources):
        return None
    gradients = bool(sources & {"soft_matrix", "teacher_gradients"})
    matrix = _soft_matrix(plan, teacher, train, fabric) if gradients else None
    passes = plan.epochs * plan.seeds
    live = plan.answers == "live" or (
        views is not None and (gradients or layers or (plan.answers == "auto" and len(views) > passes))
    )
    if not gradients and not layers and fabric.strategy.precision.precision == "bf16-mixed":
        teacher = HalfPrecision(teacher)  # as the student is trained; slopes want more
    if live:
        return LiveTeacher(teacher, matrix)
    if callable(matrix):
        matrix = matrix(shared_logits(teacher, asked, fabric), asked.labels.cpu())
    settings = {"views": views, "soft_matrix": matrix, "layers": sorted(layers)}
    settings |= {"directory": folder, "progress": progress}
    if fabric.world_size > 1:
        on_rank_zero(lambda: cache_teacher(teacher, asked, **settings), fabric)
    return cache_teacher(teacher, asked, **settings)


def _soft_matrix(plan: Plan, teacher: nn.Module, train: Examples, fabric: Fabric) -> SoftMatrix:
    if plan.soft_matrix == "cross_entropy":
        return cross_entropy_matrix
    logits = shared_logits(teacher, train, fabric)
    return class_soft_matrix(logits, train.labels.cpu(), plan.temperature, logits.shape[1])
