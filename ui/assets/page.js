// The page: takes frames apart, and wires controls to the view that the server keeps for this tab.
(function () {
  "use strict";
  const { Table, Charts, Running, Pages, Mock, Options, Account, Suggest, Detail, Connection, OLDER, copied, count, formatDuration, formatSpan, formatTime, keepAt, keptAt, term } = window.reqscope;
  const STATES = { live: "Live", paused: "Paused", lost: "Reconnecting", connecting: "Connecting" };
  const THEMES = ["system", "light", "dark"];
  const TITLES = { live: "Reqscope", routes: "Routes · Reqscope", errors: "Errors · Reqscope", flight: "In flight · Reqscope", runs: "Runs · Reqscope", mock: "Mock · Reqscope", system: "System · Reqscope" };
  const LEFT = "reqscope-left"; // how far a tab had seen when it was reloaded
  const AWAY = 10000; // milliseconds without a frame that are worth a word

  class Page {
    constructor(element, props, functions, trigger) {
      const server = failing(functions);
      this.root = element.querySelector(".rq");
      this.at = (id) => this.root.querySelector(`[data-id="${id}"]`);
      this.server = server; this.token = null; this.boot = ""; this.paused = false; this.missed = 0; this.seen = 0;
      this.left = takeLeft();
      this.table = new Table(this.at("view"), this.at("rows"), this.at("empty"), this.at("newer"), {
        onOpen: (seq) => this.detail.open(`${this.boot}-${seq}`), onEnter: () => this.detail.focus(), onFilter: (field, value) => this.narrow(term(field, value)),
      });
      this.charts = new Charts(this.at("rate-chart"), this.at("latency-chart"), this.at("vitals-chart"), (from, to) => this.within(from, to));
      this.running = new Running(this.at("running"));
      this.detail = new Detail(this.at("detail"), {
        fetchEvent: (id) => server.detail(id), copyAs: (id, kind) => server.copy_as({ id, kind }),
        onOpen: (id) => { this.mark("event", id); this.pick(id); this.cover(true); },
        onClose: () => { this.mark("event", ""); this.cover(false); this.table.deselect(); this.at("view").focus({ preventScroll: true }); },
        onFilter: (text) => this.narrow(text), replay: props.replay && replayOf, onDraft: props.mocks && ((id) => this.mock.draft(`event=${encodeURIComponent(id)}`)),
      });
      this.account = new Account(this.at("app"), this.at("account"), this.at("account-box"));
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
        refresh: () => this.steer({ page: this.page, window: this.window }),
      });
      this.suggest = new Suggest(this.at("filter"), this.at("suggestions"), {
        ask: async (text, cursor) => (this.token ? server.complete({ text, cursor }) : []), onPick: () => this.applyFilter(),
      });
      this.connection = new Connection({
        heartbeat: props.heartbeat, onState: (state) => this.setState(state),
        restart: () => trigger("restart", { asked: location.search, boot: this.boot, after: this.seen }), park: () => this.steer({ parked: true }),
      });
      const asked = new URLSearchParams(location.search);
      this.at("filter").value = asked.get("filter") ?? "";
      this.lookAt(asked.get("view") ?? "live", asked.get("window") ?? "");
      if (asked.get("event")) this.detail.open(asked.get("event"));
      this.theme(keptAt("reqscope-theme") ?? "system");
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
        this.theme(THEMES[(THEMES.indexOf(this.chosen) + 1) % THEMES.length]);
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.theme(this.chosen));
      this.at("nav").addEventListener("click", (event) => {
        const link = event.target.closest("a[data-page]");
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
      window.addEventListener("pagehide", () => keepLeft({ boot: this.boot, seen: this.seen, heard: this.heard }));
    }
    receive(frame) {
      this.connection.heard();
      this.heard = Date.now();
      if (frame.kind === "bye") return this.connection.goodbye();
      if (frame.kind === "hello") return this.hello(frame);
      if (frame.kind === "signed-out") return location.reload(); // which leads to the sign-in, and back here
      if (frame.kind === "confirm") return this.confirm();
      if (frame.kind === "full") { this.missed = 0; this.table.replace(this.whole(frame)); }
      if (frame.kind === "add") { this.missed += frame.missed + frame.hidden; this.table.append(frame.rows, gapText(frame)); }
      if (frame.to !== undefined) this.reached(frame.to);
      if (frame.kind === "page" && frame.page === this.page) this.pages.show(frame.page, frame.content, this.window);
      if (frame.kind === "paused" && this.paused) this.at("pause").replaceChildren(roomy("Resume · "), `${count.format(frame.new)} new`);
      this.charts.add(frame.seconds, frame.vitals, frame.now);
      this.running.show(frame.running, frame.counts.in_flight);
      this.showCounts(frame.counts, frame.now);
      this.setState(this.paused ? "paused" : "live");
    }
    hello(frame) {
      if (this.boot !== frame.boot) this.charts.clear();
      if (this.boot && this.boot !== frame.boot) this.left = { boot: this.boot, heard: this.heard };
      this.token = frame.token; this.boot = frame.boot;
      this.account.show(frame.user); this.options.belongTo(frame.user.name);
      this.pages.allow(frame.user.admin);
      if (!frame.user.admin) this.detail.resend = this.detail.onDraft = null; // the server would refuse it
      this.hold(frame.paused);
      if (this.detail.isOpen) this.pick(this.detail.wanted);
      this.example(frame.example);
      if (this.at("filter").value) this.applyFilter(); // says what is wrong with one that cannot be read
    }
    // Mark the row of an event of this server.
    pick(id) { if (id?.startsWith(`${this.boot}-`)) this.table.select(Number(id.slice(this.boot.length + 1))); }
    // Remember how far this page has seen; a view that is paused keeps its place in the address.
    reached(seq) {
      this.seen = seq;
      if (this.paused) this.mark("paused", `${this.boot}-${seq}`);
    }
    // The rows of a full frame, and what there is to say between them.
    whole({ rows, older }) {
      const left = this.left, now = Date.now();
      this.left = null;
      const all = older ? [{ gap: OLDER }, ...rows] : [...rows];
      if (left?.boot && left.boot !== this.boot) all.unshift({ gap: `The server has restarted since ${formatTime(left.heard)}; what it kept before is gone.` });
      else if (left?.boot && now - left.heard > AWAY) {
        const at = all.findIndex((row) => row[0] > left.seen);
        all.splice(at < 0 ? all.length : at, 0, { gap: `Not connected from ${formatTime(left.heard)} to ${formatTime(now)}; what came meanwhile is above.` });
      }
      return all;
    }
    // The server wants to see that whoever opened this page is still signed in, which each request shows.
    async confirm() { if (!(await this.steer({})).ok) this.connection.lost(); }
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
      for (const link of links) if (link.dataset.page === this.page) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
      document.title = TITLES[this.page];
      this.at("page").setAttribute("aria-label", links.find((link) => link.dataset.page === this.page).textContent);
      const live = this.page === "live";
      this.at("live").hidden = !live; this.at("page").hidden = live; this.at("form").style.visibility = live ? "" : "hidden";
      if (!live) this.pages.wait();
      this.root.dataset.page = this.page;
    }
    // On a phone the detail covers everything: what is behind it must not be reached.
    cover(open) {
      const covers = open && getComputedStyle(this.at("detail")).position === "fixed";
      for (const part of [...this.root.children, ...this.at("live").children]) if (!part.contains(this.at("detail")) && !part.matches("dialog, [role=status]")) part.inert = covers;
      if (covers) this.detail.focus();
    }
    // What to send when there is nothing yet.
    example(command) {
      const [, code, button] = this.at("empty").children;
      code.textContent = command; code.hidden = button.hidden = !command;
      button.onclick = async () => { button.textContent = await copied(command); };
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
      this.at("kept").parentElement.title = counts.thinned ? `${count.format(counts.thinned)} more were counted and, by sampling, not kept` : "What can still be looked at";
      this.showWorkers(counts.workers);
      this.pages.tellElsewhere(counts.workers);
      const notices = noticesOf(counts);
      this.at("notice").hidden = !notices.length;
      this.at("notice").textContent = notices.join(" ");
      // Numbers in it change all the time, so what is read out is only that there is another kind of trouble.
      const kinds = [counts.failing.join(), counts.lost > 0, counts.capturing, counts.faults > 0].join();
      if (kinds !== this.kinds) this.at("said").textContent = notices.join(" ");
      this.kinds = kinds;
    }
    showWorkers(workers) {
      this.options.showWorkers(Boolean(workers));
      this.at("worker-count").hidden = !workers;
      if (!workers) return;
      this.at("workers").textContent = `${workers.reporting} of ${workers.expected}`;
      this.at("worker-count").classList.toggle("rq-loss", workers.reporting < workers.expected);
      this.at("worker-count").title = workers.missing.length ? `Not heard from: ${workers.missing.join(", ")}` : "Processes that report here";
    }
    setState(state) {
      if (this.root.dataset.state === state) return; // a status that is set again may be read out again
      this.root.dataset.state = state;
      this.at("state").textContent = STATES[state];
      if (state !== "lost") return; // the next frame says what there is to say then
      this.at("notice").hidden = false;
      this.at("notice").textContent = `The connection to the server is lost. What is shown is as of ${formatTime(this.heard ?? Date.now())}; the page goes on by itself once the server answers.`;
    }
    async steer(command) {
      if (!this.token) return { ok: true };
      try { return await this.server.steer({ token: this.token, ...command }); } catch { return { ok: false, error: "the connection is down" }; }
    }
    async applyFilter() {
      const input = this.at("filter"), mistake = this.at("filter-error"), text = input.value.trim();
      const answer = await this.steer({ filter: text });
      input.setAttribute("aria-invalid", !answer.ok);
      mistake.hidden = answer.ok;
      if (!answer.ok) {
        const [code, message] = mistake.children;
        code.textContent = answer.position === undefined ? "" : pointAt(text, answer.position);
        message.textContent = answer.error;
        return;
      }
      this.mark("filter", text);
      this.root.classList.toggle("rq-filtered", text !== "");
      this.at("empty").firstElementChild.textContent = text ? "No request passes this filter yet." : "No requests yet. Send one, and it appears here at once.";
    }
    pause(paused) {
      this.hold(paused);
      this.setState(paused ? "paused" : "live");
      this.steer({ paused });
    }
    hold(paused) {
      if (paused !== this.paused || !paused) this.at("pause").textContent = paused ? "Resume" : "Pause";
      this.paused = paused;
      this.at("pause").setAttribute("aria-pressed", paused);
      this.mark("paused", paused ? `${this.boot}-${this.seen}` : "");
    }
    help(open = !this.at("help").open) {
      if (open) this.at("help").showModal(); else this.at("help").close();
    }
    theme(name) {
      this.chosen = name;
      keepAt("reqscope-theme", name);
      const dark = name === "dark" || (name === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
      document.body.classList.toggle("dark", dark);
      const [sign, word] = { system: ["◐ ", "Auto"], light: ["☀ ", "Light"], dark: ["☾ ", "Dark"] }[name] ?? ["◐ ", "Auto"];
      this.at("theme").replaceChildren(sign, roomy(word));
      this.charts.redraw();
    }
    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || this.at("stub-dialog").open) return;
      const target = event.target;
      if (this.at("help").open) return event.key === "?" ? this.help(false) : undefined; // Esc closes it by itself
      if (event.key === "Escape" && !this.at("option-box").hidden) return this.options.toggle(false);
      if (event.key === "Escape") {
        this.detail.close();
        if (target === this.at("filter")) { event.preventDefault(); target.blur(); } // browsers would clear what is typed
        return;
      }
      if (target.closest("input, textarea, select, [contenteditable]")) return;
      if (event.key === " " && target.closest("button")) return; // presses that
      const act = { " ": () => this.pause(!this.paused), j: () => this.table.move(1), k: () => this.table.move(-1), "/": () => this.at("filter").focus(), "?": () => this.help() }[event.key];
      if (act) { event.preventDefault(); act(); }
    }
  }

  // Asks for a request as a form, or sends it again with `edits`; what is wrong is in the answer's `error`.
  async function replayOf(id, edits) {
    const post = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(edits) };
    try {
      const answer = await fetch(`api/events/${encodeURIComponent(id)}/replay`, edits && post), content = await answer.json();
      return answer.ok ? content : { error: content.detail };
    } catch { return { error: "the connection is down" }; }
  }
  // The functions of the server, which fail where a request does: Gradio only warns on the console, and answers nothing.
  function failing(server) {
    const fails = (name) => async (...given) => {
      const answer = await server[name](...given);
      if (answer === undefined) throw new Error("the connection is down");
      return answer;
    };
    return Object.fromEntries(["steer", "detail", "copy_as", "complete"].map((name) => [name, fails(name)]));
  }
  // A part of a button's text that a phone has no room to show.
  function roomy(text) { return Object.assign(document.createElement("span"), { className: "rq-roomy", textContent: text }); }
  function gapText(frame) {
    if (frame.missed) return `${count.format(frame.missed + frame.hidden)} requests are missing here: the ring had evicted them, or they were too many to show`;
    return frame.hidden ? `${count.format(frame.hidden)} more requests here, too many to show one by one` : null;
  }
  // As much of the text as fits on a phone, and below it a mark at the place.
  function pointAt(text, position) {
    const start = Math.max(0, position - 20);
    return `${start ? "…" : ""}${text.slice(start, position + 24)}\n${" ".repeat(position - start + (start ? 1 : 0))}^`;
  }
  function takeLeft() {
    try {
      const left = JSON.parse(sessionStorage.getItem(LEFT));
      sessionStorage.removeItem(LEFT);
      return left;
    } catch { return null; } // a browser that keeps nothing
  }
  function keepLeft(left) {
    try { sessionStorage.setItem(LEFT, JSON.stringify(left)); } catch { /* a browser that keeps nothing */ }
  }
  function noticesOf(counts) {
    const lost = count.format(counts.lost), notices = [];
    if (counts.failing.length) notices.push(`The log cannot be written to ${counts.failing.join(", ")}. Requests are not affected; ${lost} lines are lost so far.`);
    else if (counts.lost) notices.push(`${lost} log lines were lost, because the log did not keep up or could not be written.`);
    if (!counts.capturing) notices.push(`Capture is switched off for half a minute, because it failed too often: ${counts.last}. Requests are not affected; ${count.format(counts.skipped)} passed unseen so far.`);
    else if (counts.faults) notices.push(`Capture failed ${count.format(counts.faults)} times. Requests are not affected. The latest: ${counts.last}.`);
    if (counts.partial) notices.push(counts.partial);
    if (counts.workers) notices.push(...workerNotices(counts.workers));
    return notices;
  }
  function workerNotices({ reporting, expected, missing, lost, losses, unreadable, failing }) {
    const notices = [];
    if (failing) notices.push(`What the workers capture cannot be read: ${failing}.`);
    if (missing.length) notices.push(`${reporting} of ${expected} workers are reporting; not heard from: ${missing.join(", ")}. What they had not handed over is not here.`);
    if (lost) notices.push(`${count.format(lost)} requests were captured and never came here: ${losses.map(([worker, boot, each]) => `${count.format(each)} of worker ${worker} (${boot})`).join(", ")}.`);
    if (unreadable) notices.push(`${count.format(unreadable)} batches could not be read: do all workers run the same version?`);
    return notices;
  }

  window.reqscope.start = function (element, props, server, trigger, watch) {
    const page = new Page(element, props, server, trigger);
    const take = () => { if (props.value) page.receive(JSON.parse(props.value)); };
    watch("value", take);
    take();
    window.reqscope.quiet();
  };
})();
