"""What a training tells Lightning Fabric's loggers, without depending on them."""

import logging
from collections.abc import Iterable, Mapping

from lightning_fabric.loggers.logger import Logger

_log = logging.getLogger(__name__)


class Logs:
    """Loggers of Fabric's kind. One that cannot write is left out from then on: a training is worth more than its log.

    Args:
        loggers: any number.
    """

    def __init__(self, loggers: Iterable[Logger]):
        self._loggers = list(loggers)

    def __bool__(self) -> bool:
        return bool(self._loggers)

    def tell(self, numbers: Mapping[str, float], step: int) -> None:
        """Numbers by name, after this many steps."""
        for logger in list(self._loggers):
            try:
                logger.log_metrics(dict(numbers), step)
            except OSError as error:
                self._leave_out(logger, error)

    def close(self, status: str) -> None:
        """The training is over, with "success", or it "failed"."""
        for logger in list(self._loggers):
            try:
                logger.finalize(status)
            except OSError as error:
                self._leave_out(logger, error)

    def _leave_out(self, logger: Logger, error: OSError) -> None:
        self._loggers.remove(logger)
        _log.warning("the training goes on without its log, which cannot be written: %s", error)
