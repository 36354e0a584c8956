"use strict";
(() => {
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  // Every list of cards in the order in which it was written.
  const lists = all("[data-cards]").map((list) => ({ list, cards: [...list.children] }));
  let cell = document.querySelector("[data-cell-button][aria-pressed=true]")?.dataset.cellButton ?? "";

  function showCards() {
    const tools = document.querySelector("[data-tools]");
    const wanted = tools?.querySelector("[data-filter]")?.value ?? "";
    const order = tools?.querySelector("[data-order]")?.value ?? "";
    let shown = 0, among = 0;
    for (const { list, cards } of lists) {
      const ofMatrix = list.hasAttribute("data-of-matrix");
      const fits = (card) => ofMatrix
        ? card.dataset.cell === cell
        : !wanted || JSON.parse(card.dataset.classes).includes(JSON.parse(wanted));
      const sorted = [...cards];
      const sign = order === "most" ? -1 : 1;
      if (order && !ofMatrix) sorted.sort((a, b) => sign * ((+a.dataset.certainty || 0) - (+b.dataset.certainty || 0)));
      for (const card of sorted) {
        card.hidden = !fits(card);
        list.append(card);
        if (!ofMatrix) { among += 1; shown += card.hidden ? 0 : 1; }
      }
      const empty = list.parentElement.querySelector(".empty");
      if (empty) empty.hidden = sorted.some((card) => !card.hidden);
    }
    const status = tools?.querySelector("[data-status]");
    if (status) status.textContent = `${shown} of ${among} images`;
  }

  for (const tools of all("[data-tools]")) {
    tools.addEventListener("submit", (event) => event.preventDefault());
    tools.addEventListener("change", showCards);
  }

  // The confusion matrix: one stop of the tab key, arrow keys within, Enter or Space or a click shows the images.
  const others = document.querySelector("[data-others]");
  const ids = others ? JSON.parse(document.getElementById("cells").textContent) : {};
  function choose(button) {
    for (const each of all("[data-cell-button]")) each.setAttribute("aria-pressed", String(each === button));
    cell = button.dataset.cellButton;
    document.querySelector("[data-cell-title]").textContent = button.getAttribute("aria-label");
    const rest = ids[cell] ?? { ids: [], more: 0 };
    others.replaceChildren(...rest.ids.map((id) => Object.assign(document.createElement("li"), { textContent: id })));
    if (rest.more) others.append(Object.assign(document.createElement("li"), { textContent: `and ${rest.more} more` }));
    others.hidden = !others.childElementCount;
    showCards();
  }
  for (const matrix of all("[data-matrix]")) {
    const rows = all("tbody tr", matrix).map((row) => all("td", row).map((td) => td.querySelector("button")));
    const buttons = rows.flat().filter(Boolean);
    const reach = (button) => { for (const each of buttons) each.tabIndex = each === button ? 0 : -1; };
    reach(buttons.find((button) => button.getAttribute("aria-pressed") === "true") ?? buttons[0]);
    matrix.addEventListener("click", (event) => {
      const button = event.target.closest("[data-cell-button]");
      if (button) { reach(button); choose(button); }
    });
    matrix.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      const button = event.target.closest("[data-cell-button]");
      if (!step || !button) return;
      event.preventDefault();
      let y = rows.findIndex((row) => row.includes(button)), x = rows[y].indexOf(button);
      for (;;) {
        y += step[0]; x += step[1];
        if (!rows[y] || x < 0 || x >= rows[y].length) return;
        if (rows[y][x]) { reach(rows[y][x]); rows[y][x].focus(); return; }
      }
    });
  }

  // Tables: a heading sorts, a second press turns the order round.
  for (const table of all("table[data-sortable]")) {
    const body = table.tBodies[0];
    const more = table.closest(".scroll").nextElementSibling?.querySelector("[data-more]");
    let first = +(table.dataset.first ?? Infinity);
    const limit = () => [...body.rows].forEach((row, place) => { row.hidden = place >= first; });
    more?.addEventListener("click", () => { first = Infinity; limit(); more.parentElement.remove(); });
    all("thead button", table).forEach((button) => button.addEventListener("click", () => {
      const heading = button.parentElement, column = heading.cellIndex, number = button.dataset.kind !== "text";
      const down = heading.getAttribute("aria-sort") === (number ? null : "ascending")
        || heading.getAttribute("aria-sort") === "ascending";
      for (const each of all("th", table.tHead)) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
      const value = (row) => number ? (key(row) === "" ? -Infinity : +key(row)) : key(row);
      const compare = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) * (down ? -1 : 1);
      body.append(...[...body.rows].sort(compare));
      limit();
    }));
  }

  // What is under the pointer, or has the focus, is named.
  const tip = document.getElementById("tip");
  function name(event) {
    const what = event.target.closest?.("[data-tip]");
    tip.hidden = !what;
    if (!what) return;
    tip.textContent = what.dataset.tip;
    const box = what.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - own.width / 2), innerWidth - own.width - 8);
    tip.style.left = `${left}px`;
    tip.style.top = `${box.top > own.height + 12 ? box.top - own.height - 8 : box.bottom + 8}px`;
  }
  document.addEventListener("pointerover", name);
  document.addEventListener("focusin", name);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
  document.addEventListener("scroll", () => { tip.hidden = true; }, true);

  showCards();
})();
