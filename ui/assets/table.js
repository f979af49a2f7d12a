// The table: newest first, only the rows in view are in the page, and captured text is only ever set as text.
(function () {
  "use strict";
  const HEAD = 32; // its height in pixels, as in the stylesheet; it stays at the top of the view
  const AIM = 1500; // milliseconds that rows stand still after the mouse has moved over them
  const KEEP = 2000; // rows this page holds; the server's ring holds more
  const SEQ = 0, TIME = 1, KIND = 2, METHOD = 3, PATH = 4, QUERY = 5, STATUS = 6, DURATION = 7, SIZE = 8, CLIENT = 9, ROUTE = 10, ERROR = 11, BODY = 12, REPLAY = 13, SEVERITY = 14, STUB = 15, WORKER = 16;

  const OLDER = "Older requests are not listed here. A filter or an export reaches those that are still kept.";
  const FILTERS = { 1: "method", 2: "status", 6: "client", 7: "route", 8: "worker" }; // cells that a click filters by

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const count = new Intl.NumberFormat();

  function formatTime(ms) { return clock.format(ms) + "." + String(ms % 1000).padStart(3, "0"); }
  function formatDuration(ms) {
    if (ms === null || ms === undefined) return "";
    if (ms === 0) return "0 ms";
    if (ms < 1) return ms.toFixed(2) + " ms";
    if (ms < 100) return ms.toFixed(1) + " ms";
    if (ms < 1000) return Math.round(ms) + " ms";
    return (ms / 1000).toFixed(ms < 10000 ? 2 : 1) + " s";
  }
  // A time that goes on: as exact as there is room for on a phone.
  function formatSpan(seconds) {
    const s = Math.max(0, Math.round(seconds)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    if (m === 0) return `${s} s`;
    if (h === 0) return m < 10 ? `${m}m ${s % 60}s` : `${m}m`;
    return h < 10 ? `${h}h ${m % 60}m` : `${h}h`;
  }
  function formatSize(bytes) {
    if (bytes < 1024) return bytes + " B";
    const power = Math.min(3, Math.floor(Math.log2(bytes) / 10));
    return (bytes / 1024 ** power).toFixed(1) + " " + ["", "KiB", "MiB", "GiB"][power];
  }

  class Table {
    // `onOpen` is told of a row that was chosen, `onEnter` that the keyboard goes into what it opened.
    constructor(view, rows, empty, newer, { onOpen, onEnter, onFilter }) {
      Object.assign(this, { view, box: rows, empty, newer, onOpen, onEnter, onFilter });
      this.height = 30; // of a row, in pixels
      this.rows = []; // oldest first; a gap is a row {gap: text}
      this.shown = new Map(); // row to element
      this.spare = []; // elements of no row, hidden
      this.selected = null; this.drawn = false;
      this.filled = false; // a full frame has come
      this.above = 0; // rows that came while the view stayed where it was
      this.aiming = 0; // a timer, while a mouse moves over the rows: they stand still for it, or nobody could hit one
      this.waiting = []; // what came in the meantime, as arguments of append
      view.addEventListener("scroll", () => this.scrolled(), { passive: true });
      view.addEventListener("mousemove", () => { clearTimeout(this.aiming); this.aiming = setTimeout(() => this.release(), AIM); });
      view.addEventListener("mouseleave", () => this.release());
      view.addEventListener("keydown", (event) => this.key(event));
      newer.addEventListener("click", () => { this.release(); this.toTop(); });
      // What was under the pointer when it went down is meant, whatever is there when it comes up.
      let aimed = null;
      rows.addEventListener("pointerdown", (event) => { aimed = event.target.closest(".rq-row")?.row ?? null; });
      rows.addEventListener("click", (event) => {
        if (!aimed || aimed.gap) return;
        const filter = event.target.closest("[data-filter]");
        if (filter && filter.textContent && filter.parentElement.row === aimed) this.onFilter(filter.dataset.filter, filter.textContent);
        else this.open(aimed);
      });
      new ResizeObserver(() => this.schedule()).observe(view);
    }
    setHeight(height) { this.height = height; this.schedule(); }
    select(seq) { this.selected = seq; this.schedule(); }
    replace(rows) {
      this.waiting = [];
      this.rows = rows; this.filled = true;
      this.toTop();
    }
    toTop() { this.view.scrollTop = 0; this.scrolled(); }
    release() {
      clearTimeout(this.aiming);
      this.aiming = 0;
      for (const [rows, gap] of this.waiting.splice(0)) this.append(rows, gap);
    }
    scrolled() {
      if (this.view.scrollTop < this.height) this.above = 0;
      this.schedule();
    }
    // `gap` says what is not shown between the rows before and these.
    append(rows, gap) {
      if (this.aiming) { this.waiting.push([rows, gap]); return this.schedule(); }
      const before = this.rows.length;
      if (gap) this.rows.push({ gap });
      for (const row of rows) this.rows.push(row);
      const added = this.rows.length - before;
      if (this.rows.length > KEEP) this.rows.splice(0, this.rows.length - KEEP, { gap: OLDER });
      // Whoever has scrolled away keeps the rows they are looking at.
      if (this.view.scrollTop > 0) {
        this.above += added;
        this.resize();
        this.view.scrollTop += added * this.height;
      }
      this.schedule();
    }
    index(position) { return this.rows.length - 1 - position; } // newest at position 0
    open(row) { this.selected = row[SEQ]; this.schedule(); this.onOpen(row[SEQ]); }
    // Move the selection by so many rows, past gaps.
    move(step) {
      let position = this.rows.findIndex((row) => row[SEQ] === this.selected);
      position = position < 0 ? (step > 0 ? -1 : 0) : this.index(position);
      position = Math.min(Math.max(position + step, 0), this.rows.length - 1);
      while (this.rows[this.index(position)]?.gap) position += Math.abs(step) > 1 ? -Math.sign(step) : step;
      if (position < 0 || position >= this.rows.length) return;
      const top = position * this.height, view = this.view;
      if (top < view.scrollTop) view.scrollTop = top;
      else if (top + this.height + HEAD > view.scrollTop + view.clientHeight) view.scrollTop = top + this.height + HEAD - view.clientHeight;
      this.open(this.rows[this.index(position)]);
    }
    key(event) {
      const page = Math.max(1, Math.floor((this.view.clientHeight - HEAD) / this.height) - 1);
      const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, End: this.rows.length, Home: -this.rows.length }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      if (step) { event.preventDefault(); this.move(step); }
      else if (event.key === "Enter" && this.selected !== null) { event.preventDefault(); this.onEnter(); }
    }
    deselect() { this.selected = null; this.schedule(); }
    schedule() {
      if (this.drawn) return;
      this.drawn = true;
      requestAnimationFrame(() => { this.drawn = false; this.draw(); });
    }
    resize() { this.box.style.height = this.rows.length * this.height + "px"; }
    draw() {
      this.resize();
      this.empty.hidden = this.rows.length > 0 || !this.filled;
      this.view.setAttribute("aria-rowcount", this.rows.length + 1);
      const newer = this.waiting.reduce((sum, [rows]) => sum + rows.length, this.above);
      this.newer.hidden = newer === 0;
      this.newer.textContent = `↑ ${count.format(newer)} new`;
      const first = Math.max(0, Math.floor(this.view.scrollTop / this.height) - 2);
      const last = Math.min(this.rows.length, Math.ceil((this.view.scrollTop + this.view.clientHeight) / this.height) + 2);
      this.place(first, last);
    }
    // A row that stays in view keeps its element, which only moves: a new one costs one row, not all in view. The
    // elements are in the order of what they show, for whoever has the page read out or copies from it.
    place(first, last) {
      const visible = [];
      for (let position = first; position < last; position++) visible.push(this.rows[this.index(position)]);
      const before = this.shown;
      this.shown = new Map(visible.map((row) => [row, before.get(row)]));
      for (const [row, element] of before) if (!this.shown.has(row)) this.spare.push(element);
      this.view.removeAttribute("aria-activedescendant");
      visible.forEach((row, i) => {
        const element = this.shown.get(row) ?? this.insert(row, this.shown.get(visible[i - 1]));
        element.style.transform = `translateY(${(first + i) * this.height}px)`;
        const selected = !row.gap && row[SEQ] === this.selected;
        element.setAttribute("aria-selected", selected); element.setAttribute("aria-rowindex", first + i + 2);
        if (selected) this.view.setAttribute("aria-activedescendant", element.id);
      });
      for (const element of this.spare) { element.hidden = true; element.row = null; }
    }
    insert(row, above) {
      const element = this.spare.pop() ?? makeRow();
      this.shown.set(row, element);
      this.fill(element, row);
      if (above) above.after(element); else this.box.prepend(element);
      return element;
    }
    fill(element, row) {
      element.row = row; element.hidden = false;
      element.className = row.gap ? "rq-row rq-gap" : "rq-row";
      const cells = element.children;
      for (const cell of cells) cell.textContent = "";
      if (row.gap) { cells[0].textContent = row.gap; return; }
      cells[0].textContent = formatTime(row[TIME]);
      cells[1].textContent = row[METHOD] || row[KIND];
      cells[2].textContent = row[STATUS] || row[SEVERITY] || (row[ERROR] ? "failed" : "–");
      cells[2].className = "rq-status " + (row[SEVERITY] ? "rq-level-" + row[SEVERITY] : "rq-" + Math.floor(row[STATUS] / 100));
      cells[3].textContent = row[PATH] + (row[QUERY] ? "?" + row[QUERY] : "");
      if (row[REPLAY]) cells[3].prepend(tag("replay", "Sent again from this panel"), " ");
      if (row[BODY]) cells[3].appendChild(document.createElement("em")).textContent = (cells[3].textContent ? "  " : "") + row[BODY];
      if (row[ERROR]) cells[3].appendChild(document.createElement("em")).textContent = "  " + row[ERROR];
      if (row[STUB]) cells[3].appendChild(document.createElement("em")).textContent = "  ← " + row[STUB];
      cells[4].textContent = formatDuration(row[DURATION]);
      cells[5].textContent = formatSize(row[SIZE]);
      cells[6].textContent = row[CLIENT];
      cells[7].textContent = row[ROUTE] ?? "";
      cells[8].textContent = row[WORKER];
    }
  }

  function tag(text, title) {
    const element = document.createElement("em");
    element.className = "rq-tag"; element.textContent = text; element.title = title;
    return element;
  }
  let made = 0;
  function makeRow() {
    const row = document.createElement("div");
    row.setAttribute("role", "row"); row.id = `rq-row-${++made}`;
    for (let i = 0; i < 9; i++) {
      const cell = row.appendChild(document.createElement("span"));
      cell.setAttribute("role", "gridcell");
      if (FILTERS[i]) { cell.dataset.filter = FILTERS[i]; cell.title = `Only this ${FILTERS[i]}`; }
    }
    return row;
  }

  window.reqscope = { Table, OLDER, formatTime, formatDuration, formatSpan, formatSize, count };
})();
