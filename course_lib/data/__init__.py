"""Where examples come from: data sets by name, split by a seed, folders of pictures, any data set of PyTorch's."""

from course_lib.data.catalog import NAMES, Record, Verified, available, fetch, load, verify
from course_lib.data.dataset import Dataset
from course_lib.data.examples import Examples
from course_lib.data.folders import from_dataset, from_folder
from course_lib.data.noise import noisy_copies
from course_lib.data.results import measured
from course_lib.data.streams import streamed
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
    "from_dataset",
    "from_folder",
    "load",
    "measured",
    "noisy_copies",
    "streamed",
    "verify",
]
