"""Big and small networks, and reading activations out of them."""

from course_lib.models.activations import Activations
from course_lib.models.alexnet import alexnet, fully_convolutional
from course_lib.models.cnn import cnn_teacher
from course_lib.models.evaluating import evaluating
from course_lib.models.mlp import big_mlp, mlp, small_mlp

__all__ = [
    "Activations",
    "alexnet",
    "big_mlp",
    "cnn_teacher",
    "evaluating",
    "fully_convolutional",
    "mlp",
    "small_mlp",
]
