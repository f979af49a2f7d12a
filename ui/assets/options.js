// What somebody likes to see: columns, density and saved filters, kept in this browser.
(function () {
  "use strict";
  const COLUMNS = [["time", "Time"], ["method", "Method"], ["status", "Status"], ["path", "Path"], ["duration", "Duration"], ["size", "Size"], ["client", "Client"], ["route", "Route"]];
  const WIDTHS = { time: "92px", method: "62px", status: "62px", path: "minmax(120px, 1fr)", duration: "82px", size: "72px", client: "112px", route: "minmax(80px, .45fr)" };
  const WIDE = new Set(["client", "route"]); // shown where there is room
  const FIXED = new Set(["path"]);
  const KEY = "reqscope-options", SAVED = 20;
  const make = (name, text) => { const element = document.createElement(name); if (text !== undefined) element.textContent = text; return element; };

  // A term of the filter language that is true for just this value.
  function term(field, value) {
    const text = String(value);
    return /^[\w./:{}@+-]+$/.test(text) && !/[*,()]/.test(text) && text !== "OR" ? `${field}:${text}` : `${field}:"${text.replace(/["\\]/g, "\\$&")}"`;
  }

  class Options {
    // `onFilter` is given a saved filter, `current` returns the present one, `onDensity` is told the height of a row.
    constructor(root, button, box, { onFilter, current, onDensity }) {
      Object.assign(this, { root, button, box, onFilter, current, onDensity });
      this.kept = { hidden: [], dense: false, charts: true, filters: [], ...read() };
      button.addEventListener("click", () => this.toggle());
      document.addEventListener("pointerdown", (event) => { if (!box.contains(event.target) && !button.contains(event.target)) this.toggle(false); });
      box.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); this.toggle(false); button.focus(); } });
      this.apply();
    }
    toggle(open = this.box.hidden) {
      if (open) this.draw();
      this.box.hidden = !open;
      this.button.setAttribute("aria-expanded", open);
      if (open) this.box.querySelector("input, button")?.focus();
    }
    keep(change) {
      Object.assign(this.kept, change);
      try { localStorage.setItem(KEY, JSON.stringify(this.kept)); } catch { /* a browser that keeps nothing */ }
      this.apply();
    }
    apply() {
      for (const [name] of COLUMNS) this.root.classList.toggle(`rq-no-${name}`, this.kept.hidden.includes(name));
      const shown = COLUMNS.map(([name]) => name).filter((name) => !this.kept.hidden.includes(name));
      const widths = (names) => names.map((name) => WIDTHS[name]).join(" ");
      this.root.style.setProperty("--rq-columns", widths(shown));
      this.root.style.setProperty("--rq-columns-narrow", widths(shown.filter((name) => !WIDE.has(name))));
      this.root.classList.toggle("rq-dense", this.kept.dense);
      this.root.classList.toggle("rq-no-charts", !this.kept.charts);
      this.onDensity(this.kept.dense ? 24 : 30);
    }
    draw() {
      const columns = make("fieldset"), density = make("fieldset"), filters = make("fieldset");
      columns.append(make("legend", "Columns"));
      for (const [name, label] of COLUMNS.filter(([name]) => !FIXED.has(name))) columns.append(this.check(label, !this.kept.hidden.includes(name), (on) => {
        this.keep({ hidden: on ? this.kept.hidden.filter((each) => each !== name) : [...this.kept.hidden, name] });
      }));
      density.append(make("legend", "Layout"), this.check("Dense rows", this.kept.dense, (dense) => this.keep({ dense })), this.check("Charts", this.kept.charts, (charts) => this.keep({ charts })));
      filters.append(make("legend", "Saved filters"));
      for (const text of this.kept.filters) {
        const line = filters.appendChild(make("div")), use = line.appendChild(make("button", text)), drop = line.appendChild(make("button", "×"));
        use.type = drop.type = "button"; drop.setAttribute("aria-label", `Forget ${text}`);
        use.onclick = () => { this.onFilter(text); this.toggle(false); };
        drop.onclick = () => { this.keep({ filters: this.kept.filters.filter((each) => each !== text) }); this.draw(); };
      }
      const text = this.current(), save = filters.appendChild(make("button", text ? `Save “${text}”` : "Type a filter to save it here"));
      save.type = "button"; save.disabled = !text || this.kept.filters.includes(text);
      save.onclick = () => { this.keep({ filters: [...this.kept.filters, text].slice(-SAVED) }); this.draw(); };
      this.box.replaceChildren(columns, density, filters);
    }
    check(label, on, act) {
      const line = make("label"), input = line.appendChild(make("input"));
      input.type = "checkbox"; input.checked = on; input.onchange = () => act(input.checked);
      line.append(" " + label);
      return line;
    }
  }

  function read() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
      const texts = (value) => (Array.isArray(value) ? value.filter((each) => typeof each === "string") : []);
      return { hidden: texts(kept.hidden).filter((name) => !FIXED.has(name)), dense: kept.dense === true, charts: kept.charts !== false, filters: texts(kept.filters).slice(-SAVED) };
    } catch { return {}; }
  }

  Object.assign(window.reqscope, { Options, term });
})();
