// The drawer: all of one event, fetched when it is opened.
(function () {
  "use strict";
  const make = (name, text) => { const element = document.createElement(name); if (text !== undefined) element.textContent = text; return element; };

  class Detail {
    constructor(box, fetchEvent, onClose) { this.box = box; this.fetchEvent = fetchEvent; this.onClose = onClose; this.wanted = null; }
    get isOpen() { return !this.box.hidden; }
    async open(id) {
      this.wanted = id;
      let text;
      try { text = await this.fetchEvent(id); } catch { text = undefined; }
      if (this.wanted !== id) return; // another one was asked for in the meantime
      this.box.hidden = false;
      if (text === undefined) this.say(id, "It could not be fetched: the connection is down.");
      else if (text === null) this.say(id, "The ring has evicted this event. Raise the capacity to keep more.");
      else this.show(JSON.parse(text));
      this.box.scrollTop = 0;
    }
    close() { if (this.isOpen) { this.wanted = null; this.box.hidden = true; this.onClose(); } }
    header(title) {
      const header = make("header"), close = make("button", "Close");
      close.type = "button"; close.title = "Esc"; close.onclick = () => this.close();
      header.append(make("h2", title), close);
      return header;
    }
    say(id, sentence) { this.box.replaceChildren(this.header("Event " + id), make("p", sentence)); }
    show(event) {
      const { formatDuration } = window.reqscope;
      const ms = (seconds) => (seconds === undefined ? undefined : formatDuration(seconds * 1000));
      const status = event["http.response.status_code"];
      const title = [event["http.request.method"] ?? event.event, event["url.path"] ?? ""].join(" ");
      const parts = [this.header(title)];
      parts.push(this.table([
        ["Status", status ?? "none"], ["Error", event["error.type"]], ["Time", event.timestamp], ["Route", event["http.route"]],
        ["Query", event["url.query"]], ["Client", event["client.address"]], ["Host", event["server.address"]], ["HTTP", event["network.protocol.version"]],
        ["Request id", event.request_id], ["Trace", event.trace_id], ["Parent span", event.span_id], ["Event", event.id],
      ]));
      parts.push(make("h3", "Time in the application"), this.table([
        ["First byte", ms(event.ttfb)], [event.event === "websocket" ? "Closed" : "Last byte", ms(event.duration)], ["Returned", ms(event.app_duration)],
      ]));
      if (event.event === "websocket") parts.push(make("h3", "WebSocket"), this.table([
        ["Received", `${event["websocket.messages.received"] ?? 0} messages`], ["Sent", `${event["websocket.messages.sent"] ?? 0} messages`], ["Close code", event["websocket.close_code"]],
      ]));
      if (event["exception.stacktrace"] !== undefined) parts.push(make("h3", "Exception"), this.traceback(event["exception.stacktrace"]));
      if (event.logs?.length) parts.push(make("h3", "Logs"), this.lines(event.logs));
      this.half(parts, "Request", event["http.request.body.size"], event["http.request.headers"], event["http.request.body"]);
      if (event.body !== undefined) parts.push(make("h3", "Body"), make("pre", pretty(event.body)));
      else if (event.body_base64 !== undefined) parts.push(make("h3", "Body, base64"), make("pre", event.body_base64));
      this.half(parts, "Response", event["http.response.body.size"], event["http.response.headers"], event["http.response.body"]);
      this.box.replaceChildren(...parts);
    }
    half(parts, title, size = 0, headers = [], body) {
      const { formatSize } = window.reqscope;
      parts.push(make("h3", title), this.table([["Body size", formatSize(size)], ...headers]));
      if (!body) return;
      const part = body.captured < size ? `, ${formatSize(body.captured)} of ${formatSize(size)} captured` : "";
      parts.push(make("h3", `${title} body${body.base64 === undefined ? "" : ", base64"}${part}`));
      parts.push(body.withheld ? make("p", `Withheld: ${body.withheld}.`) : make("pre", body.base64 ?? pretty(body.text ?? "")));
    }
    traceback(text) {
      const pre = make("pre", text);
      pre.tabIndex = 0;
      requestAnimationFrame(() => { pre.scrollTop = pre.scrollHeight; }); // where it was raised is at the end
      return pre;
    }
    lines(logs) {
      const list = make("ol");
      list.className = "rq-lines";
      for (const line of logs) {
        const item = list.appendChild(make("li")), level = make("b", line.level);
        level.className = `rq-level-${line.level}`;
        item.append(make("time", line.timestamp.slice(11, 23)), " ", level, " ", make("span", line.logger), " ", line.message);
      }
      return list;
    }
    table(pairs) {
      const table = make("table"), body = table.appendChild(make("tbody"));
      for (const [name, value] of pairs) {
        if (value === undefined) continue;
        const row = body.appendChild(make("tr")), head = row.appendChild(make("th", name));
        head.scope = "row";
        row.appendChild(make("td", String(value)));
      }
      return table;
    }
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
