// The page of stubs: what answers, how often it did, and what nothing answered. Whatever was captured is only ever set as text.
(function () {
  "use strict";
  const { count, term } = window.reqscope;
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const button = (text, act, focus) => {
    const element = make("button", text);
    element.type = "button"; element.onclick = act;
    if (focus) element.dataset.focus = focus;
    return element;
  };
  const NEW = "name: new stub\nrequest:\n  method: GET\n  path: /hello/{name}\nresponse:\n  status: 200\n  json:\n    hello: \"{{request.path.name}}\"\n";
  const ADMINS = "Only an admin may change stubs and try them.";
  const CHAOS = [["", "off"], ["0.1", "10 % of answers fail"], ["0.5", "half of the answers fail"], ["1", "all answers fail"]];

  // Ask the API; an answer that is no success is an Error in its words.
  async function ask(method, path, body) {
    let answer;
    try { answer = await fetch(`api/stubs${path}`, { method, body }); } catch { throw new Error("The connection is down."); }
    const text = await answer.text(), json = /json/.test(answer.headers.get("content-type") ?? "");
    if (!answer.ok) throw new Error(json ? JSON.parse(text).detail : `The server answered ${answer.status}.`);
    return json ? JSON.parse(text) : text;
  }

  class Mock {
    // `filter` goes to the live view with a filter.
    constructor(dialog, { filter }) {
      Object.assign(this, { dialog, filter, said: "", find: "", admin: true }); // without an admin, what the server would refuse is not offered
      dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    }
    parts(content) {
      if (!content) return [make("p", "No service is mocked here. Start one with: reqscope mock stubs.yaml", "rq-none")];
      this.content = content;
      return [this.bar(content), ...this.errors(content), this.list(content), ...this.unmatched(content.unmatched)];
    }
    // Do something, and say what came of it where it is not seen anyway.
    async act(step, done = "") {
      try { await step(); this.said = done; } catch (error) { this.said = error.message; }
      this.refresh();
    }
    async refresh() {
      try { this.content = await ask("GET", ""); } catch { return; } // the page's own stream says that the connection is down
      if (this.place?.isConnected) this.place.parentElement.replaceChildren(...this.parts(this.content));
    }
    bar({ stubs, chaos }) {
      const bar = make("div", undefined, "rq-choose");
      const search = (this.search ??= make("input")), file = make("input"); // the same one always, so that its cursor stays
      bar.append(search);
      search.type = "search"; search.placeholder = `Find in ${count.format(stubs.length)} stubs`; search.dataset.focus = "find"; search.setAttribute("aria-label", "Find a stub");
      search.oninput = () => { this.find = search.value; this.narrow(); };
      file.type = "file"; file.accept = ".yaml,.yml,.json,.har"; file.hidden = true;
      file.onchange = () => { if (file.files[0]) this.act(async () => { await ask("POST", "/import", await file.files[0].text()); }, `${file.files[0].name} is imported.`); };
      const out = make("a", "Export"); out.href = "api/stubs/export"; out.download = "stubs.yaml"; out.dataset.focus = "export";
      if (!this.admin) bar.append(out, make("span", chaos ? `Chaos: ${Math.round(chaos.share * 100)} % of answers fail. ${ADMINS}` : ADMINS, "rq-soft"));
      else this.steering(bar, out, file, chaos);
      const said = bar.appendChild(make("span", this.said, "rq-soft")); said.setAttribute("role", "status");
      this.place = bar;
      return bar;
    }
    steering(bar, out, file, chaos) {
      bar.append(button("New stub", () => this.edit("New stub", NEW, "POST", ""), "new"), button("Import …", () => file.click(), "import"), file, out);
      bar.append(button("Try a request", () => this.tryOut({ method: "GET", path: "/" }), "try"), button("Reset hits and states", () => this.act(() => ask("POST", "/reset"), "Requests, hits and states are forgotten."), "reset"));
      const label = bar.appendChild(make("label", "Chaos ")), choice = label.appendChild(make("select"));
      choice.dataset.focus = "chaos"; choice.title = "Answers 503 in the place of stubs, for one minute";
      for (const [value, text] of CHAOS) choice.append(new Option(text, value, false, (chaos ? String(chaos.share) : "") === value));
      if (chaos && !CHAOS.some(([value]) => value === String(chaos.share))) choice.append(new Option(`${Math.round(chaos.share * 100)} % of answers fail`, String(chaos.share), false, true));
      choice.onchange = () => this.act(() => (choice.value ? ask("PUT", "/chaos", JSON.stringify({ share: Number(choice.value), seconds: 60 })) : ask("DELETE", "/chaos")));
      if (chaos) bar.append(make("b", `ends in ${Math.ceil(chaos.seconds)} s`, "rq-5"));
    }
    errors({ errors }) {
      return errors.map((error) => {
        const part = make("p", undefined, "rq-notice"); part.setAttribute("role", "alert");
        part.append(make("b", "A file of stubs is broken, and what it said before is in use. "), error.message);
        return part;
      });
    }
    list({ stubs, states }) {
      const box = make("div", undefined, "rq-wide");
      if (!stubs.length) return make("p", "There are no stubs yet. Make one, import some, or write them into the file.", "rq-none");
      const table = box.appendChild(make("table", undefined, "rq-list rq-stubs")), head = table.createTHead().insertRow(), body = table.createTBody();
      for (const label of ["Stub", "Request", "Answer", "Hits", "Last", "From", "On"]) { const cell = head.appendChild(make("th", label)); cell.scope = "col"; }
      head.append(make("td"));
      for (const each of stubs) this.line(body.insertRow(), each);
      this.table = table;
      const known = Object.entries(states).map(([of, is]) => `${of} is ${is}`).join(", ");
      if (known) box.append(make("p", `States: ${known}`, "rq-soft"));
      this.narrow();
      return box;
    }
    line(row, each) {
      const { key, stub } = each, asked = stub.request ?? {}, methods = [asked.method ?? []].flat().join(",") || "ANY";
      const name = row.appendChild(make("th")), link = name.appendChild(button(each.name, () => this.open(each), `name ${key}`));
      name.scope = "row"; link.className = "rq-link"; link.title = this.admin ? "Edit" : "Show";
      row.append(make("td", `${methods} ${asked.path ?? asked.path_regex ?? "/*"}`), make("td", answerOf(stub)));
      const hits = row.appendChild(make("td"));
      if (each.hits) { const go = hits.appendChild(button(count.format(each.hits), () => this.filter(term("stub", each.name)), `hits ${key}`)); go.className = "rq-link"; go.title = "Show its requests"; } else hits.textContent = "0";
      row.append(make("td", each.last ? new Date(each.last).toLocaleTimeString(undefined, { hour12: false }) : ""), make("td", each.source + (each.edited ? ", edited here" : "")));
      const on = row.appendChild(make("td")).appendChild(make("input"));
      on.type = "checkbox"; on.checked = each.enabled; on.dataset.focus = `on ${key}`; on.setAttribute("aria-label", `${each.name} answers`);
      on.disabled = !this.admin; if (on.disabled) on.title = ADMINS;
      on.onchange = () => this.act(() => ask("PATCH", `/${key}`, JSON.stringify({ enabled: on.checked })));
      const acts = row.appendChild(make("td"));
      if (this.admin) for (const [text, act] of [["Try", () => this.tryOut(requestOf(stub))], ["Delete", () => this.act(() => ask("DELETE", `/${key}`), `${each.name} is deleted.`)]]) {
        const link = acts.appendChild(button(text, act, `${text} ${key}`)); link.className = "rq-link"; acts.append(" ");
        link.setAttribute("aria-label", `${text} ${each.name}`);
      }
      row.classList.toggle("rq-off", !each.enabled);
    }
    narrow() {
      for (const row of this.table?.tBodies[0].rows ?? []) row.hidden = !row.textContent.toLowerCase().includes(this.find.toLowerCase());
    }
    unmatched(misses) {
      if (!misses.length) return [];
      const parts = [make("h2", "Requests that no stub answered")];
      for (const miss of misses) {
        const card = make("article", undefined, "rq-error"), head = card.appendChild(make("header")), draft = make("div", undefined, "rq-choose");
        head.append(make("h2", `${miss.method} ${miss.path}${miss.query ? "?" + miss.query : ""}`), make("span", new Date(miss.time).toLocaleTimeString(undefined, { hour12: false }), "rq-soft"));
        card.append(...whys(miss.misses));
        draft.append(button("Create a stub", () => this.draft(`unmatched=${miss.id}`), `draft ${miss.id}`));
        if (this.admin) card.append(draft);
        parts.push(card);
      }
      return parts;
    }
    async open(each) {
      try { this.edit(each.name, await ask("GET", `/${each.key}?format=yaml`), "PUT", `/${each.key}`); } catch (error) { this.said = error.message; this.refresh(); }
    }
    async draft(query) {
      try { this.edit("A stub from this request", await ask("GET", `/draft?${query}`), "POST", ""); } catch (error) { this.tell(error.message); }
    }
    tell(text) { this.show("Mock", [make("p", text)], []); }
    show(title, parts, buttons) {
      const heading = make("h2", title), foot = make("div", undefined, "rq-choose");
      heading.id = "rq-dialog-title";
      foot.append(...buttons, button("Close", () => this.dialog.close()));
      this.dialog.replaceChildren(heading, ...parts, foot);
      if (!this.dialog.open) this.dialog.showModal();
    }
    // Checked by the server while one types, so that what it would refuse is never a surprise.
    edit(title, text, method, path) {
      const area = make("textarea", undefined, "rq-editor"), said = make("p", "", "rq-said"), save = button("Save", async () => {
        try { await ask(method, path, area.value); } catch (error) { said.textContent = error.message; return; }
        this.dialog.close(); this.said = "Saved."; this.refresh();
      });
      let typing = 0;
      area.readOnly = !this.admin;
      area.value = text; area.spellcheck = false; area.setAttribute("aria-label", "The stub, as YAML or JSON"); said.setAttribute("role", "status");
      area.oninput = () => {
        clearTimeout(typing);
        typing = setTimeout(async () => {
          try { await ask("POST", "/check", area.value); said.textContent = ""; } catch (error) { said.textContent = error.message; }
          area.setAttribute("aria-invalid", said.textContent !== "");
        }, 300);
      };
      const parts = [area, said];
      if (!this.admin) parts.push(make("p", ADMINS, "rq-soft"));
      else if (method === "PUT") parts.push(make("p", "A change to a stub of a file holds until that file changes, or Reqscope restarts. Export saves it.", "rq-soft"));
      this.show(title, parts, this.admin ? [save] : []);
      area.focus();
    }
    tryOut(request) {
      const field = (name, label, value, kind = "input") => {
        const row = make("label", label), input = row.appendChild(make(kind));
        input.name = name; input.value = value; input.spellcheck = false;
        return [row, input];
      };
      const [methodRow, method] = field("method", "Method", request.method), [pathRow, path] = field("path", "Path and query", request.path);
      const [headersRow, headers] = field("headers", "Headers, one a line", request.headers ?? "", "textarea"), [bodyRow, body] = field("body", "Body", request.body ?? "", "textarea");
      const form = make("div", undefined, "rq-try"), said = make("div", undefined, "rq-said");
      form.append(methodRow, pathRow, headersRow, bodyRow); said.setAttribute("role", "status");
      this.show("Try a request", [form, said], [button("Try", async () => {
        const pairs = headers.value.split("\n").filter((line) => line.includes(":")).map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()]);
        try {
          const answer = await ask("POST", "/try", JSON.stringify({ method: method.value, path: path.value, headers: Object.fromEntries(pairs), body: body.value }));
          said.replaceChildren(...(answer.stub === null ? [make("p", "No stub would answer."), ...whys(answer.nearest)] : answerParts(answer)));
        } catch (error) { said.textContent = error.message; }
      })]);
      path.focus();
    }
  }

  function whys(misses) {
    if (!misses.length) return [make("p", "No stub is like it.", "rq-soft")];
    return misses.map((miss) => {
      const list = make("dl", undefined, "rq-why");
      list.append(make("dt", miss.stub));
      for (const each of miss.verdicts) list.append(make("dd", each.fits ? `✓ ${each.field}` : `✗ ${each.field}: ${each.actual}, and should be ${each.expected}`, each.fits ? "rq-soft" : ""));
      return list;
    });
  }
  function answerParts(answer) {
    const manner = [answer.delay ? `after ${answer.delay.toFixed(2)} s` : "", answer.fault ? `with the fault ${answer.fault}` : ""].filter(Boolean).join(", ");
    const head = [`${answer.status}`, ...answer.headers.map(([name, value]) => `${name}: ${value}`)].join("\n");
    return [make("p", `${answer.stub} would answer${manner ? ", " + manner : ""}:`), make("pre", `${head}\n\n${answer.body ?? answer.base64 ?? ""}`)];
  }
  function answerOf(stub) {
    const answers = stub.responses ?? [stub.response ?? {}];
    const text = answers.slice(0, 4).map((each) => each.fault ?? String(each.status ?? 200)).join(", ");
    return text + (answers.length > 4 ? " …" : "");
  }
  // A request that the stub may take, as far as it says what it wants.
  function requestOf(stub) {
    const asked = stub.request ?? {}, plain = (value) => (typeof value === "object" ? value.equals ?? value.contains ?? "" : value);
    const given = (rules) => Object.entries(rules ?? {}).filter(([, rule]) => !rule?.absent);
    const query = new URLSearchParams(given(asked.query).map(([name, rule]) => [name, plain(rule)])).toString();
    const json = asked.json ?? asked.json_equals, headers = given(asked.headers).map(([name, rule]) => `${name}: ${plain(rule)}`);
    const form = new URLSearchParams(given(asked.form).map(([name, rule]) => [name, plain(rule)])).toString();
    if (json !== undefined && !asked.headers?.["content-type"]) headers.push("content-type: application/json");
    if (form) headers.push("content-type: application/x-www-form-urlencoded");
    return {
      method: [asked.method ?? []].flat()[0] ?? "GET", headers: headers.join("\n"),
      path: (asked.path ?? "/").replace(/\{([^}:]+)(:path)?\}/g, "$1") + (query ? "?" + query : ""),
      body: json === undefined ? form || String(plain(asked.body ?? "")) : JSON.stringify(json, null, 2),
    };
  }

  window.reqscope.Mock = Mock;
})();
