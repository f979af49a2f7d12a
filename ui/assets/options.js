// What somebody likes to see: columns, density and saved filters, kept in this browser, for each user apart.
(function () {
  "use strict";
  const COLUMNS = [["time", "Time"], ["method", "Method"], ["status", "Status"], ["path", "Path"], ["duration", "Duration"], ["size", "Size"], ["client", "Client"], ["route", "Route"], ["worker", "Worker"]];
  const WIDTHS = { time: "92px", method: "62px", status: "62px", path: "minmax(120px, 1fr)", duration: "82px", size: "72px", client: "112px", route: "minmax(80px, .7fr)", worker: "minmax(56px, .25fr)" };
  const WIDE = new Set(["client", "route", "worker"]); // shown where there is room
  const FIXED = new Set(["path"]);
  const KEY = "reqscope-options", LAST = "reqscope-user", SAVED = 20;
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
      // Until the server says who looks, it looks as it did for the last one; what they have saved stays theirs.
      this.user = null;
      this.kept = { ...optionsOf(keptAt(LAST) ?? ""), filters: [] };
      this.workers = false; // whether several processes report, so that there is a column for which it was
      button.addEventListener("click", () => this.toggle());
      document.addEventListener("pointerdown", (event) => { if (!box.contains(event.target) && !button.contains(event.target)) this.toggle(false); });
      box.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); this.toggle(false); button.focus(); } });
      this.apply();
    }
    // From now on these are the options of the user of that `name`; an empty one is whoever need not sign in.
    belongTo(name) {
      if (this.user === name) return;
      this.user = name; this.kept = optionsOf(name);
      keepAt(LAST, name);
      this.toggle(false);
      this.apply();
    }
    toggle(open = this.box.hidden) {
      if (open) this.draw();
      this.box.hidden = !open;
      this.button.setAttribute("aria-expanded", open);
      if (open) this.box.querySelector("input, button")?.focus();
    }
    keep(change) {
      this.look();
      Object.assign(this.kept, change);
      if (this.user !== null) keepAt(keyOf(this.user), JSON.stringify(this.kept));
      this.apply();
    }
    // Another tab may have saved or dropped a filter meanwhile. Its columns are its own, until a page is opened anew.
    look() { if (this.user !== null) this.kept.filters = optionsOf(this.user).filters; }
    showWorkers(workers) {
      if (this.workers === workers) return;
      this.workers = workers;
      this.apply();
    }
    apply() {
      const hidden = (name) => this.kept.hidden.includes(name) || (name === "worker" && !this.workers);
      for (const [name] of COLUMNS) this.root.classList.toggle(`rq-no-${name}`, hidden(name));
      const shown = COLUMNS.map(([name]) => name).filter((name) => !hidden(name));
      const widths = (names) => names.map((name) => WIDTHS[name]).join(" ");
      this.root.style.setProperty("--rq-columns", widths(shown));
      this.root.style.setProperty("--rq-columns-narrow", widths(shown.filter((name) => !WIDE.has(name))));
      this.root.classList.toggle("rq-dense", this.kept.dense);
      this.root.classList.toggle("rq-no-charts", !this.kept.charts);
      this.onDensity(this.kept.dense ? 24 : 30);
    }
    draw() {
      this.look();
      const columns = make("fieldset"), density = make("fieldset"), filters = make("fieldset");
      columns.append(make("legend", "Columns"));
      for (const [name, label] of COLUMNS.filter(([name]) => !FIXED.has(name) && (name !== "worker" || this.workers))) columns.append(this.check(label, !this.kept.hidden.includes(name), (on) => {
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

  function keyOf(name) { return name ? `${KEY}:${name}` : KEY; }
  function keptAt(key) { try { return localStorage.getItem(key); } catch { return null; } } // a browser that keeps nothing
  function keepAt(key, text) { try { localStorage.setItem(key, text); } catch { /* the same */ } }
  function optionsOf(name) {
    let kept = {};
    try { kept = JSON.parse(keptAt(keyOf(name)) ?? "{}") ?? {}; } catch { /* something else wrote it */ }
    const texts = (value) => (Array.isArray(value) ? value.filter((each) => typeof each === "string") : []);
    return { hidden: texts(kept.hidden).filter((each) => !FIXED.has(each)), dense: kept.dense === true, charts: kept.charts !== false, filters: texts(kept.filters).slice(-SAVED) };
  }

  Object.assign(window.reqscope, { Options, keepAt, keptAt, term });
})();
