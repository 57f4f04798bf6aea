"""Figures as small files: a chart has few colours, and a palette of 256 stores it in a third of the bytes."""

import base64
import io
from typing import Any

from PIL import Image

_COLORS = 256
# A photograph has many more colours than a chart with antialiased text; a palette would show in it.
_MOST_COLORS_OF_A_CHART = 1 << 14


def with_small_pictures(notebook: Any) -> Any:
    """Change the PNG outputs of ``notebook`` to smaller ones that look the same, and return it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                small = small_png(base64.b64decode(output.data["image/png"]))
                output.data["image/png"] = base64.b64encode(small).decode("ascii")
    return notebook


def small_png(content: bytes) -> bytes:
    """The PNG ``content`` with a palette; as it came where it is a photograph, transparent, or small already."""
    picture = Image.open(io.BytesIO(content))
    opaque = "A" not in picture.getbands() or picture.getchannel("A").getextrema()[0] == 255
    if not opaque or picture.convert("RGB").getcolors(_MOST_COLORS_OF_A_CHART) is None:
        return content
    written = io.BytesIO()
    chart = picture.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
    chart.save(written, "png", optimize=True, dpi=picture.info.get("dpi"))
    return min(content, written.getvalue(), key=len)
