// The page: takes frames apart, and wires controls to the view that the server keeps for this tab.
(function () {
  "use strict";
  const { Table, Charts, Running, Pages, Mock, Options, Suggest, Detail, Connection, count, formatDuration, term } = window.reqscope;
  const STATES = { live: "Live", paused: "Paused", lost: "Reconnecting", connecting: "Connecting" };
  const THEMES = ["system", "light", "dark"];

  class Page {
    constructor(element, props, server, trigger) {
      this.root = element.querySelector(".rq");
      this.at = (id) => this.root.querySelector(`[data-id="${id}"]`);
      this.server = server; this.token = null; this.boot = ""; this.paused = false; this.missed = 0; this.failing = [];
      this.table = new Table(this.at("view"), this.at("rows"), this.at("empty"), this.at("newer"), (seq) => this.detail.open(`${this.boot}-${seq}`), (field, value) => this.narrow(term(field, value)));
      this.charts = new Charts(this.at("rate-chart"), this.at("latency-chart"), this.at("vitals-chart"), (from, to) => this.within(from, to));
      this.running = new Running(this.at("running"));
      this.detail = new Detail(this.at("detail"), {
        fetchEvent: (id) => server.detail(id), copyAs: (id, kind) => server.copy_as({ id, kind }),
        onOpen: (id) => this.mark("event", id), onClose: () => { this.mark("event", ""); this.table.deselect(); },
        onFilter: (text) => this.narrow(text), onDraft: props.mocks && ((id) => this.mock.draft(`event=${encodeURIComponent(id)}`)),
      });
      this.options = new Options(this.root, this.at("options"), this.at("option-box"), {
        onFilter: (text) => { this.turn("live"); this.setFilter(text); }, current: () => this.at("filter").value.trim(),
        onDensity: (height) => this.table.setHeight(height),
      });
      this.at("nav").querySelector("[data-page=mock]").hidden = !props.mocks;
      this.mock = new Mock(this.at("stub-dialog"), { filter: (text) => { this.turn("live"); this.setFilter(text); } });
      this.pages = new Pages(this.at("page"), {
        open: (id) => { this.turn("live"); this.detail.open(id); },
        filter: (text) => { this.turn("live"); this.setFilter(text); },
        turn: (window) => this.turn(this.page, window), mock: this.mock,
      });
      this.suggest = new Suggest(this.at("filter"), this.at("suggestions"), {
        ask: async (text, cursor) => (this.token ? server.complete({ text, cursor }) : []), onPick: () => this.applyFilter(),
      });
      this.connection = new Connection({
        heartbeat: props.heartbeat, onState: (state) => this.setState(state),
        restart: () => trigger("restart"), park: () => this.steer({ parked: true }),
      });
      const asked = new URLSearchParams(location.search);
      this.at("filter").value = asked.get("filter") ?? "";
      this.lookAt(asked.get("view") ?? "live", asked.get("window") ?? "");
      if (asked.get("event")) this.detail.open(asked.get("event"));
      this.theme(localStorage.getItem("reqscope-theme") ?? "system");
      this.listen();
    }
    listen() {
      let typing = 0;
      const apply = () => { clearTimeout(typing); this.applyFilter(); };
      this.at("filter").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(apply, 250); });
      this.at("form").addEventListener("submit", (event) => { event.preventDefault(); apply(); });
      this.at("pause").addEventListener("click", () => this.pause(!this.paused));
      this.at("help-button").addEventListener("click", () => this.help());
      this.at("help-close").addEventListener("click", () => this.help(false));
      for (const link of this.at("export").querySelectorAll("a")) link.addEventListener("click", () => {
        link.href = `api/export?format=${link.dataset.format}&filter=${encodeURIComponent(this.at("filter").value.trim())}`;
      });
      this.at("theme").addEventListener("click", () => {
        this.theme(THEMES[(THEMES.indexOf(localStorage.getItem("reqscope-theme") ?? "system") + 1) % THEMES.length]);
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.theme(localStorage.getItem("reqscope-theme") ?? "system"));
      this.at("nav").addEventListener("click", (event) => {
        const link = event.target.closest("[data-page]");
        if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return; // another tab is the browser's business
        event.preventDefault();
        this.turn(link.dataset.page);
      });
      window.addEventListener("popstate", () => {
        const asked = new URLSearchParams(location.search);
        this.lookAt(asked.get("view") ?? "live", asked.get("window") ?? "");
        this.steer({ page: this.page, window: this.window });
      });
      document.addEventListener("keydown", (event) => this.key(event));
    }
    receive(frame) {
      this.connection.heard();
      if (frame.kind === "bye") return this.connection.goodbye();
      if (frame.kind === "hello") return this.hello(frame);
      if (frame.kind === "full") { this.missed = 0; this.table.replace(frame.rows); }
      if (frame.kind === "add") { this.missed += frame.missed + frame.hidden; this.table.append(frame.rows, gapText(frame)); }
      if (frame.kind === "page" && frame.page === this.page) this.pages.show(frame.page, frame.content, this.window);
      if (frame.kind !== "paused" && this.paused && frame.kind !== "heartbeat") this.at("pause").textContent = "Resume";
      if (frame.kind === "paused") this.at("pause").textContent = `Resume · ${count.format(frame.new)} new`;
      this.charts.add(frame.seconds, frame.vitals, frame.now);
      this.running.show(frame.running, frame.counts.in_flight);
      this.showCounts(frame.counts, frame.now);
      this.setState(this.paused ? "paused" : "live");
    }
    hello(frame) {
      if (this.boot !== frame.boot) this.charts.clear();
      this.token = frame.token; this.boot = frame.boot;
      // A stream that began anew has the filter of the page's address; what was typed or paused since is told again.
      if (this.at("filter").value) this.applyFilter();
      if (this.page !== "live") this.steer({ page: this.page, window: this.window });
      if (this.paused) this.steer({ paused: true });
    }
    setFilter(text) { this.at("filter").value = text; this.applyFilter(); }
    // Only what began in that time, instead of any other.
    within(from, to) {
      const stamp = (seconds) => new Date(Math.round(seconds) * 1000).toISOString().slice(0, 19) + "Z";
      this.turn("live");
      const others = this.at("filter").value.trim().replace(/(^|\s)time:\S+/g, "").trim();
      this.setFilter(`${others} time:${stamp(from)}..${stamp(to)}`.trim());
    }
    // Add a term to the filter, unless it is there.
    narrow(text) {
      this.turn("live");
      const now = this.at("filter").value.trim();
      if (!` ${now} `.includes(` ${text} `)) this.setFilter(`${now} ${text}`.trim());
    }
    // Keep something in the address, so that the link to the page shows the same.
    mark(name, value) {
      const address = new URL(location.href);
      if (value) address.searchParams.set(name, value); else address.searchParams.delete(name);
      history.replaceState(history.state, "", address);
    }
    // Go to another page, and have the address say so.
    turn(page, window = "") {
      const address = new URL(location.href);
      if (page === "live") address.searchParams.delete("view"); else address.searchParams.set("view", page);
      if (window) address.searchParams.set("window", window); else address.searchParams.delete("window");
      history.pushState(history.state, "", address);
      this.lookAt(page, window);
      this.steer({ page, window });
    }
    lookAt(page, window) {
      const links = [...this.at("nav").querySelectorAll("[data-page]")];
      this.page = links.some((link) => link.dataset.page === page) ? page : "live";
      this.window = window;
      for (const link of links) link.toggleAttribute("aria-current", link.dataset.page === this.page);
      const live = this.page === "live";
      this.at("live").hidden = !live; this.at("page").hidden = live; this.at("form").style.visibility = live ? "" : "hidden";
      if (!live) this.at("page").replaceChildren();
      this.root.dataset.page = this.page;
    }
    showCounts(counts, now) {
      const latest = this.charts.latest();
      this.at("rate").textContent = count.format(latest.rate);
      this.at("p95").textContent = latest.p95 === null ? "–" : formatDuration(latest.p95 * 1000);
      for (const name of ["received", "kept", "evicted", "lost", "in_flight"]) this.at(name).textContent = count.format(counts[name]);
      this.at("missed").textContent = count.format(this.missed);
      this.at("span").textContent = counts.oldest ? formatSpan(now - counts.oldest / 1000) : "–";
      this.at("lag").textContent = counts.lag === null ? "–" : formatDuration(counts.lag);
      this.at("lost").parentElement.classList.toggle("rq-loss", counts.lost > 0);
      this.at("missed").parentElement.classList.toggle("rq-loss", this.missed > 0);
      this.at("kept").parentElement.title = counts.thinned ? `${count.format(counts.thinned)} more were counted and, by sampling, not kept` : "";
      const notices = noticesOf(counts);
      this.at("notice").hidden = !notices.length;
      this.at("notice").textContent = notices.join(" ");
    }
    setState(state) {
      this.root.dataset.state = state;
      this.at("state").textContent = STATES[state];
    }
    async steer(command) {
      if (!this.token) return { ok: true };
      try { return await this.server.steer({ token: this.token, ...command }); } catch { return { ok: false, error: "the connection is down" }; }
    }
    async applyFilter() {
      const input = this.at("filter"), output = this.at("filter-error"), text = input.value.trim();
      const answer = await this.steer({ filter: text });
      input.setAttribute("aria-invalid", !answer.ok);
      output.hidden = answer.ok;
      if (!answer.ok) {
        output.textContent = answer.position === undefined ? answer.error : `${text}\n${" ".repeat(answer.position)}^ ${answer.error}`;
        return;
      }
      this.mark("filter", text);
      this.at("empty").textContent = text ? "No request passes this filter yet." : "No requests yet. Send one, and it appears here at once.";
    }
    pause(paused) {
      this.paused = paused;
      this.at("pause").setAttribute("aria-pressed", paused);
      this.at("pause").textContent = paused ? "Resume" : "Pause";
      this.setState(paused ? "paused" : "live");
      this.steer({ paused });
    }
    help(open = this.at("help").hidden) {
      this.at("help").hidden = !open;
      if (open) this.at("help").focus();
    }
    theme(name) {
      localStorage.setItem("reqscope-theme", name);
      const dark = name === "dark" || (name === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
      document.body.classList.toggle("dark", dark);
      this.at("theme").textContent = { system: "Auto", light: "Light", dark: "Dark" }[name];
      this.charts.redraw();
    }
    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || this.at("stub-dialog").open) return;
      const target = event.target;
      if (event.key === "Escape" && !this.at("help").hidden) return this.help(false);
      if (event.key === "Escape") {
        this.detail.close();
        if (target === this.at("filter")) { event.preventDefault(); target.blur(); } // browsers would clear what is typed
        return;
      }
      if (target.closest("input, textarea, [contenteditable]")) return;
      if (event.key === " " && target.closest("button")) return; // presses that
      const act = { " ": () => this.pause(!this.paused), j: () => this.table.move(1), k: () => this.table.move(-1), "/": () => this.at("filter").focus(), "?": () => this.help() }[event.key];
      if (act) { event.preventDefault(); act(); }
    }
  }

  function gapText(frame) {
    if (frame.missed) return `${count.format(frame.missed + frame.hidden)} requests passed too fast to be kept here`;
    return frame.hidden ? `${count.format(frame.hidden)} more requests, too fast to be shown one by one` : null;
  }
  function noticesOf(counts) {
    const lost = count.format(counts.lost), notices = [];
    if (counts.failing.length) notices.push(`The log cannot be written to ${counts.failing.join(", ")}. Requests are not affected; ${lost} lines are lost so far.`);
    else if (counts.lost) notices.push(`${lost} log lines were lost, because the log did not keep up or could not be written.`);
    if (!counts.capturing) notices.push(`Capture is switched off for half a minute, because it failed too often: ${counts.last}. Requests are not affected; ${count.format(counts.skipped)} passed unseen so far.`);
    else if (counts.faults) notices.push(`Capture failed ${count.format(counts.faults)} times. Requests are not affected. The latest: ${counts.last}.`);
    return notices;
  }
  function formatSpan(seconds) {
    const s = Math.max(0, Math.round(seconds));
    if (s < 60) return `${s} s`;
    return s < 3600 ? `${Math.floor(s / 60)} m ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} m`;
  }

  window.reqscope.start = function (element, props, server, trigger, watch) {
    const page = new Page(element, props, server, trigger);
    const take = () => { if (props.value) page.receive(JSON.parse(props.value)); };
    watch("value", take);
    take();
  };
})();
