// The page of load-test runs: those that are live, as they go, and those that are kept. Captured text is only ever set as text.
(function () {
  "use strict";
  const ORIGINS = { api: "begun by API", observe: "reqscope observe", panel: "begun here", header: "by header", baggage: "by baggage", trace: "by trace", "user-agent": "recognised", signature: "recognised" };
  const VERDICTS = { passed: ["passed", "rq-2"], failed: ["failed", "rq-5"], unclear: ["unclear", "rq-4"] };
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const ms = (seconds) => (seconds === null ? "–" : globalThis.reqscope.formatDuration(seconds * 1000));
  const share = (part, whole) => (part ? `${part * 100 >= whole ? ((100 * part) / whole).toFixed(1) : ((100 * part) / whole).toPrecision(2)} %` : "0 %");
  const count = (value) => globalThis.reqscope.count.format(Math.round(value));
  const address = (run, format) => `api/runs/${encodeURIComponent(run.id)}/report?format=${format}`;

  class Runs {
    // `again` shows the same once more, `refresh` asks for the page as it is now.
    constructor(again, refresh) {
      this.again = again; this.refresh = refresh;
      this.picked = new Set(); // ids of runs to compare, the first being what others are held to
      this.label = "";
      this.admin = true; // whether who looks may begin and end runs
      this.problem = "";
    }
    // `table` makes one with such headings, `scroller` lets one scroll that is wider than the page.
    show(content, table, scroller) {
      const parts = [this.bar(content)];
      for (const run of content.live) parts.push(this.live(run, table));
      if (content.past.length) parts.push(scroller(this.past(content.past, table)));
      else if (!content.live.length) parts.push(make("p", "No runs yet. Begin one here, or run: reqscope observe -- wrk -d10s http://…", "rq-none"));
      return parts;
    }
    bar(content) {
      const form = make("form", undefined, "rq-runs-bar"), input = form.appendChild(make("input"));
      Object.assign(input, { type: "text", placeholder: "Label of a new run", maxLength: 200, value: this.label });
      input.dataset.focus = "run-label"; input.setAttribute("aria-label", "Label of a new run");
      input.oninput = () => { this.label = input.value; };
      const begin = form.appendChild(make("button", "Begin a run"));
      input.disabled = begin.disabled = !this.admin;
      if (!this.admin) form.append(make("span", "Only an admin may begin and end runs.", "rq-soft"));
      begin.type = "submit"; begin.dataset.focus = "run-begin";
      form.onsubmit = (event) => { event.preventDefault(); this.call("POST", "api/runs", { label: this.label.trim(), origin: "panel" }).then((done) => { if (done) this.label = ""; }); };
      const known = [...this.picked].filter((id) => content.past.some((run) => run.id === id));
      const compare = form.appendChild(make("a", "Compare the chosen", "rq-link"));
      compare.target = "_blank"; compare.rel = "noopener"; compare.hidden = known.length < 2;
      compare.href = `api/runs/compare?format=html&${known.map((id) => `run=${encodeURIComponent(id)}`).join("&")}`;
      if (this.problem) { const text = form.appendChild(make("p", this.problem, "rq-problem")); text.setAttribute("role", "alert"); }
      return form;
    }
    live(run, table) {
      const card = make("article", undefined, "rq-run"), head = card.appendChild(make("header"));
      card.dataset.run = run.id;
      if (run.verdict) card.dataset.verdict = run.verdict;
      head.append(make("h2", run.label), make("span", [run.tool, ORIGINS[run.origin], `${run.span.toFixed(0)} s`].filter(Boolean).join(" · "), "rq-soft"));
      const end = make("button", "End");
      if (this.admin) head.append(end);
      end.type = "button"; end.dataset.focus = "end" + run.id; end.onclick = () => this.call("POST", `api/runs/${encodeURIComponent(run.id)}/end`, {});
      const figures = card.appendChild(make("dl"));
      for (const [name, text] of [["Requests", count(run.requests)], ["Per second", count(run.rate)], ["p50", ms(run.p50)], ["p95", ms(run.p95)], ["p99", ms(run.p99)], ["Max", ms(run.maximum)], ["Errors", share(run.errors, run.requests)], ["Not counted", count(run.lost)]]) {
        const pair = figures.appendChild(make("div"));
        pair.append(make("dt", name), make("dd", text, name === "Errors" && run.errors ? "rq-5" : undefined));
      }
      if (run.results.length) {
        const list = card.appendChild(make("ul"));
        for (const result of run.results) {
          const item = list.appendChild(make("li")), [text, tone] = VERDICTS[result.judgement];
          item.append(make("b", text, tone), make("span", result.threshold), make("span", result.detail, "rq-soft"));
        }
      }
      if (run.routes.length) {
        const routes = card.appendChild(table(["Route", "Requests", "Errors", "p50", "p95"]));
        for (const [name, requests, errors, p50, p95] of run.routes) {
          const line = routes.tBodies[0].insertRow();
          line.append(make("td", name), make("td", count(requests)), make("td", share(errors, requests), errors ? "rq-5" : undefined), make("td", ms(p50)), make("td", ms(p95)));
        }
      }
      return card;
    }
    past(runs, table) {
      const list = table(["Compare", "Run", "Began", "Tool", "Requests", "Per second", "p95", "Errors", "Verdict", "Report"]);
      for (const run of runs) {
        const line = list.tBodies[0].insertRow(), pick = make("input");
        pick.type = "checkbox"; pick.checked = this.picked.has(run.id); pick.dataset.focus = "pick" + run.id; pick.setAttribute("aria-label", `Compare ${run.label}`);
        pick.onchange = () => { if (pick.checked) this.picked.add(run.id); else this.picked.delete(run.id); this.again(); };
        line.insertCell().append(pick);
        const name = line.insertCell();
        name.append(run.label + " ");
        for (const baseline of run.baselines) name.append(make("span", `baseline ${baseline}`, "rq-tag"), " ");
        if (run.state !== "ended") name.append(make("span", run.state, "rq-tag"));
        line.append(make("td", new Date(run.started * 1000).toLocaleString(undefined, { dateStyle: "short", timeStyle: "medium", hour12: false })), make("td", run.tool));
        line.append(make("td", count(run.requests)), make("td", count(run.rate)), make("td", ms(run.p95)), make("td", share(run.errors, run.requests), run.errors ? "rq-5" : undefined));
        const [text, tone] = VERDICTS[run.verdict] ?? ["–", undefined];
        line.append(make("td", text, tone));
        const links = line.insertCell();
        for (const [title, format] of [["Report", "html"], ["CSV", "csv"], ["JSON", "json"]]) {
          const link = links.appendChild(make("a", title));
          link.href = address(run, format);
          if (format === "html") { link.target = "_blank"; link.rel = "noopener"; }
        }
      }
      return list;
    }
    async call(method, where, content) {
      try {
        const answer = await fetch(where, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(content) });
        this.problem = answer.ok ? "" : (await answer.json()).detail;
      } catch { this.problem = "the connection is down"; }
      this.again();
      this.refresh();
      return !this.problem;
    }
  }

  window.reqscope.Runs = Runs;
})();
