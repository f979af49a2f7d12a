// Suggestions under the filter, as it is typed: a combobox as WAI-ARIA describes it. Captured text is only ever set as text.
(function () {
  "use strict";
  const WAIT = 120; // milliseconds after a key before the server is asked

  class Suggest {
    // `ask` is given the text and the cursor and returns [{start, end, insert, description}]; `onPick` is told of a choice.
    constructor(input, list, { ask, onPick }) {
      Object.assign(this, { input, list, ask, onPick });
      this.items = []; this.chosen = -1; this.timer = 0; this.asked = 0;
      this.typed = false; // Tab completes what is being typed, and otherwise goes on to what comes next, as everywhere
      input.addEventListener("input", () => { this.typed = true; this.later(); });
      input.addEventListener("focus", () => { this.typed = false; this.later(); });
      input.addEventListener("blur", () => setTimeout(() => this.close(), 150)); // a click on an item comes in between
      input.addEventListener("keydown", (event) => this.key(event));
    }
    later() { clearTimeout(this.timer); this.timer = setTimeout(() => this.look(), WAIT); }
    async look() {
      const asked = ++this.asked, text = this.input.value;
      let items;
      try { items = await this.ask(text, this.input.selectionStart ?? text.length); } catch { return; }
      if (asked !== this.asked || document.activeElement !== this.input) return;
      this.items = items.filter((item) => text.slice(item.start, item.end) !== item.insert);
      this.chosen = -1;
      this.draw();
    }
    draw() {
      this.list.replaceChildren(...this.items.map((item, i) => {
        const option = document.createElement("li"), what = document.createElement("code"), why = document.createElement("span");
        option.id = `rq-suggestion-${i}`; option.setAttribute("role", "option"); option.setAttribute("aria-selected", i === this.chosen);
        what.textContent = item.insert; why.textContent = item.description;
        option.append(what, why);
        option.onpointerdown = (event) => { event.preventDefault(); this.pick(i); };
        return option;
      }));
      this.list.hidden = !this.items.length;
      this.input.setAttribute("aria-expanded", this.items.length > 0);
      if (this.chosen < 0) this.input.removeAttribute("aria-activedescendant");
      else { this.input.setAttribute("aria-activedescendant", `rq-suggestion-${this.chosen}`); this.list.children[this.chosen].scrollIntoView({ block: "nearest" }); }
    }
    key(event) {
      if (this.list.hidden) return;
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) { event.preventDefault(); this.chosen = (this.chosen + step + this.items.length) % this.items.length; this.draw(); }
      else if (event.key === "Tab" && !event.shiftKey && (this.typed || this.chosen >= 0)) { event.preventDefault(); this.pick(Math.max(0, this.chosen)); }
      else if (event.key === "Enter" && this.chosen >= 0) { event.preventDefault(); this.pick(this.chosen); }
      else if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); this.close(); } // browsers would clear what is typed
    }
    pick(i) {
      const { start, end, insert } = this.items[i], text = this.input.value;
      this.input.value = text.slice(0, start) + insert + text.slice(end);
      this.input.setSelectionRange(start + insert.length, start + insert.length);
      this.close();
      this.typed = false;
      this.onPick();
      if (/[:~<>=.]$/.test(insert)) this.later(); // the value comes next
    }
    close() { this.items = []; this.chosen = -1; this.asked++; clearTimeout(this.timer); this.draw(); }
  }

  window.reqscope.Suggest = Suggest;
})();
