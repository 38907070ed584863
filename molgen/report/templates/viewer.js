// A grid of molecules: sort, filter, search by substructure, select. Nothing is fetched. table.js stands before it.
const PAGE = 24;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function render({ model, el }) {
  const names = model.get("names"), rows = model.get("rows");
  let page = 0;
  const words = element("input", { type: "search", placeholder: "Filter: mw<300 qed>0.6 word", "aria-label": "Filter" });
  const smarts = element("input", { type: "search", placeholder: "Substructure (SMARTS)", "aria-label": "Substructure" });
  const sort = element("select", { "aria-label": "Sort by" }, element("option", { value: "" }, "in order"));
  names.forEach((name, at) => {
    sort.append(element("option", { value: `${at} 1` }, `${name} ↑`), element("option", { value: `${at} -1` }, `${name} ↓`));
  });
  const all = element("button", { type: "button" }, "Select these"), none = element("button", { type: "button" }, "Select none");
  const back = element("button", { type: "button", "aria-label": "Previous page" }, "‹");
  const on = element("button", { type: "button", "aria-label": "Next page" }, "›");
  const count = element("span", { class: "count", "aria-live": "polite" }), problem = element("span", { class: "problem", role: "alert" });
  const grid = element("div", { class: "grid" });
  el.classList.add("molgen-viewer");
  el.append(element("div", { class: "tools" }, words, smarts, sort, all, none, back, on, count, problem), grid);

  function found() {
    const fits = parseFilter(words.value, names), matching = model.get("matching");
    const inside = matching === null ? null : new Set(matching);
    const left = rows.map((_, i) => i).filter((i) => (inside === null || inside.has(i)) && fits(rows[i]));
    if (sort.value) {
      const [at, sign] = sort.value.split(" ").map(Number);
      left.sort((i, k) => compare(rows[i][at], rows[k][at], sign) || i - k);
    }
    return left;
  }
  function show() {
    const left = found(), last = Math.max(Math.ceil(left.length / PAGE) - 1, 0);
    page = Math.min(page, last);
    const seen = left.slice(page * PAGE, (page + 1) * PAGE);
    const pictures = model.get("pictures"), chosen = new Set(model.get("selected"));
    const wanted = seen.filter((i) => !(i in pictures));
    if (wanted.length) { model.set("wanted", wanted); model.save_changes(); }
    grid.replaceChildren(...seen.map((i) => {
      const card = element("button", { type: "button", class: "card", "aria-pressed": String(chosen.has(i)) });
      const picture = element("div", { class: "picture" });
      if (i in pictures) picture.innerHTML = pictures[i]; // drawn by RDKit in the kernel
      card.append(picture);
      const list = element("dl");
      names.forEach((name, at) => {
        const value = rows[i][at];
        if (value === null || value === "") return;
        const text = rounded(value);
        list.append(element("dt", {}, name), element("dd", { title: String(value) }, text));
      });
      card.append(list);
      card.addEventListener("click", () => {
        const now = new Set(model.get("selected"));
        now.has(i) ? now.delete(i) : now.add(i);
        model.set("selected", [...now].sort((a, b) => a - b));
        model.save_changes();
      });
      return card;
    }));
    count.textContent = `${left.length} of ${rows.length} shown, ${chosen.size} selected, page ${page + 1} of ${last + 1}`;
    problem.textContent = model.get("problem");
    back.disabled = page === 0;
    on.disabled = page === last;
  }
  words.addEventListener("input", () => { page = 0; show(); });
  sort.addEventListener("change", () => { page = 0; show(); });
  smarts.addEventListener("change", () => { page = 0; model.set("substructure", smarts.value); model.save_changes(); });
  all.addEventListener("click", () => {
    const now = new Set([...model.get("selected"), ...found()]);
    model.set("selected", [...now].sort((a, b) => a - b));
    model.save_changes();
  });
  none.addEventListener("click", () => { model.set("selected", []); model.save_changes(); });
  back.addEventListener("click", () => { page -= 1; show(); });
  on.addEventListener("click", () => { page += 1; show(); });
  for (const name of ["pictures", "matching", "selected", "problem"]) model.on(`change:${name}`, show);
  show();
}

export default { render };
