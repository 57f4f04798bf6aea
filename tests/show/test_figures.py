"""What is drawn is what was measured: means, intervals, cells and pixels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from scipy import stats

from course_lib import show
from course_lib.errors import CourseError

RUNS = np.array([[70.0, 80.0, 91.0], [73.0, 79.0, 90.0], [71.0, 83.0, 92.5], [69.0, 81.0, 91.5]])


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def t_interval(values):
    return stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, np.ndarray.tolist])
def test_curves_draw_mean_and_95_percent_interval(ax, kind):
    show.curves(ax, [50, 100, 200], kind(RUNS), label="hard labels")
    (line,) = ax.lines
    np.testing.assert_allclose(line.get_xdata(), [50, 100, 200])
    np.testing.assert_allclose(line.get_ydata(), RUNS.mean(axis=0))
    assert line.get_color() == show.color("hard labels")
    assert line.get_label() == "hard labels"
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    for x, column in zip((50, 100, 200), RUNS.T, strict=True):
        ends = corners[corners[:, 0] == x][:, 1]
        np.testing.assert_allclose((ends.min(), ends.max()), t_interval(column))


def test_single_run_has_no_band(ax):
    show.curves(ax, [1, 2, 3], RUNS[:1])
    assert len(ax.lines) == 1
    assert len(ax.collections) == 0


def test_long_curves_keep_markers_apart(ax):
    show.curves(ax, range(600), np.ones((2, 600)), label="teacher")
    assert 600 / ax.lines[0].get_markevery() <= 25


@pytest.mark.parametrize(
    "runs",
    [RUNS.T, RUNS[0], RUNS[:0], np.where(RUNS > 92, np.nan, RUNS)],
    ids=["turned", "one row", "none", "NaN"],
)
def test_curves_refuse_what_they_cannot_draw(ax, runs):
    with pytest.raises(CourseError, match="runs must"):
        show.curves(ax, [1, 2, 3], runs)


def test_bars_draw_means_whiskers_and_the_methods_colours(ax):
    show.bars(ax, ["soft targets", "other", "one number"], [RUNS[:, 0], torch.tensor(RUNS[:, 1]), 50.0])
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], [*RUNS.mean(axis=0)[:2], 50])
    assert to_hex(ax.patches[0].get_facecolor()) == show.color("soft targets")
    (whiskers,) = ax.collections
    drawn = [segment[:, 1] for segment in whiskers.get_segments()]
    np.testing.assert_allclose(drawn, [t_interval(RUNS[:, 0]), t_interval(RUNS[:, 1])])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["soft targets", "other", "one number"]
    assert ax.get_ylim()[0] == 0


def colors_of(ax):
    return [to_hex(bar.get_facecolor()) for bar in ax.patches]


def test_a_label_on_several_lines_has_the_methods_colour_too(ax):
    show.bars(ax, ["hard\nlabels", "logits", "soft\ntargets"], [1.0, 2.0, 3.0])
    assert colors_of(ax) == [show.color(name) for name in ("hard labels", "logits", "soft targets")]


@pytest.mark.parametrize("method", ["soft targets", "hard labels"])
def test_other_labels_share_one_colour_that_no_method_beside_them_has(ax, method):
    show.bars(ax, [method, "one", "other"], [1.0, 2.0, 3.0])
    own, first, second = colors_of(ax)
    assert own == show.color(method)
    assert first == second != own


def test_points_draw_means_intervals_and_the_methods_looks_from_the_top(ax):
    show.points(ax, ["soft\ntargets", "other", "one number"], [RUNS[:, 0], torch.tensor(RUNS[:, 1]), 50.0])
    means = [each.lines[0] for each in ax.containers]
    drawn = [each.lines[2][0].get_segments()[0][:, 0] for each in ax.containers if each.has_xerr]
    np.testing.assert_allclose(drawn, [t_interval(RUNS[:, 0]), t_interval(RUNS[:, 1])])
    np.testing.assert_allclose([point.get_xdata()[0] for point in means], [*RUNS.mean(axis=0)[:2], 50])
    assert [point.get_ydata()[0] for point in means] == [0, 1, 2]
    assert ax.yaxis_inverted()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["soft\ntargets", "other", "one number"]
    assert (means[0].get_color(), means[0].get_marker()) == (show.color("soft targets"), "s")
    assert means[1].get_color() == means[2].get_color() != means[0].get_color()


@pytest.mark.parametrize("draw", [show.bars, show.points])
@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], [[1.0, np.inf], [1.0]], [[[1.0]], [1.0]]])
def test_bars_and_points_refuse_what_they_cannot_draw(ax, draw, values):
    with pytest.raises(CourseError, match="values must"):
        draw(ax, ["a", "b"], values)


def test_heatmap_names_rows_from_the_top_and_writes_numbers(ax):
    matrix = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 10.0]])
    image = show.heatmap(ax, matrix, ["up", "down"], [1, 2, 3], fmt="{:.1f}")
    np.testing.assert_array_equal(image.get_array(), matrix)
    assert ax.yaxis_inverted()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["up", "down"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "3"]
    written = {text.get_position(): text for text in ax.texts}
    assert written[(2, 1)].get_text() == "10.0"
    assert written[(0, 0)].get_color() == "black"
    assert written[(2, 1)].get_color() == "white"
    assert len(ax.figure.axes) == 1


def test_heatmap_without_numbers_has_a_colour_bar_over_the_given_range(ax):
    image = show.heatmap(ax, [[0.2, 0.3]], ["a"], ["b", "c"], vmin=0, vmax=1)
    assert image.get_clim() == (0, 1)
    assert len(ax.figure.axes) == 2


def test_a_masked_diagonal_is_hatched_and_left_out_of_the_scale(ax):
    matrix = np.array([[9.0, 0.1, 0.2], [0.3, 8.0, 0.4], [0.5, 0.6, 7.0]])
    image = show.heatmap(ax, matrix, "abc", "abc", mask_diagonal=True, fmt="{:.1f}")
    assert image.get_clim() == (0.1, 0.6)
    np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), np.eye(3, dtype=bool))
    assert [patch.get_xy() for patch in ax.patches if patch.get_hatch()] == [
        (-0.5, -0.5),
        (0.5, 0.5),
        (1.5, 1.5),
    ]
    assert sorted(text.get_text() for text in ax.texts) == ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]


def test_signed_values_have_a_scale_around_the_centre_with_white_in_its_middle(ax):
    image = show.heatmap(ax, [[-1.0, 0.0], [3.0, 1.0]], "ab", "cd", center=0, fmt="{:.0f}")
    assert image.get_clim() == (-3, 3)
    red, middle, blue = (image.cmap(image.norm(value)) for value in (-3.0, 0.0, 3.0))
    assert min(middle[:3]) > 0.95
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    inks = {text.get_text(): text.get_color() for text in ax.texts}
    assert inks == {"-1": "black", "0": "black", "3": "white", "1": "black"}


@pytest.mark.parametrize("shape", [(2, 3), (1, 1)])
def test_only_a_square_has_a_diagonal_to_mask(ax, shape):
    with pytest.raises(CourseError, match="matrix must be square"):
        show.heatmap(ax, np.ones(shape), range(shape[0]), range(shape[1]), mask_diagonal=True)


def test_heatmap_refuses_labels_that_do_not_fit(ax):
    with pytest.raises(CourseError, match=r"matrix must have shape \(2, 3\).*got \(3, 2\)"):
        show.heatmap(ax, np.ones((3, 2)), "ab", "abc")


def grid_of(images, **options):
    assert show.image_grid(images, **options) is None  # a notebook would draw a returned figure twice
    figure = plt.gcf()
    plt.close(figure)
    return figure


def test_image_grid_shows_one_channel_as_ink_on_paper():
    images = torch.zeros(12, 1, 2, 2, dtype=torch.uint8)
    images[11, 0, 0, 1] = 255
    figure = grid_of(images, titles=range(12))
    shown = [ax for ax in figure.axes if ax.images]
    np.testing.assert_array_equal(shown[11].images[0].get_array(), [[255, 0], [255, 255]])
    assert shown[11].images[0].get_clim() == (0, 255)
    assert [ax.get_title() for ax in shown] == [str(number) for number in range(12)]


def test_image_grid_begins_a_new_row_after_the_wanted_columns():
    figure = grid_of(torch.zeros(5, 1, 2, 2, dtype=torch.uint8), columns=3)
    assert [len({ax.get_subplotspec().rowspan.start for ax in figure.axes}), len(figure.axes)] == [2, 6]
    assert sum(bool(ax.images) for ax in figure.axes) == 5


@pytest.mark.parametrize("columns", [0, 11, 2.5])
def test_image_grid_refuses_rows_that_are_too_long_or_empty(columns):
    with pytest.raises(CourseError, match="columns must"):
        show.image_grid(torch.zeros(2, 1, 8, 8).byte(), columns=columns)


def test_image_grid_shows_three_channels_as_colours():
    images = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).to(torch.uint8)
    figure = grid_of(images)
    drawn = figure.axes[1].images[0].get_array()
    assert drawn.shape == (4, 5, 3)
    np.testing.assert_array_equal(drawn[2, 4], images[1, :, 2, 4])


@pytest.mark.parametrize(
    "images",
    [
        torch.rand(2, 1, 8, 8),
        torch.zeros(2, 8, 8).byte(),
        torch.zeros(2, 2, 8, 8).byte(),
        torch.zeros(0, 1, 8, 8).byte(),
    ],
    ids=["float", "no channel", "two channels", "none"],
)
def test_image_grid_refuses_other_images(images):
    with pytest.raises(CourseError, match="images must"):
        show.image_grid(images)


def test_image_grid_refuses_too_few_titles():
    with pytest.raises(CourseError, match="titles must"):
        show.image_grid(torch.zeros(2, 1, 8, 8).byte(), titles=["one"])
