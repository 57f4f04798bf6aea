"""``course distill``: the whole recipe from a terminal, on a CPU, a GPU or many machines."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_lib.cli.options import command_of, option, options_of
from course_lib.errors import CourseError
from course_lib.fields import setting

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn


class Accelerator(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass(frozen=True)
class Means:
    """How a plan is carried out: the options beside the plan's settings."""

    student: str | None = setting(
        None,
        "Your function that makes the student, called with image_shape and num_classes if it has parameters "
        "of these names. AlexNet if not given.",
        metavar="MODULE:FUNCTION",
    )
    teacher: str | None = setting(
        None,
        "The teacher.pt or a student of an earlier distillation; or your function, whose network is trained, "
        "or used as it is with --teacher-epochs 0. A trained AlexNet if not given.",
        metavar="FILE or MODULE:FUNCTION",
    )
    teacher_weights: Path | None = setting(
        None, "A file of an earlier distillation, with the weights for the teacher that your function makes."
    )
    output: Path = setting(
        Path("build/distill"), "Folder for networks, checkpoints and report.", flags=("--output", "-o")
    )
    accelerator: Accelerator = setting(Accelerator.auto, "Where to train.")
    precision: str | None = setting(
        None, "32-true, bf16-mixed or 16-mixed; bf16-mixed on a GPU if not given, else 32-true."
    )
    together: bool = setting(
        False, "Train the students of all seeds at once; for small networks.", flags=("--together",)
    )
    compile: bool | None = setting(None, "torch.compile; on a GPU if not given.")
    log: str = setting(
        "csv",
        "Log every loss by name while training: csv, tensorboard, none, or your own Lightning logger, which is "
        "called with a folder and the training's name.",
        metavar="NAME or MODULE:CLASS",
    )
    fall_back: bool = setting(
        False,
        "Skip checkpoints that are damaged or belong to another distillation.",
        flags=("--fall-back",),
    )


def distill() -> Any:
    """Distil AlexNet or networks of yours: train or load a teacher, train students with any losses, write a report.

    Stopped and called again, it resumes where it was. In several processes: torchrun --nproc-per-node 2 -m
    course_lib.cli distill ..., or srun under SLURM.
    """
    from course_lib.distillation import Plan
    from course_lib.training import LOSSES

    about = {each.name: each.metadata for each in fields(Plan)}["losses"]
    default = " and ".join(f"{name}={weight:g}" for name, weight in Plan().losses)
    listed = {"help": f"{about['help']}: {', '.join(LOSSES)}. {default} if not given."}
    losses = option("losses", list[str] | None, None, {**about, **listed})
    return command_of(_distill, distill.__doc__, [*options_of(Plan, losses=losses), *options_of(Means)])


def _distill(**given: Any) -> None:
    # Waiting threads spin for this long; without a bound they slow a busy machine down tenfold.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    from course_lib import distillation
    from course_lib.cli import asked, console, fail
    from course_lib.training.termination import EXIT_CODE, Terminated, ending_in_order

    # Functions named on the command line may lie in the current folder, as for python -m.
    sys.path.insert(0, str(Path.cwd()))
    means = Means(**{each.name: given.pop(each.name) for each in fields(Means)})
    losses = given.pop("losses")
    with asked():
        if losses:
            given["losses"] = tuple(map(_weighted, losses))
        plan = distillation.Plan(**given)
        fabric = make_fabric(means.accelerator.value, means.precision)
        loggers = make_loggers(means.output / "logs", means.log)
        teacher = _teacher(means)
    try:
        with ending_in_order():
            report = distillation.distill(
                plan,
                means.output,
                student=means.student,
                teacher=teacher,
                fabric=fabric,
                loggers=loggers,
                together=means.together,
                compile=fabric.device.type == "cuda" if means.compile is None else means.compile,
                fall_back=means.fall_back,
            )
    except Terminated as error:
        fail(str(error), EXIT_CODE)
    if fabric.is_global_zero:
        _show(report, means.output, console())


def _teacher(means: Means) -> "nn.Module | str | None":
    """The teacher, in a form that ``course_lib.distillation.distill`` takes."""
    from course_lib.distillation import load_network

    if means.teacher_weights is None:
        return means.teacher
    if means.teacher is None or ":" not in means.teacher:
        raise CourseError(
            "--teacher-weights goes with --teacher MODULE:FUNCTION, whose network has these weights"
        )
    return load_network(means.teacher_weights, build=means.teacher)


def _weighted(text: str) -> tuple[str, float]:
    name, sign, weight = text.partition("=")
    try:
        return name.strip(), float(weight if sign else "1")
    except ValueError:
        raise CourseError(f"--loss must be NAME=WEIGHT, such as soft_target=0.9, got {text!r}") from None


def make_fabric(accelerator: str, precision: str | None) -> "Fabric":
    """Fabric for this process: alone, or one of those that torchrun or SLURM started."""
    import torch
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from course_lib.training.loop import PRECISIONS

    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    elif accelerator == "cuda" and not torch.cuda.is_available():
        raise CourseError("accelerator cuda was asked for, but PyTorch finds no GPU here")
    if precision is not None and precision not in PRECISIONS:
        raise CourseError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    per_node, nodes = _processes()
    if precision is None:
        precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
    if accelerator == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=per_node,
            num_nodes=nodes,
            strategy="ddp" if per_node * nodes > 1 else "auto",
            precision=precision,
        )
        fabric.launch()
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise CourseError(
            f"{per_node} processes on each of {nodes} machines cannot be started on {accelerator}: {error}"
        ) from error
    return fabric


def _processes() -> tuple[int, int]:
    """Processes on this machine, and machines, as torchrun or SLURM say."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    told = os.environ
    if TorchElasticEnvironment.detect():
        return int(told["LOCAL_WORLD_SIZE"]), int(told["WORLD_SIZE"]) // int(told["LOCAL_WORLD_SIZE"])
    if not SLURMEnvironment.detect():
        return 1, 1
    tasks = int(told["SLURM_NTASKS"])
    if tasks > 1 and told.get("SLURM_STEP_NUM_TASKS") != str(tasks):
        # A script of sbatch knows how many tasks there may be, and is one process that would wait for the others.
        raise CourseError(
            f"SLURM has {tasks} tasks for this job, but did not start this process as one of them: begin the command "
            "with srun"
        )
    if tasks > 1 and "SLURM_NTASKS_PER_NODE" not in told:
        raise CourseError(
            f"SLURM has {tasks} tasks for this job, but does not say how many on each machine: give it "
            "--ntasks-per-node in place of --ntasks"
        )
    per_node = int(told.get("SLURM_NTASKS_PER_NODE", "1"))
    return per_node, max(1, tasks // per_node)


def make_loggers(folder: Path, log: str) -> Callable[[str], list[Any]]:
    """A function from the name of a training to its loggers.

    Raises:
        CourseError: there is no logger of this name.
    """
    from lightning_fabric.loggers.csv_logs import CSVLogger
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    if log == "none":
        return lambda name: []
    if log == "csv":
        # A training that is resumed writes into a folder beside: its loggers do not read what an earlier one wrote.
        # Each entry goes to the disk at once: losses are logged now and then only, and a kill should lose none.
        return lambda name: [CSVLogger(folder, name=name, flush_logs_every_n_steps=1)]
    if log == "tensorboard":
        try:
            TensorBoardLogger(folder)
        except ModuleNotFoundError as error:
            raise CourseError("--log tensorboard needs tensorboard: pip install tensorboard") from error
        return lambda name: [TensorBoardLogger(folder, name=name)]
    return _own_loggers(folder, log)


def _own_loggers(folder: Path, log: str) -> Callable[[str], list[Any]]:
    from lightning_fabric.loggers.logger import Logger

    from course_lib.distillation.networks import function_named

    if ":" not in log:
        raise CourseError(f"--log must be csv, tensorboard, none or MODULE:CLASS, got {log!r}")
    make = function_named(log)

    def loggers(name: str) -> list[Any]:
        made = make(folder, name)
        if not isinstance(made, Logger):
            raise CourseError(f"--log {log} must make a Lightning logger, got a {type(made).__name__}")
        return [made]

    return loggers


def _show(report: Any, output: Path, out: Any) -> None:
    for method, several in {"teacher": [report.teacher], **report.students}.items():
        accuracies = ", ".join(f"{each.test_accuracy:.2f}" for each in several)
        losses = ", ".join(f"{each.test_loss:.3f}" for each in several)
        parameters = f"{several[0].parameters:,} parameters"
        out.print(
            f"{method}: test accuracy {accuracies} %, test loss {losses}, {parameters}", highlight=False
        )
    if gain := report.gain():
        out.print(f"student − baseline, points: {gain}", highlight=False, markup=False)
    out.print(f"The report: {(output / 'report.html').resolve().as_uri()}", highlight=False)
