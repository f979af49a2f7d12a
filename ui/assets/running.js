// What has been in flight for long: oldest first, each with a clock that goes on in the page.
(function () {
  "use strict";
  const ID = 0, AGE = 1, METHOD = 2, PATH = 3, QUERY = 4, CLIENT = 5, STATUS = 6, SIZE = 7, WORKER = 8;

  class Running {
    constructor(box) { this.box = box; this.list = box.querySelector("ul"); this.clocks = []; this.timer = 0; }
    show(rows, total) {
      const now = performance.now();
      this.box.hidden = rows.length === 0;
      this.clocks = [];
      this.list.replaceChildren(...rows.map((row) => this.item(row, now - row[AGE])));
      if (total > rows.length && rows.length) this.list.append(text("li", `and ${total - rows.length} more`, "rq-soft"));
      this.tick();
    }
    item(row, since) {
      const { formatSize } = window.reqscope;
      const item = document.createElement("li"), age = text("b", "");
      const state = row[STATUS] ? `${row[STATUS]}, ${formatSize(row[SIZE])} sent` : "no response yet";
      item.append(age, text("span", `${row[METHOD]} ${row[PATH]}${row[QUERY] ? "?" + row[QUERY] : ""}`, "rq-what"), text("span", state, "rq-soft"), text("span", row[CLIENT], "rq-soft"));
      if (row[WORKER]) item.append(text("span", `worker ${row[WORKER]}`, "rq-soft"));
      item.dataset.request = row[ID];
      this.clocks.push([age, since]);
      return item;
    }
    tick() {
      clearTimeout(this.timer);
      const now = performance.now();
      for (const [element, since] of this.clocks) element.textContent = formatAge((now - since) / 1000);
      if (this.clocks.length) this.timer = setTimeout(() => this.tick(), 500);
    }
  }

  function text(name, content, className) {
    const element = document.createElement(name);
    element.textContent = content;
    if (className) element.className = className;
    return element;
  }
  function formatAge(seconds) { return seconds < 59.95 ? `${seconds.toFixed(1)} s` : window.reqscope.formatSpan(seconds); }

  window.reqscope.Running = Running;
})();
