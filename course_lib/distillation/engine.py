"""How a plan is carried out: where, at what precision, into which folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric
from lightning_fabric.loggers.logger import Logger

from course_lib.errors import CourseError
from course_lib.files import clear_unfinished
from course_lib.provenance import peak_memory
from course_lib.training.processes import on_rank_zero


@dataclass(frozen=True)
class Engine:
    """How a plan is carried out.

    Attributes:
        fabric: device, precision and processes.
        folder: of the whole distillation.
        loggers: makes those of one training from its name.
        together: train the students of all seeds at once.
        compile: use ``torch.compile`` where no loss differentiates the logits.
        fall_back: resume from an older checkpoint where the newest is damaged or of another plan.
        progress: show bars where a person can see them.
    """

    fabric: Fabric
    folder: Path
    loggers: Callable[[str], Sequence[Logger]] | None = None
    together: bool = False
    compile: bool = False
    fall_back: bool = False
    progress: bool = True

    def logs(self, name: str) -> Sequence[Logger]:
        """Those of one training.

        Raises:
            CourseError: they cannot be made.
        """
        try:
            return self.loggers(name) if self.loggers else ()
        except OSError as error:
            raise CourseError(f"cannot write the log of {name}: {error}") from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Two distillations in one folder would take each other's checkpoints for their own."""
        folder, lock = self.folder, FileLock(self.folder / ".lock", timeout=0)

        def enter() -> None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock.acquire()
            except Timeout as error:
                raise CourseError(
                    f"another distillation is at work in {folder}: wait for it, or name another folder; if none is, "
                    f"delete {folder / '.lock'}"
                ) from error
            except OSError as error:
                raise CourseError(f"cannot write to {folder}: {error.strerror or error}") from error
            for place in (folder, *(folder / name for name in ("answers", "student", "baseline"))):
                clear_unfinished(place)

        on_rank_zero(enter, self.fabric)
        try:
            yield
        finally:
            lock.release()

    def provenance(self) -> dict[str, str | int | bool | None]:
        """What it ran on and how, and the first process's memory; of a distillation that was resumed, the last part."""
        device = self.fabric.device
        on_gpu = device.type == "cuda"
        found = {
            "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
            "processes": self.fabric.world_size,
            "precision": self.fabric.strategy.precision.precision,
            "compiled": self.compile and not self.together,  # where no loss forbids it
            "together": self.together,
            "peak_memory_bytes": peak_memory(),
        }
        return found | (
            {"peak_device_memory_bytes": torch.cuda.max_memory_allocated(device)} if on_gpu else {}
        )
