"""Where examples come from: data sets by name, split by a seed, as whole tensors of uint8 images."""

from course_lib.data.catalog import NAMES, Record, Verified, available, fetch, load, verify
from course_lib.data.examples import Dataset, Examples
from course_lib.data.noise import noisy_copies
from course_lib.data.results import measured
from course_lib.data.views import Views

__all__ = [
    "NAMES",
    "Dataset",
    "Examples",
    "Record",
    "Verified",
    "Views",
    "available",
    "fetch",
    "load",
    "measured",
    "noisy_copies",
    "verify",
]
