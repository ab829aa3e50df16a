"use strict";
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("data").textContent), (c) => c.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = await new Response(plain).json();
  const at = Object.fromEntries(data.fields.map((name, place) => [name, place]));
  /* A text that shows numbers of its cell is the place of a pattern, which takes them from there. */
  const built = (pattern, cell) =>
    pattern.map((part) => (Array.isArray(part) ? (part[1] * cell[part[0]]).toFixed(part[2]) : part)).join("");
  for (const view of Object.values(data.tables).flat()) {
    let place = 0;
    const next = () => {
      const cell = view.cells.map((values) => values[place]);
      place += 1;
      if (cell[at.n] === null) return null;
      for (const text of data.texts) {
        if (typeof cell[text] === "number") cell[text] = built(data.patterns[cell[text]], cell);
      }
      return cell;
    };
    for (const row of view.rows) row.push(view.columns.map(next));
  }
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const tip = document.getElementById("tip");
  const filters = document.getElementById("filters");
  const everywhere = { text: "", chosen: {} };
  const sections = document.querySelectorAll("nav a[href^='#']");
  const boards = [];

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  /* A name that may be broken behind the signs in it, and not within a word. */
  const breakable = (name) => name.split(/(?<=[_,(=+])/).flatMap((part, place) => (place ? [make("wbr"), part] : [part]));

  const terms = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
  const searched = ([place, names]) => {
    const fact = data.facts[place];
    return [fact.method, fact.task, fact.modalities, fact.protocol, fact.data, ...names].join(" ").toLowerCase();
  };

  function passes(row, own) {
    const fact = data.facts[row.data[0]];
    return (
      Object.entries(everywhere.chosen).every(([name, value]) => !value || fact[name] === value) &&
      terms(`${everywhere.text} ${own}`).every((term) => row.text.includes(term))
    );
  }

  class Board {
    constructor(table, views) {
      this.table = table;
      this.views = views;
      this.own = "";
      this.count = make("span", { className: "count", role: "status" });
      this.body = table.tBodies[0];
      this.tools(table.closest("section").querySelector(".tools"));
      this.show(0);
      for (const kind of ["mouseover", "focusin", "click"]) this.body.addEventListener(kind, (event) => this.explain(event));
      table.tHead.addEventListener("mouseover", (event) => this.explainHead(event));
      table.tHead.addEventListener("focusin", (event) => this.explainHead(event));
      for (const kind of ["mouseleave", "focusout"]) table.addEventListener(kind, hide);
      this.body.addEventListener("keydown", (event) => this.walk(event));
    }

    tools(place) {
      const box = make("input", { type: "search", placeholder: "filter this table" });
      box.setAttribute("aria-label", `Filter ${this.table.dataset.table}`);
      box.addEventListener("input", () => { this.own = box.value; this.filter(); remember(); });
      place.append(box);
      this.box = box;
      if (this.views.length > 1) {
        const options = this.views.map((view, number) => make("option", { value: number }, view.label));
        const select = make("select", {}, ...options);
        select.addEventListener("change", () => { this.show(Number(select.value)); remember(); });
        place.append(make("label", {}, "show", select));
        this.select = select;
      }
      const save = make("button", { type: "button" }, "CSV");
      save.title = "Download the rows that are shown, with six significant digits; the CSV files of the command have all";
      save.addEventListener("click", () => this.save());
      place.append(save, this.count);
      place.hidden = false;
    }

    /* What of this table is not as it was at first, by names in the address. */
    asked() {
      const name = this.table.dataset.table;
      const number = this.views.indexOf(this.view);
      return [[`${name}.filter`, this.own], [`${name}.show`, number ? String(number) : ""]];
    }

    follow(query) {
      const name = this.table.dataset.table;
      const number = Number(query.get(`${name}.show`)) || 0;
      if (this.views[number] && this.views[number] !== this.view) {
        this.select.value = number;
        this.show(number);
      }
      this.own = this.box.value = query.get(`${name}.filter`) ?? "";
      this.filter();
    }

    show(number) {
      hide();
      this.view = this.views[number];
      this.sorted = { column: -1, order: "none" };
      const heads = [...this.view.names, ...this.view.columns.map((column) => column.heading)];
      const row = make("tr");
      heads.forEach((text, column) => {
        const button = make("button", { type: "button" }, text);
        button.addEventListener("click", () => this.sort(column));
        row.append(make("th", { scope: "col", className: this.isNumber(column) ? "number" : "" }, button));
      });
      this.table.tHead.replaceChildren(row);
      this.rows = this.view.rows.map((row) => ({ data: row, text: searched(row), element: this.line(row) }));
      this.body.replaceChildren(...this.rows.map((row) => row.element));
      const longest = Math.max(0, ...this.view.rows.map(([, names]) => names[0].length));
      this.table.style.setProperty("--name", `${longest}ch`);  // the column of names, which may be broken, is no narrower
      const first = this.body.querySelector("td");
      if (first) first.tabIndex = 0;
      this.filter();
    }

    line([, names, cells]) {
      const row = make("tr", {}, make("th", { scope: "row" }, ...breakable(names[0])));
      for (const name of names.slice(1)) row.append(make("td", {}, name));
      for (const cell of cells) {
        const kinds = ["number", cell?.[at.mark], cell?.[at.hole] ? "hole" : ""].filter(Boolean).join(" ");
        const element = make("td", { className: kinds }, cell ? cell[at.text] : "");
        if (cell && cell[at.mean] !== null) element.dataset.value = cell[at.mean];
        row.append(element);
      }
      return row;
    }

    isNumber(column) {
      return column >= this.view.names.length;
    }

    /* A click sorts values best first and names upwards, the next turns it round, the third gives the order back. */
    sort(column) {
      const names = this.view.names.length;
      const lower = !this.isNumber(column) || this.view.columns[column - names].direction === "lower";
      const cycle = lower ? ["none", "ascending", "descending"] : ["none", "descending", "ascending"];
      const last = this.sorted.column === column ? cycle.indexOf(this.sorted.order) : 0;
      const order = cycle[(last + 1) % 3];
      this.sorted = { column, order };
      const sign = order === "descending" ? -1 : 1;
      const metric = this.view.names.indexOf("metric");
      const rows = [...this.rows];
      if (order !== "none") {
        rows.sort(({ data: a }, { data: b }) => {
          if (!this.isNumber(column)) return sign * words.compare(a[1][column], b[1][column]);
          const values = [a, b].map((row) => row[2][column - names]?.[at.mean] ?? null);
          if (values.includes(null)) return (values[0] === null) - (values[1] === null);
          const other = metric < 0 ? 0 : words.compare(a[1][metric], b[1][metric]);
          return other || sign * (values[0] - values[1]); // values of two metrics have no order
        });
      }
      [...this.table.tHead.rows[0].cells].forEach((head, place) => {
        if (place === column && order !== "none") head.setAttribute("aria-sort", order);
        else head.removeAttribute("aria-sort");
      });
      this.body.append(...rows.map((row) => row.element));
    }

    filter() {
      let shown = 0;
      for (const row of this.rows) {
        row.element.hidden = !passes(row, this.own);
        shown += !row.element.hidden;
      }
      this.count.textContent = shown === this.rows.length ? `${shown} rows` : `${shown} of ${this.rows.length} rows`;
    }

    /* The row, column and cell that an element of the body stands for. */
    place(element) {
      const cell = element.closest?.("td, th");
      const row = cell && this.rows.find((row) => row.element === cell.parentElement);
      if (!row) return null;
      const column = cell.cellIndex - this.view.names.length;
      return { cell, row: row.data, column: this.view.columns[column], value: row.data[2][column], name: cell.cellIndex };
    }

    explain({ target }) {
      const found = this.place(target);
      if (!found) return;
      const fact = data.facts[found.row[0]];
      const metric = this.view.names[found.name] === "metric" ? found.cell.textContent : "";
      if (metric) return explainMetric(found.cell, metric.split(" ")[0]);
      if (found.column && !found.value) return hide();
      const lines = [["", `${fact.method}: ${fact.task}, ${fact.modalities}, ${fact.protocol}; ${fact.data}`]];
      if (found.value) {
        const get = (name) => found.value[at[name]];
        const place = this.view.names.indexOf("metric");
        const named = place < 0 ? found.column.heading : `${found.row[1][place]}, ${found.column.heading}`;
        const spread = get("sd") === null ? "" : " (mean ± sd)";
        lines.push(["value", `${named}: ${get("hole") ? `— ${get("hole")}` : get("text") + spread}`]);
        if (get("interval")) lines.push(["", `95 % interval ${get("interval")} over ${get("over")}`]);
        const samples = get("samples") ? `, ${get("samples")} samples` : "";
        lines.push(["", `n = ${get("n")} of ${get("n_planned")} seeds${fact.seeds ? ` (${fact.seeds})` : ""}${samples}`]);
        if (get("drop")) lines.push(["", `lost against clean: ${get("drop")}`]);
        if (get("verdict")) lines.push(["", get("verdict")]);
      } else if (fact.seeds) {
        lines.push(["", `seeds ${fact.seeds}`]);
      }
      for (const [name, value] of Object.entries(fact.audit)) lines.push(["small", `${name.replaceAll("_", " ")}: ${value}`]);
      tell(found.cell, lines);
    }

    explainHead({ target }) {
      const head = target.closest?.("th");
      const column = head && this.view.columns[head.cellIndex - this.view.names.length];
      if (column) explainMetric(head, column.metric);
    }

    /* Arrow keys walk through the cells; one of them is in the order of the tab key. */
    walk(event) {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      const cell = event.target.closest("td, th");
      if (!step || !cell) return;
      const rows = [...this.body.rows].filter((row) => !row.hidden);
      const next = rows[rows.indexOf(cell.parentElement) + step[0]]?.cells[cell.cellIndex + step[1]];
      if (!next) return;
      event.preventDefault();
      cell.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }

    save() {
      const numbers = ["n", "n_planned", "samples", "mean", "sd", "low", "high", "over", "p", "verdict", "hole"];
      const audits = [...new Set(data.facts.flatMap((fact) => Object.keys(fact.audit)))];
      const names = ["method", "task", "modalities", "protocol", "data", "seeds"];
      const metric = this.view.names.indexOf("metric");
      const shown = [...this.body.rows].filter((row) => !row.hidden);
      const rows = shown.map((element) => this.rows.find((row) => row.element === element).data);
      let lines = [this.view.names, ...rows.map((row) => row[1])];
      if (this.view.columns.length) {
        lines = [[...names, "metric", "condition", ...numbers, ...audits.map((name) => `audit_${name}`)]];
        for (const [place, own, cells] of rows) {
          const fact = data.facts[place];
          cells.forEach((cell, number) => {
            if (!cell) return;
            const column = this.view.columns[number];
            const measured = column.metric || own[metric].split(" ")[0];
            lines.push([
              ...names.map((name) => fact[name]), measured, column.condition,
              ...numbers.map((name) => cell[at[name]] ?? ""), ...audits.map((name) => fact.audit[name] ?? ""),
            ]);
          });
        }
      }
      const text = lines.map((line) => line.map(quoted).join(",")).join("\n") + "\n";
      const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      make("a", { href: address, download: `${this.table.dataset.table}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    }
  }

  /* Text that a spreadsheet would take for a formula gets a ' in front, as in the CSV files of mmbench. */
  function quoted(value) {
    if (typeof value === "number") return String(value);
    const text = /^'*[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function explainMetric(element, metric) {
    const text = Object.hasOwn(data.conventions, metric) ? data.conventions[metric] : "";
    if (text) tell(element, [["", metric], ["", text]]);
    else hide();
  }

  function tell(element, lines) {
    hide();
    tip.replaceChildren(...lines.map(([className, text]) => make("p", { className }, text)));
    tip.hidden = false;
    put(element);
    element.setAttribute("aria-describedby", "tip");
  }

  /* Puts the explanation beside what it explains. */
  function put(element) {
    const box = element.getBoundingClientRect();
    const below = box.bottom + 6 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${below ? box.bottom + 6 : Math.max(8, box.top - tip.offsetHeight - 6)}px`;
  }

  const explained = () => document.querySelector("[aria-describedby=tip]");

  function hide() {
    tip.hidden = true;
    explained()?.removeAttribute("aria-describedby");
  }

  /* The focus scrolls to where it goes: what it explains stays, as long as it is seen. */
  function scrolled() {
    const element = explained();
    const box = element?.getBoundingClientRect();
    if (element !== document.activeElement || !box || box.bottom < 0 || box.top > innerHeight) hide();
    else put(element);
  }

  function refilter() {
    for (const board of boards) board.filter();
  }

  /* The address holds the filters behind the section, "#SECTION?filter=TEXT&method=NAME&TABLE.filter=TEXT": who is given it sees
     the same rows. */
  function address() {
    const [section, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
    return [section, new URLSearchParams(query)];
  }

  function remember() {
    const chosen = [["filter", everywhere.text], ...Object.entries(everywhere.chosen), ...boards.flatMap((board) => board.asked())];
    const query = new URLSearchParams(chosen.filter(([, value]) => value)).toString();
    const behind = query && `?${query}`;
    const hash = `${address()[0]}${behind}`;
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    for (const link of sections) link.setAttribute("href", link.hash.split("?")[0] + behind);
  }

  function follow() {
    const [section, query] = address();
    everywhere.text = filters.elements.filter.value = query.get("filter") ?? "";
    for (const select of filters.querySelectorAll("select")) {
      select.value = query.get(select.name) ?? "";
      everywhere.chosen[select.name] = select.value;  // empty where there is no such value
      if (!select.value) select.value = "";
    }
    for (const board of boards) board.follow(query);
    remember();
    document.getElementById(section)?.scrollIntoView();
  }

  function globalFilters() {
    const box = make("input", { type: "search", name: "filter", placeholder: "filter every table" });
    box.setAttribute("aria-label", "Filter every table");
    box.addEventListener("input", () => { everywhere.text = box.value; refilter(); remember(); });
    filters.append(box);
    for (const name of ["method", "task", "modalities", "protocol", "data"]) {
      const values = [...new Set(data.facts.map((fact) => fact[name]))].filter(Boolean);
      if (values.length < 2) continue;
      const options = values.map((value) => make("option", { value }, value));
      const select = make("select", { name }, make("option", { value: "" }, "all"), ...options);
      select.addEventListener("change", () => { everywhere.chosen[name] = select.value; refilter(); remember(); });
      filters.append(make("label", {}, name, select));
    }
    filters.addEventListener("submit", (event) => event.preventDefault());
    filters.hidden = false;
  }

  globalFilters();
  for (const table of document.querySelectorAll("table[data-table]")) {
    const views = data.tables[table.dataset.table];
    // Before a large table the browser paints and answers.
    if (views[0].rows.length > 200) await new Promise((go) => setTimeout(go));
    boards.push(new Board(table, views));
  }
  if (location.hash.includes("?")) follow();
  addEventListener("hashchange", follow);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", scrolled, { passive: true, capture: true });
})();
