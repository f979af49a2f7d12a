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
      try {
        const answer = await fetch(new URL("livez", document.baseURI), { cache: "no-store", signal: AbortSignal.timeout(3000) });
        if (!this.down) return; // a page that was frozen finds its stream alive
        if (answer.ok) return location.reload();
      } catch { /* still down */ }
      if (!this.down) return;
      this.timer = setTimeout(() => this.knock(), RETRY);
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

  window.reqscope.Connection = Connection;
})();
