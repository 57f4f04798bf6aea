// Draws the charts of a page: each specification lies in the page as JSON, and nothing is fetched.
(() => {
  const composed = ["hconcat", "vconcat", "concat", "facet", "repeat", "spec"];
  const quiet = 200;  // milliseconds without a change, before the words follow: a screen reader says every one

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

  function element(tag, settings, ...children) {
    const made = Object.assign(document.createElement(tag), settings);
    made.append(...children);
    return made;
  }

  // Every control is called by its name alone, and says its value in words where its number means little.
  function label(box, view, values) {
    box.querySelectorAll(".vega-bind").forEach((row) => {
      const input = row.querySelector("input, select");
      input.setAttribute("aria-label", row.querySelector(".vega-bind-name").textContent.trim());
      const parameter = values[input.name];
      if (!parameter) return;
      const value = element("span", { className: "course-value" });
      const say = (name, words) => {
        value.textContent = words;
        input.setAttribute("aria-valuetext", words);
      };
      input.nextElementSibling.replaceWith(value);
      view.addSignalListener(parameter, say);
      say(parameter, view.signal(parameter));
    });
  }

  // The drawn marks of a layer, also where charts stand side by side; view.data() has only those of a single chart.
  function marksOf(view, name) {
    const search = (item) => (item.name === name ? item.items : (item.items ?? []).flatMap(search));
    return search(view.scenegraph().root);
  }

  // The chart's present state as a sentence, which screen readers say after a change, and as a table.
  function tell(box, view, { rows, columns }) {
    const sentence = element("p", { className: "course-sentence", role: "status" });
    const head = element("tr", {}, ...Object.values(columns).map((name) => element("th", { scope: "col" }, name)));
    const body = element("tbody");
    const table = element("table", {}, element("thead", {}, head), body);
    box.append(sentence, element("details", {}, element("summary", {}, "The values as a table"), table));
    const update = () => {
      const data = marksOf(view, rows).map((mark) => mark.datum);
      sentence.textContent = data[0].sentence;
      body.replaceChildren(...data.map((datum) => {
        const [first, ...rest] = Object.keys(columns).map((field) => `${datum[field]}`);
        const cells = rest.map((text) => element("td", {}, text));
        return element("tr", {}, element("th", { scope: "row" }, first), ...cells);
      }));
    };
    let waiting;
    const later = () => {
      clearTimeout(waiting);
      waiting = setTimeout(update, quiet);
    };
    box.querySelectorAll(".vega-bind :is(input, select)").forEach(({ name }) => view.addSignalListener(name, later));
    update();
  }

  function follow(view, clicks) {
    view.addEventListener("click", (event, item) => {
      for (const [parameter, field] of Object.entries(clicks)) {
        if (item?.datum && field in item.datum) view.signal(parameter, item.datum[field]);
      }
      view.runAsync();
    });
  }

  async function draw(place) {
    const spec = JSON.parse(place.querySelector("script").textContent);
    const drawing = element("div");
    const box = element("div", {}, drawing);
    const space = place.clientWidth - 24;  // less the card's padding
    const options = { actions: false, mode: "vega-lite", renderer: "svg" };
    const { view } = await vegaEmbed(drawing, fit(spec, space), options);
    const words = spec.usermeta?.words;
    label(box, view, words?.values ?? {});
    if (words) {
      tell(box, view, words);
      follow(view, words.clicks);
    }
    place.querySelectorAll(".course-still").forEach((still) => still.remove());
    place.append(box);
    place.vegaView = view;
    place.dataset.drawn = "true";
  }

  document.querySelectorAll(".course-chart").forEach((place) => draw(place).catch((error) => {
    console.error(`This chart could not be drawn: ${error.message}`);
  }));
})();
