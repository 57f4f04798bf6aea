"""The map of a grid marks the best cell and frames those within one standard error."""

import matplotlib.pyplot as plt
import numpy as np

from course_lib import show
from course_lib.tuning import Grid


def test_the_best_cell_has_the_star_and_near_cells_a_frame():
    cells = np.array([[[86, 88, 90], [90, 91, 92]], [[87, 91, 95], [90, 92, 94]]], dtype=float)
    fig, ax = plt.subplots()
    show.tuning_map(ax, Grid((1.0, 4.0), (0.5, 1.0), (0, 1, 2), cells, cells[0, 0]))
    frames = {(round(patch.get_x() + 0.46), round(patch.get_y() + 0.46)) for patch in ax.patches}
    assert frames == {(0, 1), (1, 1)}  # (λ, T)
    (star,) = ax.lines
    assert [round(float(star.get_xdata()[0]) - 0.3), round(float(star.get_ydata()[0]) + 0.28)] == [1, 1]
    assert [text.get_text() for text in ax.texts] == ["88", "91", "91", "92"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "4"]
    assert "λ" in ax.get_xlabel()
    plt.close(fig)
