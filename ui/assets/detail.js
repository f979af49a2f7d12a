// The drawer: all of one event, fetched when it is opened. Captured text is only ever set as text.
(function () {
  "use strict";
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const button = (text, act) => {
    const element = make("button", text);
    element.type = "button"; element.onclick = act;
    return element;
  };
  const COMMANDS = [["curl", "cURL"], ["httpie", "HTTPie"], ["httpx", "httpx"]];

  class Detail {
    // `fetchEvent` and `copyAs` ask the server, `onOpen` and `onClose` are told, `onFilter` goes to what is related,
    // `onDraft`, where a service is mocked, begins a stub for such requests.
    constructor(box, { fetchEvent, copyAs, onOpen, onClose, onFilter, onDraft }) {
      Object.assign(this, { box, fetchEvent, copyAs, onOpen, onClose, onFilter, onDraft });
      this.wanted = null;
      this.tab = "Overview"; // the tab that was chosen last stays chosen for the next event
    }
    get isOpen() { return !this.box.hidden; }
    async open(id) {
      this.wanted = id;
      let text;
      try { text = await this.fetchEvent(id); } catch { text = undefined; }
      if (this.wanted !== id) return; // another one was asked for in the meantime
      this.box.hidden = false;
      this.onOpen(id);
      if (text === undefined) this.say(id, "It could not be fetched: the connection is down.");
      else if (text === null) this.say(id, "The ring has evicted this event. Raise the capacity to keep more.");
      else this.show(JSON.parse(text));
      this.box.scrollTop = 0;
    }
    close() { if (this.isOpen) { this.wanted = null; this.box.hidden = true; this.onClose(); } }
    header(title) {
      const header = make("header"), close = button("Close", () => this.close());
      close.title = "Esc";
      header.append(make("h2", title), close);
      return header;
    }
    say(id, sentence) { this.box.replaceChildren(this.header("Event " + id), make("p", sentence)); }
    show(event) {
      const title = [event["http.request.method"] ?? event.event, event["url.path"] ?? ""].join(" ");
      const tabs = [["Overview", this.overview(event)], ["Request", this.request(event)], ["Response", this.response(event)]];
      if (event.logs?.length) tabs.push([`Logs ${event.logs.length}`, [this.lines(event.logs)]]);
      tabs.push(["Related", this.related(event)], ["Raw", [make("pre", pretty(JSON.stringify(event)))]]);
      this.box.replaceChildren(this.header(title), this.actions(event), ...this.tabs(tabs));
    }
    tabs(tabs) {
      const list = make("div", undefined, "rq-tabs"), panels = [];
      list.setAttribute("role", "tablist"); list.setAttribute("aria-label", "Parts of the event");
      const choose = (chosen, focus) => {
        this.tab = tabs[chosen][0].split(" ")[0];
        [...list.children].forEach((tab, i) => {
          tab.setAttribute("aria-selected", i === chosen); tab.tabIndex = i === chosen ? 0 : -1;
          panels[i].hidden = i !== chosen;
        });
        if (focus) list.children[chosen].focus();
      };
      tabs.forEach(([name, parts], i) => {
        const tab = list.appendChild(button(name, () => choose(i))), panel = make("section");
        tab.setAttribute("role", "tab"); tab.id = `rq-tab-${i}`; tab.setAttribute("aria-controls", `rq-panel-${i}`);
        panel.setAttribute("role", "tabpanel"); panel.id = `rq-panel-${i}`; panel.setAttribute("aria-labelledby", tab.id); panel.tabIndex = 0;
        panel.append(...parts);
        panels.push(panel);
      });
      list.onkeydown = (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], now = [...list.children].indexOf(document.activeElement);
        if (step) { event.preventDefault(); choose((now + step + tabs.length) % tabs.length, true); }
      };
      choose(Math.max(0, tabs.findIndex(([name]) => name.split(" ")[0] === this.tab)));
      return [list, ...panels];
    }
    actions(event) {
      const row = make("div", undefined, "rq-choose"), said = make("span", "", "rq-soft");
      said.setAttribute("role", "status");
      if (event.event === "request" || event.event === "log") {
        row.append(make("span", "Copy as"));
        for (const [kind, label] of COMMANDS) row.append(button(label, async () => {
          const answer = await this.copyAs(event.id, kind).catch(() => null);
          said.textContent = answer?.text ? await copied(answer.text) : answer?.error ?? "It could not be copied: the connection is down.";
        }));
      }
      if (this.onDraft && event.event === "request") row.append(button("Create a stub", () => this.onDraft(event.id)));
      row.append(button("Link", async () => { said.textContent = await copied(location.href); }), said);
      return row;
    }
    overview(event) {
      const { formatDuration } = window.reqscope;
      const ms = (seconds) => (seconds === undefined ? undefined : formatDuration(seconds * 1000));
      const parts = [this.table([
        ["Status", event["http.response.status_code"] ?? "none"], ["Error", event["error.type"]], ["Time", event.timestamp], ["Route", event["http.route"]], ["Stub", event.stub],
        ["Query", event["url.query"]], ["Client", event["client.address"]], ["Host", event["server.address"]], ["HTTP", event["network.protocol.version"]],
        ["Request id", event.request_id], ["Trace", event.trace_id], ["Parent span", event.span_id], ["Event", event.id],
      ])];
      parts.push(make("h3", "Time in the application"), this.table([
        ["First byte", ms(event.ttfb)], [event.event === "websocket" ? "Closed" : "Last byte", ms(event.duration)], ["Returned", ms(event.app_duration)],
      ]));
      if (event.event === "websocket") parts.push(make("h3", "WebSocket"), this.table([
        ["Received", `${event["websocket.messages.received"] ?? 0} messages`], ["Sent", `${event["websocket.messages.sent"] ?? 0} messages`], ["Close code", event["websocket.close_code"]],
      ]));
      if (event["exception.stacktrace"] !== undefined) parts.push(make("h3", "Exception"), this.traceback(event["exception.stacktrace"]));
      if (event.body !== undefined) parts.push(make("h3", "Body"), make("pre", pretty(event.body)));
      else if (event.body_base64 !== undefined) parts.push(make("h3", "Body, base64"), make("pre", event.body_base64));
      return parts;
    }
    request(event) { return this.half("Request", event["http.request.body.size"], event["http.request.headers"], event["http.request.body"]); }
    response(event) { return this.half("Response", event["http.response.body.size"], event["http.response.headers"], event["http.response.body"]); }
    half(title, size = 0, headers = [], body) {
      const { formatSize } = window.reqscope;
      const parts = [this.table([["Body size", formatSize(size)], ...headers])];
      if (!body) return parts;
      const part = body.captured < size ? `, ${formatSize(body.captured)} of ${formatSize(size)} captured` : "";
      parts.push(make("h3", `${title} body${body.base64 === undefined ? "" : ", base64"}${part}`));
      parts.push(body.withheld ? make("p", `Withheld: ${body.withheld}.`) : make("pre", body.base64 ?? pretty(body.text ?? "")));
      return parts;
    }
    related(event) {
      const { term } = window.reqscope;
      const same = [
        ["the same trace", event.trace_id && term("trace", event.trace_id)],
        ["the same client", event["client.address"] && term("client", event["client.address"])],
        ["the same route", event["http.route"] && term("route", event["http.route"])],
        ["the same path", event["url.path"] && term("path", event["url.path"])],
        ["the same stub", event.stub && term("stub", event.stub)],
        ["the same error", event["error.type"] && term("error", event["error.type"])],
      ];
      const list = make("ul", undefined, "rq-related");
      for (const [what, filter] of same) {
        if (!filter) continue;
        const item = list.appendChild(make("li")), go = item.appendChild(button(`Show ${what}`, () => this.onFilter(filter)));
        go.className = "rq-link";
        item.append(make("code", filter));
      }
      return [list];
    }
    traceback(text) {
      const pre = make("pre", text);
      pre.tabIndex = 0;
      requestAnimationFrame(() => { pre.scrollTop = pre.scrollHeight; }); // where it was raised is at the end
      return pre;
    }
    lines(logs) {
      const list = make("ol", undefined, "rq-lines");
      for (const line of logs) {
        const item = list.appendChild(make("li"));
        item.append(make("time", line.timestamp.slice(11, 23)), " ", make("b", line.level, `rq-level-${line.level}`), " ", make("span", line.logger), " ", line.message);
      }
      return list;
    }
    table(pairs) {
      const table = make("table"), body = table.appendChild(make("tbody"));
      for (const [name, value] of pairs) {
        if (value === undefined || value === "") continue;
        const row = body.appendChild(make("tr")), head = row.appendChild(make("th", name));
        head.scope = "row";
        row.appendChild(make("td", String(value)));
      }
      return table;
    }
  }

  // The clipboard is there on secure origins only, and a panel on another machine's plain HTTP is none.
  async function copied(text) {
    try { await navigator.clipboard.writeText(text); return "Copied."; } catch { /* the old way, below */ }
    const area = document.body.appendChild(make("textarea"));
    area.value = text;
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done ? "Copied." : "The browser does not let this page copy.";
  }

  // Indents JSON without reading its values, so that a number JavaScript cannot hold, or a key that comes twice, stays.
  function pretty(text) {
    if (!/^\s*[[{]/.test(text)) return text;
    try { JSON.parse(text); } catch { return text; }
    let out = "", depth = 0;
    const line = () => "\n" + "  ".repeat(depth);
    const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
    tokens.forEach((token, i) => {
      const empty = "]}".includes(tokens[i + 1]) && tokens[i + 1] !== undefined;
      if (token === "{" || token === "[") { out += token; if (!empty) { depth++; out += line(); } }
      else if (token === "}" || token === "]") { if (!"{[".includes(tokens[i - 1])) { depth--; out += line(); } out += token; }
      else if (token === ",") out += token + line();
      else out += token === ":" ? ": " : token;
    });
    return out;
  }

  window.reqscope.Detail = Detail;
})();
