// Shows two to four methods side by side, or one against all others. The numbers of each method are
// a script of their own, because a page opened from a disk may not fetch files.
"use strict";

(() => {
  const box = document.getElementById("compare");
  const selects = [...box.querySelectorAll("select")];
  const status = box.querySelector(".status");
  const result = box.querySelector(".result");
  const MARKS = JSON.parse(box.dataset.marks);
  const make = window.assayMake;
  const choose = window.assayChoose;
  const state = window.assayState;
  const known = new Map();
  const asked = new Map();
  let asking = 0;

  window.assayCompare = (slug, data) => known.set(slug, data);

  function load(slug) {
    if (!asked.has(slug)) {
      asked.set(slug, new Promise((done) => {
        const script = make("script", { src: `${box.dataset.folder}/${slug}.js` });
        script.addEventListener("load", done);
        script.addEventListener("error", done);
        document.head.append(script);
      }));
    }
    return asked.get(slug);
  }

  function pairsOf(slugs) {
    return slugs.flatMap((a, i) => slugs.slice(i + 1).map((b) => [a, b]));
  }

  function verdict(word) {
    const mark = make("span", { ariaHidden: "true" }, MARKS[word] ?? "");
    return make("span", { className: `v ${word.replace(",", "")}` }, mark, " ", word);
  }

  // A name that a narrow column breaks after an underscore and not within a word.
  function breakable(name) {
    const parts = name.split(/(?<=_)/);
    return make("span", {}, ...parts.flatMap((part, i) => (i ? [make("wbr"), part] : [part])));
  }

  function heads(texts) {
    return make("tr", {}, ...texts.map((text) => make("th", { scope: "col" }, breakable(text))));
  }

  function table(id, caption, slugs, rows, linkOf) {
    const name = make("caption", { id: `${id}-caption` }, caption);
    const pairs = pairsOf(slugs).map(([a, b]) => `${a} against ${b}`);
    const head = heads([rows.label, ...slugs, ...pairs]);
    const body = make("tbody", {}, ...rows.keys.map((key) => {
      const link = linkOf(key);
      const title = breakable(slugs.map((slug) => rows.of(slug)[key]).find(Boolean).title);
      const first = link ? make("a", { href: link }, title) : title;
      const unit = rows.unit(key);
      const small = unit ? [" ", make("small", {}, unit)] : [];
      return make("tr", {}, make("th", { scope: "row" }, first, ...small),
        ...slugs.map((slug) => own(rows.of(slug)[key], slug, key, rows)),
        ...pairsOf(slugs).map(([a, b]) => versus(rows.of(a)[key]?.vs[b])));
    }));
    return scrolled(id, name, head, body);
  }

  function own(entry, slug, key, rows) {
    if (!entry) return make("td", {}, "–");
    const text = rows.cell
      ? make("a", { className: "q", href: rows.cell(key, slug) }, entry.text)
      : entry.text;
    return make("td", {}, text, " ", make("small", {}, `rank ${entry.rank}`));
  }

  function versus(found) {
    if (!found) return make("td", {}, "–");
    if (found.length === 1) return make("td", {}, "win count ", found[0]);
    const [word, text, p, n, wins] = found;
    const more = ` p ${p}, n=${n}, win count ${wins}`;
    return make("td", {}, verdict(word), " ", text, make("small", {}, more));
  }

  // One method: its row of every task's matrix, with a line for each other method.
  function showOne(slug) {
    const tasks = Object.entries(known.get(slug).tasks);
    const others = [...new Set(tasks.flatMap(([, task]) => Object.keys(task.vs)))].sort();
    const name = make("caption", { id: "matrix-caption" },
      `${slug} against every other method: verdict and mean difference`);
    const head = heads(["Against", "Tasks", ...tasks.map(([, task]) => task.title)]);
    const body = make("tbody", {}, ...others.map((other) => {
      const found = tasks.map(([, task]) => task.vs[other]);
      const n = (word) => found.filter((pair) => pair?.[0] === word).length;
      const link = make("a", { href: `#a=${slug}&b=${other}` }, breakable(other));
      return make("tr", {}, make("th", { scope: "row" }, link),
        make("td", {}, `better on ${n("better")}, worse on ${n("worse")}`),
        ...found.map((pair) => (pair
          ? make("td", {}, verdict(pair[0]), make("small", {}, pair[1].split(" ")[0]))
          : make("td", {}, "–"))));
    }));
    result.replaceChildren(scrolled("matrix", name, head, body));
  }

  function scrolled(id, caption, head, body) {
    const inner = make("table", { id, className: "compared" }, caption,
      make("thead", {}, head), body);
    const scroll = make("div", { className: "scroll", tabIndex: 0, role: "region" }, inner);
    scroll.setAttribute("aria-labelledby", `${id}-caption`);
    return scroll;
  }

  function counts(slugs, tasks) {
    return pairsOf(slugs).map(([a, b]) => {
      const found = {};
      for (const task of tasks) {
        const word = known.get(a).tasks[task]?.vs[b]?.[0];
        if (word) found[word] = (found[word] ?? 0) + 1;
      }
      const said = Object.keys(MARKS).filter((word) => found[word])
        .map((word) => `${word.includes(",") ? `“${word}”` : word} on ${found[word]}`);
      return `${a} is, against ${b}: ${said.join(", ") || "never met"}.`;
    });
  }

  function show(slugs) {
    const datas = slugs.map((slug) => known.get(slug));
    const keys = (part) => [...new Set(datas.flatMap((data) => Object.keys(data[part])))];
    const tasks = keys("tasks").filter(
      (task) => datas.filter((data) => data.tasks[task]).length > 1);
    const families = keys("families");
    const taskRows = {
      label: "Task",
      keys: tasks,
      of: (slug) => known.get(slug).tasks,
      unit: (key) => datas.map((data) => data.tasks[key]).find(Boolean).unit,
      cell: (task, slug) => `${box.dataset.cells}/${task}/${slug}.html`,
    };
    const familyRows = {
      label: "Family",
      keys: families,
      of: (slug) => known.get(slug).families,
      unit: () => "",
    };
    result.replaceChildren(
      make("ul", {}, ...counts(slugs, tasks).map((text) => make("li", {}, text))),
      make("h2", {}, "Families"),
      table("families", "Normalised test score [95 % interval], and win counts", slugs,
        familyRows, (key) => `${box.dataset.families}/${key}/index.html`),
      make("h2", {}, "Tasks"),
      table("tasks", "Score [95 % interval], verdict and difference with its interval", slugs, taskRows,
        (key) => `${box.dataset.tasks}/${key}/index.html`));
  }

  async function update() {
    const slugs = [...new Set(selects.map((select) => select.value).filter(Boolean))];
    if (!slugs.length) {
      status.textContent = "Choose a method to see it against all others, or several.";
      result.replaceChildren();
      return;
    }
    status.textContent = "Loading …";
    asking += 1;
    const own = asking;
    await Promise.all(slugs.map(load));
    if (own !== asking) return; // another choice was made while the scripts loaded
    const lost = slugs.filter((slug) => !known.has(slug));
    if (lost.length) {
      status.textContent = `No numbers of ${lost.join(", ")}: its file is missing.`;
      result.replaceChildren();
      return;
    }
    status.textContent = slugs.length > 1
      ? `Comparing ${slugs.join(", ")}.`
      : `${slugs[0]} against all others. Choose a second method for the numbers.`;
    if (slugs.length > 1) show(slugs);
    else showOne(slugs[0]);
  }

  for (const select of selects) {
    select.addEventListener("change", () => { state.set(select.name, select.value); update(); });
  }
  for (const select of selects) state.know(select.name);
  state.listen(() => {
    for (const select of selects) choose(select, state.get(select.name));
    update();
  });
  box.hidden = false;
  state.apply();
})();
