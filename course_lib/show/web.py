"""What all charts of the website share: the form in which a notebook keeps them, their look, and their words.

The page reads the words: a sentence and a table that follow the sliders, for those who cannot see the drawing.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import altair as alt

# JupyterLab draws Vega-Lite 5 and no other version. The specification says nothing that version 6, which the
# website uses, reads differently, and it leaves out "$schema", by which either would ask for one version.
MIME = "application/vnd.vegalite.v5+json"


@dataclass(frozen=True)
class Words:
    """What a page says about a chart's current state.

    Attributes:
        rows: the name of the layer whose drawn marks are read; the field ``sentence`` of the first one is the
            sentence.
        columns: of the table, field to heading; the first one names its row.
        values: for a control whose own number says little, such as log₂ T, the parameter that holds the words
            beside it.
        clicks: a click on a mark sets these parameters, parameter to field of the mark.
    """

    rows: str
    columns: Mapping[str, str]
    values: Mapping[str, str] = field(default_factory=dict)
    clicks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WebChart:
    """A chart that any page with Vega-Lite draws, without Python and without a network.

    Attributes:
        spec: the Vega-Lite specification.
        text: says what the chart shows, for those who cannot see it.
    """

    spec: dict[str, Any]
    text: str

    def __repr__(self) -> str:
        return f"<chart: {self.text}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        # Altair's own display loads its scripts from another host.
        return {MIME: self.spec, "text/plain": repr(self)}


def web_chart(chart: alt.TopLevelMixin, text: str, words: Words, **axis: Any) -> WebChart:
    """``chart`` on a white card, in the letters of the course; ``axis`` changes the look of its axes."""
    look = {
        "labelFontSize": 13,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
        "gridColor": "#eeeeee",
        "labelColor": "#222",
    }
    finished = (
        chart.properties(
            padding=10,
            background="white",
            description=text,
            usermeta={"embedOptions": {"actions": False}},
        )
        .configure(font="sans-serif")
        .configure_axis(**look | axis)
        .configure_text(fontSize=14, color="#222")
        .configure_view(stroke=None)
    )
    spec = finished.to_dict()
    del spec["$schema"]
    spec["usermeta"]["words"] = asdict(words) | {"rows": f"{_full_name(spec, words.rows)}_marks"}
    return WebChart(spec, text)


def _full_name(part: Any, name: str) -> str | None:
    """The name of the layer ``name`` in a specification: Altair adds numbers to it."""
    if isinstance(part, dict) and re.fullmatch(rf"{name}(_\d+)*", str(part.get("name"))):
        return part["name"]
    children = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return next(filter(None, (_full_name(child, name) for child in children)), None)


def told(chart: alt.Chart, sentence: str, part: str = "", joint: str = ", ") -> alt.Chart:
    """``chart`` whose rows carry a ``sentence``; in it ``datum.parts`` are the ``part``s of all rows, joined."""
    rows = alt.JoinAggregateFieldDef(op="values", field="part", **{"as": "parts"})
    return (
        chart.transform_calculate(part=part or "''")
        .transform_joinaggregate([rows])
        .transform_calculate(parts=f"join(pluck(datum.parts, 'part'), '{joint}')")
        .transform_calculate(sentence=sentence)
    )
