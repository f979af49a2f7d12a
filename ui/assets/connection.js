// The stream of frames: notices when it has died, and comes back by itself.
(function () {
  "use strict";
  const PARK_AFTER = 20000; // a hidden tab gives its stream back: browsers allow six to a server
  const RETRY = 1500;

  class Connection {
    // `heartbeat` is the longest the server is quiet for, in seconds.
    constructor({ heartbeat, onState, restart, park }) {
      Object.assign(this, { onState, restart, park, deadline: heartbeat * 2200, parked: false, timer: 0, parking: 0 });
      document.addEventListener("visibilitychange", () => this.visibility());
      // What Gradio says of a stream that broke lies over the buttons, and is hidden: the page has words of its own.
      const said = document.querySelector(".toast-wrap");
      if (said) new MutationObserver(() => this.doubt()).observe(said, { childList: true });
      this.heard();
    }
    // A frame came: the next one is due before the deadline.
    heard() {
      clearTimeout(this.timer);
      this.down = false;
      this.timer = setTimeout(() => this.lost(), this.deadline);
    }
    goodbye() { this.lost(); }
    lost() {
      if (this.parked) return;
      clearTimeout(this.timer);
      this.down = true;
      this.onState("lost");
      this.timer = setTimeout(() => this.knock(), RETRY);
    }
    async knock() {
      if (this.parked) return;
      const up = await answers();
      if (!this.down) return; // a page that was frozen finds its stream alive
      if (up) return location.reload();
      this.timer = setTimeout(() => this.knock(), RETRY);
    }
    // Something went wrong with a request of the page's: if the server is gone, that is known before the deadline.
    async doubt() {
      if (!this.down && !this.parked && !(await answers()) && !this.down) this.lost();
    }
    visibility() {
      clearTimeout(this.parking);
      if (document.visibilityState === "hidden") {
        this.parking = setTimeout(() => { this.parked = true; clearTimeout(this.timer); this.park(); }, PARK_AFTER);
      } else if (this.parked) {
        this.parked = false;
        this.restart();
        this.heard();
      }
    }
  }

  async function answers() {
    try {
      return (await fetch(new URL("livez", document.baseURI), { cache: "no-store", signal: AbortSignal.timeout(3000) })).ok;
    } catch { return false; }
  }

  window.reqscope.Connection = Connection;
})();
