// Sending a request again: at once where nothing is missing and nothing can be changed by it, by a form otherwise.
(function () {
  "use strict";
  const { make, button } = window.reqscope;
  const SAFE = ["GET", "HEAD", "OPTIONS"];
  const MASK = /\[redacted\]#([0-9a-f]{6})/g;
  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + ".";

  class Resend {
    // `ask(id, edits)` asks the server for a request as a form, and with `edits` has it sent; `onSent` gets the new event.
    constructor(ask, onSent) { Object.assign(this, { ask, onSent }); }

    // `say` tells the user something, `show` shows a form, `back` takes it away.
    buttons(event, { say, show, back }) {
      const fetched = async (use) => {
        const draft = await this.ask(event.id);
        if (draft.error) say(sentence(draft.error)); else await use(draft);
      };
      const edit = (draft) => { say(""); const form = new Form(this, event.id, draft, back); show(form.element); form.focus(); };
      const replay = async (draft) => {
        if (draft.refused || draft.missing || !SAFE.includes(draft.method) || masksIn(draft.target, lines(draft.headers), draft.body).length) return edit(draft);
        say("Sending …");
        const error = await this.send(event.id, {});
        if (error) say(error);
      };
      return [button("Replay", () => fetched(replay)), button("Edit and resend", () => fetched(edit))];
    }
    // Returns what went wrong, or nothing.
    async send(id, edits) {
      const answer = await this.ask(id, edits);
      if (answer.error) return sentence(answer.error);
      if (!answer.id) return `It was answered with ${answer.status}, but capture did not see it.`;
      await this.onSent(answer.id);
    }
  }

  class Form {
    constructor(resend, id, draft, back) {
      Object.assign(this, { resend, id, draft });
      this.element = make("form", undefined, "rq-resend");
      this.element.setAttribute("aria-label", "The request to send");
      this.method = choice(draft.methods.includes(draft.method) ? draft.methods : [draft.method, ...draft.methods], draft.method);
      this.target = field("input", draft.target); this.headers = field("textarea", lines(draft.headers)); this.body = field("textarea", draft.body ?? "");
      this.headers.rows = Math.min(10, draft.headers.length + 1); this.body.rows = draft.body ? Math.min(14, draft.body.split("\n").length + 2) : 3;
      if (draft.body_base64 !== null) this.body.placeholder = "Not text: it is sent as it was captured, unless something stands here.";
      this.none = make("input"); this.none.type = "checkbox";
      this.secrets = make("fieldset"); this.typed = new Map();
      this.said = make("p", "", "rq-problem"); this.said.setAttribute("role", "alert");
      this.button = button("", () => {}); this.button.type = "submit";
      const first = make("div", undefined, "rq-target"), last = make("div", undefined, "rq-choose");
      first.append(labelled("Method", this.method), labelled("Path and query", this.target));
      last.append(this.button, button("Cancel", back));
      this.element.append(...this.notes(), first, labelled("Headers, one a line", this.headers), labelled("Body", this.body), ...this.withoutBody(), this.secrets, this.said, last);
      this.element.oninput = () => this.refresh();
      this.element.onsubmit = (event) => { event.preventDefault(); this.submit(); };
      this.element.onkeydown = (event) => {
        if (event.key === "Escape") { event.stopPropagation(); back(); }
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.element.requestSubmit();
      };
      this.refresh();
    }
    // Where something is missing, there first.
    focus() { (this.secrets.querySelector("input") ?? (this.draft.missing ? this.body : this.button)).focus(); }
    notes() {
      const notes = [...this.draft.notes];
      if (this.draft.refused) notes.push(sentence(this.draft.refused));
      return notes.map((note) => make("p", note, "rq-note"));
    }
    withoutBody() {
      if (!this.draft.missing) return [];
      const choose = make("label", undefined, "rq-check");
      choose.append(this.none, " Send without a body");
      return [make("p", `${this.draft.missing}. Give it here.`, "rq-note"), choose];
    }
    // There is a field for each mask that still stands somewhere, and what was typed into it stays.
    refresh() {
      this.button.textContent = `Send ${this.method.value}`;
      const masks = masksIn(this.target.value, this.headers.value, this.body.value);
      if (masks.join() === this.masks?.join()) return;
      this.masks = masks;
      this.secrets.replaceChildren(make("legend", "Secrets are not kept. Give those that are to be sent, as they are before any encoding."), ...masks.map((mask) => {
        const input = this.typed.get(mask) ?? field("input", "");
        input.type = "password"; input.autocomplete = "off"; input.required = true;
        this.typed.set(mask, input);
        return labelled(`[redacted]#${mask}`, input);
      }));
      this.secrets.hidden = !masks.length;
    }
    async submit() {
      const edits = this.edits();
      if (typeof edits === "string") { this.said.textContent = edits; return; }
      this.said.textContent = ""; this.button.disabled = true; this.button.textContent = "Sending …";
      this.said.textContent = (await this.resend.send(this.id, edits)) ?? "";
      this.button.disabled = false; this.refresh(); this.button.textContent = `Send ${this.method.value}`;
    }
    // Only what was changed: a text field does not keep every byte. A string says why there is nothing to send.
    edits() {
      const { draft } = this, edits = { method: this.method.value };
      edits.secrets = this.masks.map((mask) => ({ mask, secret: this.typed.get(mask).value }));
      if (this.target.value !== draft.target) edits.target = this.target.value;
      if (this.headers.value !== lines(draft.headers)) {
        const headers = this.headers.value.split("\n").filter((line) => line.trim());
        const wrong = headers.find((line) => line.indexOf(":") < 1);
        if (wrong !== undefined) return `A header is written as “name: value”, and not as “${wrong}”.`;
        edits.headers = headers.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
      }
      if (this.body.value !== this.body.defaultValue || this.none.checked) edits.body = this.none.checked ? "" : this.body.value;
      else if (draft.missing) return "Give the body, or say that there is to be none.";
      return edits;
    }
  }

  function masksIn(...texts) { return [...new Set(texts.flatMap((text) => [...(text ?? "").matchAll(MASK)].map((match) => match[1])))]; }
  function lines(headers) { return headers.map(([name, value]) => `${name}: ${value}`).join("\n"); }
  function field(kind, value) {
    const element = make(kind);
    element.defaultValue = element.value = value; element.spellcheck = false; element.setAttribute("autocapitalize", "off");
    return element;
  }
  function choice(values, chosen) {
    const select = make("select");
    for (const value of values) select.append(make("option", value));
    select.value = chosen;
    return select;
  }
  function labelled(text, control) {
    const label = make("label");
    label.append(make("span", text), control);
    return label;
  }

  window.reqscope.Resend = Resend;
})();
