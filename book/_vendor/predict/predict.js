// Makes buttons of a question's choices, keeps the guess in this browser alone, and shows it beside the outcome.
(() => {
  const notebook = location.pathname.split("/").pop().replace(/\.html$/, "");
  const unkept = new Map();  // for browsers that keep nothing, such as in some private windows

  function kept(key) {
    try {
      return localStorage.getItem(`course:${notebook}:${key}`);
    } catch {
      return unkept.get(key);
    }
  }

  function keep(key, guess) {
    try {
      localStorage.setItem(`course:${notebook}:${key}`, guess);
    } catch {
      unkept.set(key, guess);
    }
  }

  function element(tag, settings, ...children) {
    const made = Object.assign(document.createElement(tag), settings);
    made.append(...children);
    return made;
  }

  // Each card carries what it says to each choice; choices that the text no longer has are passed over.
  function show(key) {
    document.querySelectorAll(".course-predicted").forEach((card) => {
      const said = JSON.parse(card.dataset.said);
      if (card.dataset.key !== key || !Object.hasOwn(said, kept(key))) return;
      card.innerHTML = said[kept(key)];
      card.style.borderLeftColor = card.querySelector(".course-badge").style.backgroundColor;
    });
  }

  document.querySelectorAll(".course-predict").forEach((card) => {
    const { key } = card.dataset;
    const [question, list] = card.children;
    const note = element("p", { className: "course-note", role: "status" });
    const say = () => {
      note.textContent = "Your guess is kept in this browser. The answer comes further down.";
    };
    const choices = [...list.children].map(({ textContent }) => {
      const button = element("input", { type: "radio", name: `predict-${key}`, value: textContent });
      button.checked = kept(key) === textContent;
      if (button.checked) say();
      button.addEventListener("change", () => {
        keep(key, textContent);
        say();
        show(key);
      });
      return element("label", {}, button, textContent);
    });
    card.replaceChildren(
      element("fieldset", {}, element("legend", {}, ...question.childNodes), ...choices, note),
    );
    show(key);
  });
})();
