// The drawer: all of one event, fetched when it is opened. Captured text is only ever set as text.
(function () {
  "use strict";
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    if (name === "pre") element.tabIndex = 0; // it may scroll, also by keyboard
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
    // `replay`, where requests can be sent again, is what `Resend` needs for that, and `onDraft`, where a service is
    // mocked, begins a stub for such requests.
    constructor(box, { fetchEvent, copyAs, onOpen, onClose, onFilter, replay, onDraft }) {
      Object.assign(this, { box, fetchEvent, copyAs, onOpen, onClose, onFilter, onDraft });
      this.resend = replay ? new window.reqscope.Resend(replay, (sent) => this.open(sent, true)) : null;
      this.wanted = null;
      this.tab = "Overview"; // the tab that was chosen last stays chosen for the next event
    }
    get isOpen() { return !this.box.hidden; }
    // `compared`: a replay beside what it is a replay of.
    async open(id, compared = false) {
      this.wanted = id;
      let text;
      try { text = await this.fetchEvent(id); } catch { text = undefined; }
      if (this.wanted !== id) return; // another one was asked for in the meantime
      const inside = this.box.contains(document.activeElement);
      this.box.hidden = false;
      this.onOpen(id);
      if (text === undefined) this.say(id, "It could not be fetched: the connection is down.");
      else if (text === null) this.say(id, "The ring has evicted this event. Raise the capacity to keep more.");
      else this.show(JSON.parse(text));
      if (inside) this.focus();
      this.box.scrollTop = 0;
      if (text && compared) await this.compare(JSON.parse(text));
    }
    // Where the keyboard goes on: the chosen tab, or all of it where there is none.
    focus() { (this.box.querySelector('[role="tab"][aria-selected="true"]') ?? this.box).focus(); }
    close() { if (this.isOpen) { this.wanted = null; this.box.hidden = true; this.box.classList.remove("rq-wide"); this.onClose(); } }
    header(title) {
      const header = make("header"), close = button("Close", () => this.close());
      close.title = "Esc";
      this.box.classList.remove("rq-wide");
      header.append(make("h2", title), close);
      return header;
    }
    say(id, sentence) { this.box.replaceChildren(this.header("Event " + id), make("p", sentence)); }
    show(event) {
      const title = [event["http.request.method"] ?? event.event, event["url.path"] ?? ""].join(" ");
      const tabs = [["Overview", this.overview(event)], ["Request", this.request(event)], ["Response", this.response(event)]];
      if (event.logs?.length) tabs.push([`Logs ${event.logs.length}`, [this.lines(event.logs)]]);
      tabs.push(["Related", this.related(event)], ["Raw", [make("pre", pretty(JSON.stringify(event)))]]);
      this.parts = make("div");
      this.parts.append(...this.tabs(tabs));
      this.box.replaceChildren(this.header(title), this.actions(event), this.parts);
    }
    // What stands in the place of the tabs, until the event is shown anew.
    instead(wide, ...elements) {
      this.box.classList.toggle("rq-wide", wide);
      this.parts.replaceChildren(...elements);
    }
    async compare(event) {
      const text = await this.fetchEvent(event.replay_of).catch(() => undefined);
      if (this.wanted !== event.id) return;
      const gone = text === undefined ? "It could not be fetched: the connection is down." : "The ring has evicted the original.";
      const back = make("div", undefined, "rq-choose");
      back.append(make("b", "The original and the replay, side by side"), button("Back to the replay", () => this.open(event.id)));
      this.instead(Boolean(text), back, ...(text ? window.reqscope.compare(JSON.parse(text), event) : [make("p", gone)]));
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
      if ((event.event === "request" || event.event === "log") && event["http.request.method"]) {
        row.append(make("span", "Copy as"));
        for (const [kind, label] of COMMANDS) row.append(button(label, async () => {
          const answer = await this.copyAs(event.id, kind).catch(() => null);
          said.textContent = answer?.text ? await copied(answer.text) : answer?.error ?? "It could not be copied: the connection is down.";
        }));
      }
      if (this.onDraft && event.event === "request") row.append(button("Create a stub", () => this.onDraft(event.id)));
      row.append(button("Link", async () => { said.textContent = await copied(location.href); }));
      if (this.resend && event.event === "request") row.append(...this.resend.buttons(event, {
        say: (sentence) => { said.textContent = sentence; },
        show: (form) => this.instead(false, form),
        back: () => this.show(event),
      }));
      if (event.replay_of) row.append(button("Original", () => this.open(event.replay_of)), button("Compare", () => this.compare(event)));
      row.append(said);
      return row;
    }
    overview(event) {
      const { formatDuration } = window.reqscope;
      const ms = (seconds) => (seconds === undefined ? undefined : formatDuration(seconds * 1000));
      const parts = [];
      if (event["exception.stacktrace"] !== undefined) parts.push(make("h3", "Exception"), this.traceback(event["exception.stacktrace"])); // why somebody looks
      parts.push(this.table([
        ["Status", event["http.response.status_code"] ?? "none"], ["Error", event["error.type"]], ["Time", localTime(event.timestamp)], ["UTC", event.timestamp], ["Route", event["http.route"]], ["Stub", event.stub],
        ["Query", event["url.query"]], ["Client", event["client.address"]], ["Host", event["server.address"]], ["HTTP", event["network.protocol.version"]],
        ["Request id", event.request_id], ["Trace", event.trace_id], ["Span", event.span_id], ["Service", event["service.name"]], ["Event", event.id], ["Replay of", event.replay_of],
      ]));
      parts.push(make("h3", "Time in the application"), this.table([
        ["First byte", ms(event.ttfb)], [event.event === "websocket" ? "Closed" : "Last byte", ms(event.duration)], ["Returned", ms(event.app_duration)],
      ]));
      if (event.event === "websocket") parts.push(make("h3", "WebSocket"), this.table([
        ["Received", `${event["websocket.messages.received"] ?? 0} messages`], ["Sent", `${event["websocket.messages.sent"] ?? 0} messages`], ["Close code", event["websocket.close_code"]],
      ]));
      if (event.body !== undefined) parts.push(make("h3", "Body"), make("pre", pretty(event.body)));
      else if (event.body_base64 !== undefined) parts.push(make("h3", "Body, base64"), make("pre", event.body_base64));
      if (event.attributes !== undefined) parts.push(make("h3", "Attributes"), make("pre", pretty(event.attributes)));
      return parts;
    }
    request(event) { return this.half("Request", event["http.request.body.size"], event["http.request.headers"], event["http.request.body"]); }
    response(event) { return this.half("Response", event["http.response.body.size"], event["http.response.headers"], event["http.response.body"]); }
    half(title, size = 0, headers = [], body) {
      const { formatSize, readable } = window.reqscope;
      const parts = [this.table([["Body size", formatSize(size)], ...headers])];
      if (!body) return parts;
      const part = body.captured < size ? `, ${formatSize(body.captured)} of ${formatSize(size)} captured` : "";
      const [form, shown] = body.withheld ? ["", make("p", `Withheld: ${body.withheld}.`)] : readable(body, headers, this.table);
      return [...parts, make("h3", `${title} body${form}${part}`), shown];
    }
    related(event) {
      const { term } = window.reqscope;
      const same = [
        ["the same trace", event.trace_id && term("trace", event.trace_id)],
        ["the same client", event["client.address"] && term("client", event["client.address"])],
        ["the same service", event["service.name"] && term("service", event["service.name"])],
        ["the same route", event["http.route"] && term("route", event["http.route"])],
        ["the same path", event["url.path"] && term("path", event["url.path"])],
        ["the same stub", event.stub && term("stub", event.stub)],
        ["the same error", event["error.type"] && term("error", event["error.type"])],
        ["its replays", this.resend && event.event === "request" && term("replay", event.id)],
        ["all replays of the same request", event.replay_of && term("replay", event.replay_of)],
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
      const pre = make("pre", text, "rq-trace");
      requestAnimationFrame(() => { pre.scrollTop = pre.scrollHeight; }); // where it was raised is at the end
      return pre;
    }
    lines(logs) {
      const list = make("ol", undefined, "rq-lines");
      for (const line of logs) {
        const item = list.appendChild(make("li"));
        item.append(make("time", localTime(line.timestamp)), " ", make("b", line.level, `rq-level-${line.level}`), " ", make("span", [line.service, line.logger].filter(Boolean).join(" ")), " ", line.message);
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

  // As the table shows it: in the time of whoever looks.
  function localTime(timestamp) { return window.reqscope.formatTime(Date.parse(timestamp)); }

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

  Object.assign(window.reqscope, { Detail, copied, make, button, pretty });
})();
