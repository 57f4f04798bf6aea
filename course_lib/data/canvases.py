"""Large images with several small ones at random places: something to search in, with the truth known."""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.data.examples import Examples
from course_lib.data.splits import check_seed
from course_lib.errors import CourseError, check_count


@dataclass(frozen=True, eq=False)
class Canvases:
    """Large black images on which objects lie, made by ``scatter``.

    Attributes:
        images: (N, C, S, S) uint8.
        centres: of the objects, row and column in pixels from the upper left corner, (N, K, 2) float32.
        labels: classes of the objects, (N, K) int64.
        std: (C,) float32, standard deviation of a small image's pixels divided by 255.
    """

    images: Tensor
    centres: Tensor
    labels: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def inputs(self) -> Tensor:
        """The images as a network takes them, (N, C, S, S) float32, black at 0.

        Not centred as ``Examples`` usually are: convolutions pad with 0, so black must be 0 for a window at the edge
        of a canvas to look like one inside.
        """
        return self.images.float() / 255 / self.std[:, None, None]


def scatter(
    examples: Examples,
    *,
    canvases: int,
    objects: int,
    size: int,
    gap: int = 0,
    edge: int = 0,
    clutter: int = 0,
    seed: int = 0,
) -> Canvases:
    """Place examples at random, drawn with replacement, without overlap and not over the edge.

    Args:
        examples: the objects; their background must be black, 0, as the digits' is.
        canvases: how many to make, N.
        objects: on each, K.
        size: side S of a canvas in pixels.
        gap: fewest free pixels between two objects.
        edge: fewest free pixels between an object and the edge of the canvas.
        clutter: how many examples with their left and right halves swapped lie there as well: strokes of an object,
            but no object.
        seed: another one draws and places differently.

    Raises:
        CourseError: the examples are not uint8 images, a number out of range, or no room for so many objects.
    """
    check_seed(seed)
    _, std = examples.pixel_scale
    height, width = examples.images.shape[2:]
    check_count(canvases=canvases, objects=objects)
    check_count(0, gap=gap, edge=edge, clutter=clutter)
    check_count(max(height, width) + 2 * edge, size=size)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(examples), (canvases, objects), generator=generator)
    pieces = examples.images[chosen]  # (N, K, C, H, W)
    if clutter:
        others = examples.images[torch.randint(len(examples), (canvases, clutter), generator=generator)]
        pieces = torch.cat([pieces, others.roll(width // 2, dims=4)], dim=1)
    images = torch.zeros(canvases, examples.images.shape[1], size, size, dtype=torch.uint8)
    corners = torch.stack(
        [_place(image, own, gap, edge, generator) for image, own in zip(images, pieces, strict=True)]
    )
    centres = corners[:, :objects] + torch.tensor([height / 2, width / 2])
    return Canvases(images, centres, examples.labels[chosen], std)


def _place(image: Tensor, pieces: Tensor, gap: int, edge: int, generator: torch.Generator) -> Tensor:
    """Put pieces (K, C, H, W) on a canvas (C, S, S) in place, and return their upper left corners, (K, 2)."""
    height, width = pieces.shape[2:]
    # Where a piece's upper left corner may lie; each piece takes its surroundings away from the next ones.
    free = torch.zeros(image.shape[1] - height + 1, image.shape[2] - width + 1, dtype=torch.bool)
    free[edge : len(free) - edge, edge : free.shape[1] - edge] = True
    corners = torch.empty(len(pieces), 2, dtype=torch.int64)
    for number, piece in enumerate(pieces):
        room = free.nonzero()
        if not len(room):
            raise CourseError(
                f"objects must find room: {len(pieces)} of {height} × {width} pixels with a gap of {gap} do not "
                f"fit on a canvas of side {image.shape[1]}, {number} did"
            )
        top, left = room[torch.randint(len(room), (), generator=generator)].tolist()
        image[:, top : top + height, left : left + width] = piece
        far_up, far_left = max(0, top - height - gap + 1), max(0, left - width - gap + 1)
        free[far_up : top + height + gap, far_left : left + width + gap] = False
        corners[number] = torch.tensor([top, left])
    return corners


def cut_windows(canvases: Canvases, *, window: int, stride: int, background: int) -> Examples:
    """All windows that a network of this window and stride sees on the canvases, as labelled examples.

    A window is of an object's class if the object's centre lies in its middle, a square of ``stride`` pixels, so that
    every object inside belongs to exactly one window. All others are background: empty ones, and those in which an
    object is cut or off the middle.

    Args:
        canvases: where to cut.
        window: side of a window in pixels.
        stride: pixels from one window to the next.
        background: label of windows without an object, as a rule the number of classes.

    Returns:
        N·h·w examples, canvas by canvas along rows, black at 0 as in ``Canvases.inputs``.

    Raises:
        CourseError: a window that is larger than a canvas, or two objects in the middle of one window.
    """
    size = canvases.images.shape[-1]
    if not 1 <= stride <= window <= size:
        raise CourseError(
            f"window must lie between stride and the canvas's {size} pixels, got {window} and {stride}"
        )
    parts = canvases.images.unfold(2, window, stride).unfold(
        3, window, stride
    )  # (N, C, h, w, window, window)
    count, channels, high, wide = parts.shape[:4]
    images = parts.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels, window, window)
    places = ((canvases.centres - (window - stride) / 2) / stride).floor().long()  # (N, K, 2)
    inside = ((places >= 0) & (places < torch.tensor([high, wide]))).all(dim=2)
    canvas = torch.arange(count)[:, None].expand_as(inside)
    rows = ((canvas * high + places[..., 0]) * wide + places[..., 1])[inside]
    if len(rows.unique()) < len(rows):
        raise CourseError(
            "canvases must have at most one object in the middle of a window: lower stride, or raise gap"
        )
    labels = torch.full((len(images),), background)
    labels[rows] = canvases.labels[inside]
    return Examples(images, labels, torch.arange(len(images)), torch.zeros_like(canvases.std), canvases.std)


def sample_windows(windows: Examples, *, background: int, per_object: int, seed: int = 0) -> Examples:
    """All windows of objects, and for each of them some of background, drawn at random.

    Nearly all windows of a canvas are background; trained on all of them, a network would see few objects.

    Args:
        windows: as ``cut_windows`` gives them.
        background: label of windows without an object.
        per_object: windows of background for each window of an object.
        seed: another one draws others.

    Raises:
        CourseError: no objects, or too few windows of background.
    """
    check_seed(seed)
    check_count(0, per_object=per_object)
    objects = (windows.labels != background).nonzero().flatten()
    others = (windows.labels == background).nonzero().flatten()
    wanted = per_object * len(objects)
    if not len(objects) or wanted > len(others):
        raise CourseError(
            f"windows must hold objects and {per_object} times as many of background, "
            f"got {len(objects)} and {len(others)}"
        )
    drawn = others[torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[:wanted]]
    return windows.take(torch.cat([objects, drawn]).sort().values)
