// Two exchanges side by side: what differs is marked, what is equal folds away.
(function () {
  "use strict";
  const { make, pretty, formatDuration, formatSize } = window.reqscope;
  const LINES = 400; // lines of each body that are matched with one another; a longer one is compared line by line
  const NOT_COMPARED = ["x-reqscope-replay", "connection"]; // one is the replay's mark, the other is between a client and a server

  // `before` and `after` are events as their detail has them. Returns elements.
  function compare(before, after) {
    const ms = (seconds) => (seconds === undefined ? "–" : formatDuration(seconds * 1000));
    const both = (name, read) => [name, read(before), read(after)];
    const answer = [
      both("Status", (event) => String(event["http.response.status_code"] ?? "none")), both("Error", (event) => event["error.type"] ?? "none"),
      both("Body size", (event) => formatSize(event["http.response.body.size"] ?? 0)),
      ...[["First byte", "ttfb"], ["Last byte", "duration"], ["Returned", "app_duration"]].map(([name, clock]) => [...both(name, (event) => ms(event[clock])), true]),
    ];
    const request = [
      both("Method", (event) => event["http.request.method"] ?? ""), both("Path", (event) => event["url.path"] ?? ""), both("Query", (event) => event["url.query"] ?? ""),
      ...headers(before["http.request.headers"], after["http.request.headers"]),
    ];
    return [
      part("Answer", table(answer)),
      part("Request", ...folded(request)),
      part("Response headers", ...folded(headers(before["http.response.headers"], after["http.response.headers"]))),
      part("Request body", ...bodies("http.request.body", before, after)),
      part("Response body", ...bodies("http.response.body", before, after)),
    ];
  }

  function part(title, ...elements) {
    const section = make("section", undefined, "rq-compare");
    section.append(make("h3", title), ...elements);
    return section;
  }
  // Rows of a name and two values, headed by which is which. `never` the same, as clocks are, is no difference.
  function table(rows) {
    const table = make("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    head.append(make("td"));
    for (const text of ["Original", "Replay"]) { const cell = head.appendChild(make("th", text)); cell.scope = "col"; }
    for (const [name, one, other, never] of rows) {
      const row = body.insertRow(), title = row.appendChild(make("th", name));
      title.scope = "row";
      if (one !== other && !never) { row.className = "rq-differs"; title.append(" ", label("≠", "differs")); }
      row.append(make("td", one ?? "–"), make("td", other ?? "–"));
    }
    return table;
  }
  function label(sign, meaning) {
    const element = make("b", sign);
    element.title = meaning; element.setAttribute("role", "img"); element.setAttribute("aria-label", meaning);
    return element;
  }
  function folded(rows) {
    const [equal, different] = [rows.filter(([, one, other]) => one === other), rows.filter(([, one, other]) => one !== other)];
    return [different.length ? table(different) : make("p", "No difference."), ...fold(`${equal.length} equal`, equal.length && table(equal))];
  }
  function fold(title, element) {
    if (!element) return [];
    const details = make("details");
    details.append(make("summary", title), element);
    return [details];
  }
  // Headers by name; those that come more than once, one after another.
  function headers(before = [], after = []) {
    const names = [...new Set([...before, ...after].map(([name]) => name.toLowerCase()))].filter((name) => !NOT_COMPARED.includes(name));
    const value = (pairs, name) => pairs.filter(([each]) => each.toLowerCase() === name).map(([, each]) => each).join("\n") || undefined;
    return names.map((name) => [name, value(before, name), value(after, name)]);
  }
  function bodies(name, before, after) {
    const texts = [before, after].map((event) => textOf(event[name], event[`${name}.size`]));
    const lost = texts.find((text) => text.reason);
    if (lost) return [make("p", lost.reason)];
    const [one, other] = texts.map((text) => text.value);
    if (one === other) return one ? [make("p", "No difference."), ...fold("Show it", make("pre", one))] : [make("p", "There is none.")];
    return [sideBySide(one.split("\n"), other.split("\n"))];
  }
  function textOf(body, size = 0) {
    if (!body) return size ? { reason: "Not kept, so there is nothing to compare: REQSCOPE_BODIES=all keeps bodies." } : { value: "" };
    return body.withheld ? { reason: `Withheld: ${body.withheld}.` } : { value: body.base64 ?? pretty(body.text ?? "") };
  }
  function sideBySide(one, other) {
    const table = make("table", undefined, "rq-lines-compared"), body = table.createTBody();
    for (const [left, right] of aligned(one, other)) {
      const row = body.insertRow();
      row.append(line(left, left !== right && "−", "only in the original"), line(right, left !== right && "+", "only in the replay"));
    }
    return table;
  }
  function line(text, sign, meaning) {
    const cell = make("td");
    if (text === undefined) return cell;
    if (sign) { cell.className = sign === "+" ? "rq-in" : "rq-out"; cell.append(label(sign, meaning), " "); }
    cell.append(text);
    return cell;
  }
  // Pairs of lines that stand side by side; undefined where there is none. By the longest common subsequence.
  function aligned(one, other) {
    if (one.length > LINES || other.length > LINES) return Array.from({ length: Math.max(one.length, other.length) }, (_, i) => [one[i], other[i]]);
    const longest = Array.from({ length: one.length + 1 }, () => new Uint16Array(other.length + 1));
    for (let i = one.length - 1; i >= 0; i--) for (let j = other.length - 1; j >= 0; j--) {
      longest[i][j] = one[i] === other[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
    const pairs = [], left = [], right = [];
    const flush = () => { while (left.length || right.length) pairs.push([left.shift(), right.shift()]); };
    for (let i = 0, j = 0; i < one.length || j < other.length;) {
      if (i < one.length && j < other.length && one[i] === other[j]) { flush(); pairs.push([one[i++], other[j++]]); }
      else if (j >= other.length || (i < one.length && longest[i + 1][j] >= longest[i][j + 1])) left.push(one[i++]);
      else right.push(other[j++]);
    }
    flush();
    return pairs;
  }

  window.reqscope.compare = compare;
})();
