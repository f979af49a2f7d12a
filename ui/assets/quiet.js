// Gradio's sign that a page is loading goes on counting after it has gone: a frame is drawn sixty times a second for as
// long as the page is open, and a laptop never rests. Nothing can reach it but the clock that it reads in each frame:
// where that fails, it does not ask for another frame.
(function () {
  "use strict";
  const PATIENCE = 10000; // milliseconds; it was not there: some other version of Gradio
  const end = new Error("the loading sign has ended");
  const now = performance.now;

  // For good, not for the one failure that is expected: a page that leaves may still draw a frame.
  addEventListener("error", (event) => { if (event.error === end) event.preventDefault(); });

  window.reqscope.quiet = function () {
    const restore = () => { clearTimeout(timer); performance.now = now; };
    const timer = setTimeout(restore, PATIENCE);
    performance.now = function () {
      if (!new Error().stack.includes("/statustracker-")) return now.call(performance);
      restore();
      throw end;
    };
  };
})();
