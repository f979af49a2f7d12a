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
      const { formatDuration, formatSize } = window.reqscope;
      const ms = (seconds) => (seconds === undefined ? undefined : formatDuration(seconds * 1000));
      const status = event["http.response.status_code"];
      const title = [event["http.request.method"] ?? event.event, event["url.path"] ?? ""].join(" ");
      const parts = [this.header(title)];
      parts.push(this.table([
        ["Status", status ?? "none"], ["Error", event["error.type"]], ["Time", event.timestamp], ["Route", event["http.route"]],
        ["Query", event["url.query"]], ["Client", event["client.address"]], ["HTTP", event["network.protocol.version"]],
        ["Event", event.id],
      ]));
      parts.push(make("h3", "Time in the application"), this.table([
        ["First byte", ms(event.ttfb)], ["Last byte", ms(event.duration)], ["Returned", ms(event.app_duration)],
      ]));
      parts.push(make("h3", "Request"), this.table([["Body size", formatSize(event["http.request.body.size"] ?? 0)], ...(event["http.request.headers"] ?? [])]));
      if (event.body !== undefined) parts.push(make("h3", "Request body"), make("pre", pretty(event.body)));
      else if (event.body_base64 !== undefined) parts.push(make("h3", "Request body, base64"), make("pre", event.body_base64));
      parts.push(make("h3", "Response"), this.table([["Body size", formatSize(event["http.response.body.size"] ?? 0)], ...(event["http.response.headers"] ?? [])]));
      this.box.replaceChildren(...parts);
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
