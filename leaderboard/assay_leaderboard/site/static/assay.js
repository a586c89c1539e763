// Sorts, filters, hides and shows what is on the page. No score is computed here.
"use strict";

const LIMIT = 400; // characters of a search, so that an address stays an address

// ---- The state of the page, kept in its address: "#q=adam&sort=-tuned.gain". A hash without "="
// is an anchor.

function readState() {
  return new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
}

const state = {
  values: new Map(),
  known: new Set(),
  listeners: [],
  know(...keys) {
    for (const key of keys) this.known.add(key);
  },
  listen(listener) {
    this.listeners.push(listener);
  },
  get(key) {
    return this.values.get(key) ?? "";
  },
  set(key, value) {
    if (value) this.values.set(key, value);
    else this.values.delete(key);
    this.write();
  },
  read() {
    const found = readState();
    this.values.clear();
    for (const key of this.known) {
      const value = found.get(key);
      if (value) this.values.set(key, value.slice(0, LIMIT));
    }
  },
  write() {
    const found = new URLSearchParams();
    for (const key of [...this.known].sort()) {
      if (this.values.has(key)) found.set(key, this.values.get(key));
    }
    const text = found.toString();
    const base = location.href.split("#")[0];
    history.replaceState(null, "", text ? `${base}#${text}` : base);
  },
  apply() {
    this.read();
    for (const listener of this.listeners) listener();
  },
};
window.assayState = state;

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}
window.assayMake = make;

// Select `wanted`, or nothing if there is no such option.
function choose(select, wanted) {
  select.value = [...select.options].some((option) => option.value === wanted) ? wanted : "";
}
window.assayChoose = choose;

// ---- Tables

class LiveTable {
  constructor(table) {
    this.table = table;
    this.body = table.tBodies[0];
    this.heads = [...table.tHead.rows[0].cells];
    this.rows = [...this.body.rows];
    this.texts = this.rows.map((row) => row.textContent.toLowerCase());
    this.start = this.heads.find((head) => head.hasAttribute("aria-sort"));
    this.startOrder = this.start?.getAttribute("aria-sort");
    this.keys = new Map();
    for (const head of this.heads) this.addButton(head);
    this.addTools();
  }

  addButton(head) {
    const label = head.querySelector("span");
    const button = make("button", { type: "button", className: "sort" }, ...label.childNodes);
    button.addEventListener("click", () => this.click(head));
    label.replaceWith(button);
  }

  click(head) {
    const now = head.getAttribute("aria-sort");
    const number = head.classList.contains("n") && !("low" in head.dataset);
    let order = number ? "descending" : "ascending";
    if (now) order = now === "ascending" ? "descending" : "ascending";
    const others = state.get("sort").split(",").filter((item) => item && !this.mine(item));
    const own = `${order === "descending" ? "-" : ""}${this.table.id}.${head.dataset.c}`;
    state.set("sort", [...others, own].join(","));
    this.sort(head, order);
  }

  mine(item) {
    return item.replace(/^-/, "").startsWith(`${this.table.id}.`);
  }

  // Sort keys of a column, read from the page once.
  keysOf(head) {
    const index = this.heads.indexOf(head);
    if (!this.keys.has(index)) {
      const number = head.classList.contains("n")
        || this.rows.some((row) => "k" in row.cells[index].dataset); // words around a number
      this.keys.set(index, new Map(this.rows.map((row) => {
        const cell = row.cells[index];
        const key = number ? Number.parseFloat(cell.dataset.k) : cell.textContent.trim();
        return [row, key];
      })));
    }
    return this.keys.get(index);
  }

  sort(head, order) {
    for (const other of this.heads) other.removeAttribute("aria-sort");
    head?.setAttribute("aria-sort", order);
    const back = head === this.start && order === this.startOrder;
    this.table.classList.toggle("resorted", !back);
    let rows = this.rows;
    if (head && !back) {
      const keys = this.keysOf(head);
      const sign = order === "descending" ? -1 : 1;
      const missing = (key) => key !== key || key === "–" || key === "";
      rows = [...this.rows].sort((a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        if (missing(x) || missing(y)) return missing(x) - missing(y);
        return sign * (typeof x === "number" ? x - y : x.localeCompare(y, "en"));
      });
    }
    const fragment = document.createDocumentFragment();
    fragment.append(...rows);
    this.body.append(fragment);
  }

  applySort() {
    const item = state.get("sort").split(",").find((found) => this.mine(found));
    const key = item?.replace(/^-/, "").slice(this.table.id.length + 1);
    const head = this.heads.find((found) => found.dataset.c === key);
    if (head) this.sort(head, item.startsWith("-") ? "descending" : "ascending");
    else this.sort(this.start, this.startOrder);
  }

  filter(query, facets) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    this.rows.forEach((row, i) => {
      row.hidden = !(
        words.every((word) => this.texts[i].includes(word)) &&
        facets.every(([name, value]) => {
          const own = row.dataset[name];
          return own === undefined || own.split(" ").includes(value);
        }));
    });
  }

  addTools() {
    const boxes = this.heads.slice(1).map((head) => {
      const box = make("input", { type: "checkbox", checked: true, value: head.dataset.c });
      box.addEventListener("change", () => this.chooseColumns());
      return box;
    });
    this.boxes = boxes;
    const caption = this.table.caption.textContent;
    const fields = make("fieldset", {}, make("legend", {}, "Columns shown"));
    boxes.forEach((box, i) => {
      const head = this.heads[i + 1];
      fields.append(make("label", {}, box, " ", head.querySelector("button").textContent, " ",
        make("small", {}, head.querySelector("small")?.textContent ?? "")));
    });
    this.menu = make("details", {}, make("summary", {}, "Columns"), fields);
    this.menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      this.menu.open = false;
      this.menu.querySelector("summary").focus();
    });
    const csv = make("button", { type: "button" }, "CSV of this view");
    csv.addEventListener("click", () => download(this.csv(), `${this.table.id}.csv`));
    const tools = make("div", { className: "table-tools", role: "group" }, this.menu, csv);
    tools.setAttribute("aria-label", `Table: ${caption}`);
    const twin = this.table.dataset.csv;
    if (twin) tools.append(make("a", { href: twin, download: "" }, "Whole table (CSV)"));
    this.table.closest(".scroll").before(tools);
  }

  chooseColumns() {
    const others = state.get("hide").split(",").filter((item) => item && !this.mine(item));
    const own = this.boxes.filter((box) => !box.checked)
      .map((box) => `${this.table.id}.${box.value}`);
    state.set("hide", [...others, ...own].join(","));
    this.applyColumns();
  }

  applyColumns() {
    const hidden = new Set(state.get("hide").split(","));
    this.boxes.forEach((box, i) => {
      box.checked = !hidden.has(`${this.table.id}.${box.value}`);
      const [index, hide] = [i + 1, !box.checked];
      if (this.heads[index].hidden === hide) return;
      this.heads[index].hidden = hide;
      for (const row of this.rows) row.cells[index].hidden = hide;
    });
  }

  csv() {
    const lines = [this.table.tHead.rows[0], ...this.body.rows].filter((row) => !row.hidden);
    return lines.map((row) => [...row.cells].filter((cell) => !cell.hidden)
      .map((cell) => quoted(cell)).join(",")).join("\r\n") + "\r\n";
  }
}

// The text of a cell for CSV; an apostrophe keeps a spreadsheet from computing it.
function quoted(cell) {
  const parts = [...cell.childNodes].map((node) => node.textContent.trim());
  let text = parts.filter(Boolean).join(" ").replace(/\s+/g, " ").replaceAll("−", "-");
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(text, name) {
  const link = make("a", { download: name });
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---- The bar with search and filters, which all tables of a page share

const FACETS = ["family", "tier", "track", "trust", "access"];

function startTables() {
  const tables = [...document.querySelectorAll("table[data-live]")].map((t) => new LiveTable(t));
  if (!tables.length) return;
  const search = make("input", { type: "search", maxLength: LIMIT });
  const bar = make("div", { className: "tools", role: "search" });
  bar.append(make("label", {}, "Search", search));
  const selects = FACETS.map((name) => makeSelect(name, tables)).filter(Boolean);
  for (const select of selects) bar.append(make("label", {}, title(select.name), select));
  const count = make("p", { className: "count", role: "status" });
  bar.append(count);
  place(bar, tables[0].table);

  const tell = () => { // of the first table that is not folded away with its budget
    const { rows } = tables.find((t) => !t.table.closest("details:not([open])")) ?? tables[0];
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  };
  const show = () => {
    const facets = selects.map((s) => [s.name, s.value]).filter(([, value]) => value);
    for (const table of tables) table.filter(search.value, facets);
    tell();
  };
  document.addEventListener("toggle", tell, true); // another budget has another table
  search.addEventListener("input", () => { state.set("q", search.value.trim()); show(); });
  for (const select of selects) {
    state.know(select.name);
    select.addEventListener("change", () => { state.set(select.name, select.value); show(); });
  }
  state.know("sort", "hide", "q");
  state.listen(() => {
    search.value = state.get("q");
    for (const select of selects) choose(select, state.get(select.name));
    for (const table of tables) { table.applySort(); table.applyColumns(); }
    show();
  });
}

// Put the bar above the slider if there is one, so that it stays when the tables change; else in one
// line with the tools of the first table.
function place(bar, table) {
  const budgets = table.closest(".budgets");
  const tools = table.closest(".scroll").previousElementSibling;
  (budgets ?? tools).before(bar);
  if (!budgets) bar.append(tools);
}

function makeSelect(name, tables) {
  const values = new Set(tables.flatMap((table) =>
    table.rows.flatMap((row) => (row.dataset[name] ?? "").split(" ").filter(Boolean))));
  if (values.size < 2) return null;
  const select = make("select", { name }, make("option", { value: "" }, "all"));
  for (const value of [...values].sort()) {
    select.append(make("option", { value }, value.replaceAll("_", " ")));
  }
  return select;
}

function title(name) {
  return name[0].toUpperCase() + name.slice(1);
}

// ---- The tuning budget: chosen with a slider, kept in the address, carried along by links

function startBudget() {
  const box = document.querySelector(".budgets");
  const all = box ? [...box.querySelectorAll("details.budget")] : [];
  const parts = all.sort((a, b) => a.dataset.k - b.dataset.k);
  state.know("k");
  for (const kind of ["click", "auxclick", "contextmenu"]) {
    document.addEventListener(kind, carryBudget, true);
  }
  if (!parts.length) {
    state.listen(sayBudget);
    return;
  }
  const name = (part) => part.querySelector("summary").textContent.trim();
  const input = make("input", { type: "range", min: 0, max: parts.length - 1, step: 1, id: "k" });
  const output = make("output", { htmlFor: "k" });
  const ticks = make("ol", { ariaHidden: "true" }, ...parts.map((p) => make("li", {}, p.dataset.k)));
  box.before(make("div", { className: "slider" },
    make("label", { htmlFor: "k" }, make("span", {}, "Tuning budget (hyperparameter points tried)"), output),
    input, ticks));
  const show = () => {
    const chosen = parts[input.value];
    for (const part of parts) part.open = part === chosen;
    output.textContent = name(chosen);
    input.setAttribute("aria-valuetext", name(chosen));
  };
  input.addEventListener("input", () => {
    const k = parts[input.value].dataset.k;
    state.set("k", k === box.dataset.largest ? "" : k);
    show();
  });
  state.listen(() => {
    const index = parts.findIndex((part) => part.dataset.k === state.get("k"));
    input.value = index < 0 ? parts.length - 1 : index;
    show();
  });
  if (parts.length === 1) input.closest(".slider").hidden = true;
}

// Add the chosen budget to the address of a link within the site, just before it is followed.
function carryBudget(event) {
  const link = event.target.closest?.("a[href]");
  if (!link || link.hasAttribute("download")) return;
  const [path, hash = ""] = link.getAttribute("href").split("#");
  if (path ? !/^(?!\w+:)[^?]*\.html$/.test(path) : !hash) return;
  if (hash && !hash.includes("=")) return; // an anchor
  const found = new URLSearchParams(hash);
  if (state.get("k")) found.set("k", state.get("k"));
  else found.delete("k");
  const text = found.toString();
  link.setAttribute("href", text ? `${path}#${text}` : path);
}

// On a page that shows the full budget alone: say that another one is chosen.
function sayBudget() {
  const note = document.getElementById("chosen-budget");
  const k = state.get("k");
  note.hidden = !/^\d{1,2}$/.test(k);
  note.querySelector("output").textContent = k === "1" ? "1 point (the defaults)" : `${k} points`;
}

// ---- Small things

function startTheme() {
  const button = document.querySelector("button.theme");
  const root = document.documentElement;
  const order = ["auto", "light", "dark"];
  const now = () => root.dataset.theme ?? "auto";
  const label = () => { button.textContent = `Theme: ${now()}`; };
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(now()) + 1) % order.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try {
      localStorage.setItem("assay-theme", next);
    } catch {
      // Without storage the choice lasts until the next page.
    }
    label();
  });
  button.hidden = false;
  label();
}

function startCopying() {
  for (const code of document.querySelectorAll("code.command")) {
    const button = make("button", { type: "button", className: "copy" }, "Copy");
    button.setAttribute("aria-label", `Copy: ${code.textContent.slice(0, 80)}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
    });
    (code.closest("pre") ?? code).after(button);
  }
}

// Unfold the run that the address names.
function openTarget() {
  if (location.hash.includes("=")) return;
  const target = document.getElementById(location.hash.slice(1));
  if (target?.matches(".run")) target.querySelector("details").open = true;
}

startTheme();
startCopying();
startTables();
startBudget();
state.apply();
openTarget();
addEventListener("hashchange", () => {
  if (!location.hash || location.hash.includes("=")) state.apply();
  openTarget();
});
