// Gradio's sign that a page is loading goes on counting after it has gone: a frame is drawn sixty times a second for as
// long as the page is open, and a laptop never rests. Nothing can reach it but the clock that it reads in each frame:
// where that fails, it does not ask for another frame.
(function () {
  "use strict";
  const PATIENCE = 10000; // milliseconds; it was not there: some other version of Gradio
  const end = new Error("the loading sign has ended");

  window.reqscope.quiet = function () {
    const now = performance.now;
    const restore = () => { clearTimeout(timer); performance.now = now; };
    const timer = setTimeout(restore, PATIENCE);
    const expected = (event) => { if (event.error === end) { event.preventDefault(); removeEventListener("error", expected); } };
    addEventListener("error", expected);
    performance.now = function () {
      if (!new Error().stack.includes("/statustracker-")) return now.call(performance);
      restore();
      throw end;
    };
  };
})();
