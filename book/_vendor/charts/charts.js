// Draws the charts of a page: each specification lies in the page as JSON, and nothing is fetched.
(() => {
  const composed = ["hconcat", "vconcat", "concat", "facet", "repeat", "spec"];

  // A single chart takes the width there is; charts side by side go below one another where it is narrow.
  function fit(spec, space) {
    if (!composed.some((key) => key in spec)) {
      const wanted = typeof spec.width === "number" ? spec.width + 80 : 640;  // 80: axes and their titles
      return { ...spec, width: Math.min(wanted, space), autosize: { type: "fit-x", contains: "padding" } };
    }
    if (spec.hconcat && space < 560) {
      const { hconcat, ...rest } = spec;
      return { ...rest, vconcat: hconcat };
    }
    return spec;
  }

  async function draw(place) {
    const spec = JSON.parse(place.querySelector("script").textContent);
    const view = document.createElement("div");
    place.append(view);
    const space = place.clientWidth - 24;  // less the card's padding
    const result = await vegaEmbed(view, fit(spec, space), { actions: false, mode: "vega-lite", renderer: "svg" });
    view.querySelectorAll(".vega-bind").forEach((row) => {
      const name = row.querySelector(".vega-bind-name");
      const input = row.querySelector("input, select");
      if (name && input) input.setAttribute("aria-label", name.textContent.trim());
    });
    place.vegaView = result.view;
    place.dataset.drawn = "true";
  }

  document.querySelectorAll(".course-chart").forEach((place) => draw(place).catch((error) => {
    place.append(`This chart could not be drawn: ${error.message}`);
    console.error(error);
  }));
})();
