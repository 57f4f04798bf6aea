"""Big and small networks, and reading activations out of them."""

from course_lib.models.activations import Activations
from course_lib.models.alexnet import alexnet, fully_convolutional
from course_lib.models.cnn import cnn_teacher
from course_lib.models.evaluating import evaluating
from course_lib.models.half import HalfPrecision
from course_lib.models.low_rank import low_rank_convolution, unfold_patches
from course_lib.models.macs import MacCounter
from course_lib.models.mlp import big_mlp, mlp, small_mlp
from course_lib.models.noise import NoisyInputs, with_noise
from course_lib.models.regressors import WithRegressors
from course_lib.models.searcher import STRIDE, WINDOW, Searcher, searcher

__all__ = [
    "STRIDE",
    "WINDOW",
    "Activations",
    "HalfPrecision",
    "MacCounter",
    "NoisyInputs",
    "Searcher",
    "WithRegressors",
    "alexnet",
    "big_mlp",
    "cnn_teacher",
    "evaluating",
    "fully_convolutional",
    "low_rank_convolution",
    "mlp",
    "searcher",
    "small_mlp",
    "unfold_patches",
    "with_noise",
]
