"""Views of an image: a finite set of shifts and mirror images, so that what is said about each can be kept."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.errors import CourseError, check_count


@dataclass(frozen=True)
class Views:
    """The shifted and mirrored copies of an image that training draws from: the usual augmentation of CIFAR-10.

    With the default, crops after padding by 4 pixels and flips, there are 9 · 9 · 2 = 162 views of an image. Since
    they are finite, a teacher can be asked about all of them once.

    Attributes:
        pad: largest shift in pixels, in each direction; what comes in from outside has the mean colour.
        stride: shifts are multiples of it; 4 leaves 3 · 3 · 2 = 18 views, for which a teacher is asked sooner.
        flip: whether mirror images (left to right) are views too. Not for digits: a mirrored 5 is not a 5.

    Raises:
        CourseError: a number that makes no shifts.
    """

    pad: int = 4
    stride: int = 1
    flip: bool = True

    def __post_init__(self) -> None:
        check_count(0, pad=self.pad)
        check_count(stride=self.stride)
        if not isinstance(self.flip, bool):
            raise CourseError(f"flip must be True or False, got {self.flip!r}")
        if self.pad % self.stride:
            raise CourseError(
                f"stride must divide pad, so that the image itself is a view; got {self.stride} and {self.pad}"
            )

    def __len__(self) -> int:
        return self._shifts**2 * (2 if self.flip else 1)

    @property
    def _shifts(self) -> int:
        """Positions along one side."""
        return 2 * (self.pad // self.stride) + 1

    @property
    def unchanged(self) -> int:
        """The number of the view that is the image itself."""
        return (self._shifts**2 // 2) * (2 if self.flip else 1)

    def apply(self, images: Tensor, view: Tensor) -> Tensor:
        """One view of each image.

        Args:
            images: (N, C, H, W), normalised, so that 0 is the mean colour.
            view: (N,) int64, which view of each, from 0 to below ``len(self)``.

        Returns:
            (N, C, H, W).

        Raises:
            CourseError: not images, or not one view for each; on a CPU also a view that does not exist.
        """
        self._check(images, view)
        count, _, height, width = images.shape
        place = view // 2 if self.flip else view
        down, right = place // self._shifts, place % self._shifts
        padded = F.pad(images, (self.pad,) * 4)
        # All crops at once as a view of the padded images, (N, C, shifts, shifts, H, W): one copy takes the wanted.
        crops = padded.unfold(2, height, self.stride).unfold(3, width, self.stride)
        chosen = crops[torch.arange(count, device=images.device), :, down, right]
        if not self.flip:
            return chosen
        return torch.where((view % 2 == 1).view(-1, 1, 1, 1), chosen.flip(-1), chosen)

    def _check(self, images: Tensor, view: Tensor) -> None:
        if not isinstance(images, Tensor) or images.ndim != 4:
            came = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise CourseError(f"images must have shape (N, C, H, W), got {came}")
        if not isinstance(view, Tensor) or view.dtype != torch.int64 or view.shape != images.shape[:1]:
            came = f"{view.dtype} {tuple(view.shape)}" if isinstance(view, Tensor) else type(view).__name__
            raise CourseError(
                f"view must be torch.int64 of shape ({len(images)},), one for each image, got {came}"
            )
        # Looking would make a GPU wait. A negative number would count from the end and be a view, but a wrong one.
        if view.device.type == "cpu" and len(view) and not (view.min() >= 0 and view.max() < len(self)):
            raise CourseError(f"view must be from 0 to {len(self) - 1}, got {view.min()} to {view.max()}")
