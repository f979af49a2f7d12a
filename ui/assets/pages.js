// The pages beside the live view: tables that are sent whole, at most once a second. Captured text is only ever set as text.
(function () {
  "use strict";
  const WINDOWS = [["10", "10 s"], ["60", "1 min"], ["300", "5 min"], ["", "all"]];
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    if (name === "pre") element.tabIndex = 0; // it may scroll, also by keyboard
    return element;
  };

  class Pages {
    // `open` shows an event by its id, `filter` goes to the live view with a filter, `turn` asks for another window, `mock` makes the page of stubs,
    // `refresh` asks for the page as it is now.
    constructor(box, { open, filter, turn, mock, refresh }) {
      Object.assign(this, { box, open, filter, turn, stubs: mock });
      this.runList = new globalThis.reqscope.Runs(() => this.show(...this.last), () => refresh());
      this.order = { key: "count", down: true };
      this.workers = null; // what is known of those that report here
      this.unfolded = new Set(); // errors whose traceback is shown
      this.pressed = false; // a page that were written anew between press and release would swallow the click
      box.addEventListener("pointerdown", () => { this.pressed = true; });
      for (const up of ["pointerup", "pointercancel"]) window.addEventListener(up, () => setTimeout(() => {
        this.pressed = false;
        if (this.late) this.show(...this.last);
      }));
    }
    // Whether who looks may change things: what the server would refuse is not offered.
    allow(admin) { this.stubs.admin = this.runList.admin = admin; }
    wait() { this.late = false; this.box.replaceChildren(make("p", "Loading …", "rq-none")); }
    show(page, content, window) {
      // A list that is open would close, and what did not change need not be drawn.
      if (page === "mock" && this.box.firstChild && (this.box.contains(document.activeElement) && document.activeElement.tagName === "SELECT" || this.last?.[0] === page && JSON.stringify(this.last[1]) === JSON.stringify(content))) return;
      this.last = [page, content, window];
      if (this.late = this.pressed || this.isCopying()) return;
      const aside = this.box.querySelector(".rq-scroll")?.scrollLeft ?? 0;
      const focused = document.activeElement?.dataset?.focus, top = this.box.scrollTop;
      this.box.replaceChildren(...this[page](content, window));
      this.box.scrollTop = top;
      this.box.querySelector(".rq-scroll")?.scrollTo(aside, 0);
      if (focused) this.box.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    }
    tellElsewhere(workers) {
      const known = ({ in_flight, answered, expected } = {}) => [in_flight, answered, expected].join();
      const same = known(workers ?? undefined) === known(this.workers ?? undefined);
      this.workers = workers;
      if (same) return;
      if (this.last?.[0] === "flight" && !this.box.hidden && this.box.isConnected) this.show(...this.last);
    }
    // Somebody has marked text in it, to copy it.
    isCopying() {
      const marked = getSelection();
      return !marked.isCollapsed && this.box.contains(marked.anchorNode);
    }
    routes(rows, window) {
      const { formatDuration, formatSize, count } = globalThis.reqscope;
      const ms = (seconds) => (seconds === null ? "" : formatDuration(seconds * 1000));
      const columns = [
        ["route", "Route", (r) => `${r[0]} ${r[1]}`.trim(), (r) => r[1]], ["count", "Requests", (r) => count.format(r[2]), (r) => r[2]],
        ["rate", "Per second", (r) => r[3].toFixed(r[3] < 10 ? 2 : 0), (r) => r[3]],
        ["errors", "Errors", (r) => (r[4] ? `${count.format(r[4])} (${((100 * r[4]) / r[2]).toFixed(1)} %)` : "0"), (r) => r[4]],
        ["p50", "p50", (r) => ms(r[5]), (r) => r[5]], ["p95", "p95", (r) => ms(r[6]), (r) => r[6]], ["p99", "p99", (r) => ms(r[7]), (r) => r[7]],
        ["max", "Max", (r) => ms(r[8]), (r) => r[8]], ["bytes", "Bytes", (r) => formatSize(r[9]), (r) => r[9]],
        ["last", "Last seen", (r) => new Date(r[10] * 1000).toLocaleTimeString(undefined, { hour12: false }), (r) => r[10]],
      ];
      const choose = make("div", undefined, "rq-choose");
      choose.append(make("span", "Window"));
      for (const [value, label] of WINDOWS) {
        const button = make("button", label);
        button.type = "button"; button.dataset.focus = "window" + value;
        button.setAttribute("aria-pressed", (window ?? "") === value);
        button.onclick = () => this.turn(value);
        choose.append(button);
      }
      if (!rows.length) return [choose, make("p", "No requests in this window.", "rq-none")];
      const value = columns.find(([key]) => key === this.order.key)[3], sign = this.order.down ? -1 : 1;
      const sorted = [...rows].sort((a, b) => sign * (value(a) > value(b) ? 1 : value(a) < value(b) ? -1 : 0));
      const table = this.table(columns.map(([key, label]) => this.heading(key, label)));
      for (const row of sorted) {
        const line = table.tBodies[0].insertRow();
        columns.forEach(([key, , text], i) => {
          const cell = line.appendChild(make(i ? "td" : "th", i ? text(row) : undefined));
          if (!i) {
            cell.scope = "row";
            const all = row[1].startsWith("(") ? "" : row[1]; // what is in brackets is no route
            cell.append(this.link(text(row), "Show its requests", `route ${row[0]} ${row[1]}`, () => this.filter(ofRoute(row[0], all))));
          }
          if (key === "errors" && row[4]) cell.className = "rq-5";
        });
      }
      return [choose, this.scroller(table, "Routes")];
    }
    heading(key, label) {
      const head = make("th"), button = head.appendChild(make("button", label, "rq-link")), on = this.order.key === key;
      head.scope = "col";
      if (on) head.setAttribute("aria-sort", this.order.down ? "descending" : "ascending");
      if (on) button.append(make("span", this.order.down ? " ▾" : " ▴"));
      button.type = "button"; button.dataset.focus = "sort" + key;
      if (key === "errors") button.title = "Answers of 5xx, and what the application raised";
      button.onclick = () => { this.order = { key, down: on ? !this.order.down : key !== "route" }; this.show(...this.last); };
      return head;
    }
    errors({ groups, refused }) {
      const fields = refused.answers ? this.refusedFields(refused) : [];
      if (!groups.length) return [make("p", "No exception has left the application so far.", "rq-none"), ...fields];
      return [...groups.map((group) => {
        const card = make("article", undefined, "rq-error"), head = card.appendChild(make("header"));
        const key = group["exception.fingerprint"], open = this.unfolded.has(key);
        head.append(make("h2", group["error.type"]), make("span", group["http.route"] ?? "no route", "rq-soft"), make("b", `× ${group.count}`));
        card.append(make("p", group["exception.message"]), this.raisedAt(group["exception.stacktrace"] ?? ""));
        card.append(make("p", `First ${clock(group.first)}, last ${clock(group.last)}`, "rq-soft"));
        const buttons = card.appendChild(make("div", undefined, "rq-choose"));
        const toggle = buttons.appendChild(make("button", open ? "Hide traceback" : "Show traceback"));
        toggle.type = "button"; toggle.dataset.focus = "trace" + key; toggle.setAttribute("aria-expanded", open);
        toggle.onclick = () => { if (!this.unfolded.delete(key)) this.unfolded.add(key); this.show(...this.last); };
        const latest = buttons.appendChild(make("button", "Latest request"));
        latest.type = "button"; latest.dataset.focus = "latest" + key; latest.onclick = () => this.open(group.id);
        if (open) card.append(make("pre", group["exception.stacktrace"]));
        return card;
      }), ...fields];
    }
    // What validation refused, by field: one request of each is a click away, and so are all of its route.
    refusedFields({ fields, answers, unnamed }) {
      const section = make("section", undefined, "rq-refused");
      section.append(make("h2", "Refused fields"));
      const many = `${answers} answer${answers > 1 ? "s" : ""} of 422`;
      const why = unnamed ? ` ${unnamed} of them named no field, or no body was kept: REQSCOPE_BODIES=errors keeps those of requests that failed.` : "";
      section.append(make("p", `What the latest ${many} say is wrong with requests.${why}`, "rq-soft"));
      if (!fields.length) return [section];
      const table = this.table(["Field", "Answers", "Reason", "Route", "Last"].map((label) => { const head = make("th", label); head.scope = "col"; return head; }));
      for (const row of fields) {
        const method = row["http.request.method"], route = row["http.route"] ?? "";
        const line = table.tBodies[0].insertRow(), name = line.appendChild(make("th"));
        name.scope = "row";
        name.append(this.link(row.field, "Show the latest request", `field ${method} ${route} ${row.field} ${row.reason}`, () => this.open(row.id)));
        line.append(make("td", globalThis.reqscope.count.format(row.count)));
        const reason = line.appendChild(make("td", row.reason));
        reason.append(make("span", row.message, "rq-soft"));
        line.appendChild(make("td")).append(this.link(`${method} ${route}`.trim(), "Show its refused requests", `refused ${method} ${route} ${row.field} ${row.reason}`, () => this.filter(`status:422 ${ofRoute(method, route)}`)));
        line.append(make("td", clock(row.last)));
      }
      section.append(this.scroller(table, "Refused fields"));
      return [section];
    }
    link(text, title, focus, follow) {
      const link = make("button", text, "rq-link");
      Object.assign(link, { type: "button", title, onclick: follow });
      link.dataset.focus = focus;
      return link;
    }
    // The frame that raised it, as far as it tells files apart; all of its path is in the title.
    raisedAt(trace) {
      const [, file, line, name] = [...trace.matchAll(/^ *File "(.+)", line (\d+), in (.+)$/gm)].at(-1) ?? [];
      const place = make("p", file && `In ${name}, ${file.split(/[\\/]/).slice(-2).join("/")}:${line}`, "rq-soft");
      place.hidden = !file; place.title = file ?? "";
      return place;
    }
    flight(rows) {
      const { formatSize, formatDuration } = globalThis.reqscope;
      const note = this.unlisted(rows.length), elsewhere = note ? [make("p", note, "rq-none")] : [];
      if (!rows.length) return elsewhere.length ? elsewhere : [make("p", "Nothing is in flight.", "rq-none")];
      const labels = ["Age", "Request", "State", "Client", "Request id", ...(this.workers ? ["Worker"] : [])];
      const table = this.table(labels.map((label) => { const head = make("th", label); head.scope = "col"; return head; }));
      for (const row of rows) {
        const line = table.tBodies[0].insertRow();
        const state = row.status ? `${row.status}, ${formatSize(row.response_size ?? 0)} sent` : "no response yet";
        const what = `${row.kind === "websocket" ? "WebSocket" : row.method} ${row.path}${row.query ? "?" + row.query : ""}`;
        for (const text of [formatDuration(row.age * 1000), what, state, row.client ?? "", row.request_id ?? ""]) line.append(make("td", text));
        if (this.workers) line.append(make("td", row.worker ?? ""));
      }
      return [this.scroller(table, "In flight"), ...elsewhere];
    }
    // What a list of `shown` requests lacks of what is in flight in the workers, in words.
    unlisted(shown) {
      const { in_flight: many = 0, answered = null, expected = 0 } = this.workers ?? {};
      if (answered !== null && answered < expected) return `${answered} of ${expected} workers answered.`;
      if (!many || answered !== null || shown >= many) return "";
      return `${many} request${many > 1 ? "s are" : " is"} in flight in the workers that report here. They are counted, and not listed.`;
    }
    mock(content) { return this.stubs.parts(content); }
    runs(content) {
      const table = (labels) => this.table(labels.map((label) => { const head = make("th", label); head.scope = "col"; return head; }));
      return this.runList.show(content, table, (list) => this.scroller(list, "Runs"));
    }
    system(sections) {
      // In a box of its own, which is as high as it takes: columns of the page itself, whose height is given, go on to its right.
      const columns = make("div", undefined, "rq-columns");
      columns.append(...sections.map(([title, pairs]) => {
        const section = make("article", undefined, "rq-facts");
        section.append(make("h2", title));
        const table = section.appendChild(make("table")), body = table.appendChild(make("tbody"));
        for (const [name, value] of pairs) {
          const row = body.insertRow(), head = row.appendChild(make("th", name));
          head.scope = "row";
          row.append(make("td", value));
        }
        return section;
      }));
      return [columns];
    }
    // What is wider than the page scrolls by itself, also by keyboard.
    scroller(table, label) {
      const box = make("div", undefined, "rq-scroll");
      box.tabIndex = 0; box.setAttribute("role", "group"); box.setAttribute("aria-label", label); box.dataset.focus = "scroller";
      box.append(table);
      return box;
    }
    table(headings) {
      const table = make("table", undefined, "rq-list");
      table.createTHead().insertRow().append(...headings);
      table.createTBody();
      return table;
    }
  }

  // The filter that finds the requests of a route.
  function ofRoute(method, route) {
    const terms = [method && globalThis.reqscope.term("method", method), route && `route:"${route.replace(/["\\]/g, "\\$&")}"`];
    return terms.filter(Boolean).join(" ");
  }

  function clock(timestamp) {
    const date = new Date(timestamp);
    const day = date.toDateString() === new Date().toDateString() ? undefined : "medium";
    return date.toLocaleString(undefined, { dateStyle: day, timeStyle: "medium", hour12: false });
  }

  window.reqscope.Pages = Pages;
})();
