// The charts of the last two minutes: requests per second stacked by status class, latency percentiles, and how busy the
// application is.
(function () {
  "use strict";
  const SPAN = 120; // seconds shown
  const HEIGHT = 128;
  const CLASSES = ["2xx", "3xx", "4xx", "5xx", "other"];
  const QUANTILES = ["p50", "p95", "p99"];

  const DASHES = [undefined, [6, 3], [2, 2]]; // so that lines differ by more than their colour
  const color = (name) => getComputedStyle(document.body).getPropertyValue("--rq-" + name).trim();
  const axis = (more) => ({
    stroke: () => color("soft"), font: "11px system-ui, sans-serif",
    grid: { stroke: () => color("line"), width: 1 }, ticks: { show: false }, ...more,
  });
  // A value with no neighbour makes no line: it is drawn as a point.
  const alone = (plot, series, show) => {
    const values = plot.data[series];
    return show ? values.flatMap((v, i) => (v !== null && values[i - 1] == null && values[i + 1] == null ? [i] : [])) : null;
  };
  // What a legend says: the value under the pointer, or else of the last whole second.
  const now = (plot, series, value, index, show) => {
    const at = typeof index === "number" ? value : plot.data[series].at(-2) ?? plot.data[series].at(-1);
    return at === null || at === undefined ? "–" : show(at);
  };
  const power = (round, value) => 10 ** round(Math.log10(Math.max(value, 0.001)));
  const decades = (low, high) => {
    const all = [];
    for (let value = low; value <= high * 1.001; value *= 10) all.push(value);
    return all.filter((_, i) => i % Math.ceil(all.length / 4) === 0);
  };
  const shortDuration = (ms) => (ms >= 1000 ? `${Math.round(ms / 1000)} s` : ms >= 1 ? `${Math.round(ms)} ms` : `${Number((ms * 1000).toPrecision(1))} µs`);
  const timeOf = (s) => new Date(s * 1000).toLocaleTimeString(undefined, { hour12: false });

  class Charts {
    // `onRange` is told of a time range, in seconds since the epoch, that was dragged over.
    constructor(rate, latency, vitals, onRange) {
      this.lag = new Map(); // second -> [second, lag in milliseconds, in flight]
      this.seconds = new Map(); // second -> [second, ...counts by class, ...percentiles in seconds]
      this.now = 0;
      const sync = { key: "reqscope", setSeries: false };
      const shared = {
        height: HEIGHT, cursor: { sync, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
        hooks: { setSelect: [(plot) => this.select(plot, onRange)] },
        scales: { x: { time: true, range: () => [this.now - SPAN + 0.5, this.now + 0.5] } },
      };
      const x = axis({ space: 90, size: 24, values: (_, ticks) => ticks.map(timeOf) });
      const bars = uPlot.paths.bars({ size: [0.86, 24], align: 0 });
      const time = { value: (_, s, __, index) => (typeof index === "number" ? timeOf(s) : "now"), label: "At" };
      this.rate = new uPlot({
        ...shared, width: 400,
        scales: { ...shared.scales, y: { range: (_, low, high) => [0, Math.max(5, high * 1.08)] } },
        axes: [x, axis({ size: 48 })],
        // Each bar is drawn from zero to the sum of its class and those below, so the tallest comes first.
        series: [time, ...[...CLASSES].reverse().map((name) => ({
          label: name, paths: bars, points: { show: false }, width: 0,
          fill: () => color(name + "-bar"), stroke: () => color(name + "-bar"),
          value: (_, __, ___, index) => this.own(name, index),
        }))],
      }, this.rateData(), rate);
      this.latency = new uPlot({
        ...shared, width: 400,
        // Logarithmic: one request of ten seconds must not make all the others a line on the ground.
        scales: { ...shared.scales, y: { distr: 3, range: (_, low, high) => [power(Math.floor, low ?? 1), Math.max((high ?? 100) * 1.5, power(Math.floor, low ?? 1) * 10)] } },
        axes: [x, axis({ size: 48, splits: (plot) => decades(plot.scales.y.min, plot.scales.y.max), filter: (_, ticks) => ticks, values: (_, ticks) => ticks.map(shortDuration) })],
        series: [time, ...QUANTILES.map((name, i) => ({
          label: name, stroke: () => color(name), width: 1.5, dash: DASHES[i], points: { show: true, filter: alone, size: 4 },
          value: (plot, value, series, index) => now(plot, series, value, index, window.reqscope.formatDuration),
        }))],
      }, this.latencyData(), latency);
      const line = (label, name, scale, show, dash) => ({
        label, scale, stroke: () => color(name), width: 1.5, dash, points: { show: true, filter: alone, size: 4 },
        value: (plot, value, series, index) => now(plot, series, value, index, show),
      });
      const fromZero = (least) => ({ range: (_, low, high) => [0, Math.max(least, (high ?? 0) * 1.08)] });
      this.vitals = new uPlot({
        ...shared, width: 400, scales: { ...shared.scales, flight: fromZero(4), lag: fromZero(10) },
        axes: [x, axis({ size: 36, scale: "flight" }), axis({ size: 36, scale: "lag", side: 1, grid: { show: false } })],
        series: [time, line("in flight", "flight", "flight", String), line("loop lag", "lag", "lag", window.reqscope.formatDuration, DASHES[1])],
      }, this.vitalsData(), vitals);
      this.plots = [[this.rate, rate], [this.latency, latency], [this.vitals, vitals]];
      this.fit = () => {
        for (const [plot, box] of this.plots)
          if (box.clientWidth && box.clientWidth !== plot.width) plot.setSize({ width: box.clientWidth, height: HEIGHT });
      };
      new ResizeObserver(this.fit).observe(rate);
      this.fit();
    }
    // `now` is the server's clock, so that a browser with another time draws the same picture.
    add(seconds, vitals, now) {
      for (const [kept, added] of [[this.seconds, seconds], [this.lag, vitals]]) {
        for (const second of added) kept.set(second[0], second);
        for (const second of kept.keys()) if (second <= now - SPAN - 5) kept.delete(second);
      }
      this.now = now;
      this.rate.setData(this.rateData());
      this.latency.setData(this.latencyData());
      this.vitals.setData(this.vitalsData());
    }
    select(plot, onRange) {
      const { left, width } = plot.select;
      if (width < 3) return; // a click
      onRange(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    }
    clear() { this.seconds.clear(); this.lag.clear(); }
    redraw() { for (const [plot] of this.plots) plot.redraw(); }
    // What the last whole second, or the present one where there is no other, had.
    latest() {
      const whole = this.seconds.get(this.now - 1), part = this.seconds.get(this.now);
      const sum = (second) => (second ? second.slice(1, 6).reduce((a, b) => a + b, 0) : 0);
      return { rate: Math.max(sum(whole), whole ? 0 : sum(part)), p95: (whole ?? part)?.[7] ?? null };
    }
    own(name, index) {
      const second = this.seconds.get(typeof index === "number" ? this.now - SPAN + 1 + index : this.now - 1);
      return second ? String(second[1 + CLASSES.indexOf(name)]) : "0";
    }
    times() { return Array.from({ length: SPAN }, (_, i) => this.now - SPAN + 1 + i); }
    rateData() {
      const times = this.times(), sums = CLASSES.map(() => new Array(SPAN).fill(null));
      times.forEach((time, i) => {
        const second = this.seconds.get(time);
        if (!second) return;
        let sum = 0;
        CLASSES.forEach((_, c) => { sum += second[1 + c]; sums[c][i] = sum || null; });
      });
      return [times, ...sums.reverse()];
    }
    vitalsData() {
      const times = this.times(), each = (i) => times.map((time) => this.lag.get(time)?.[i] ?? null);
      return [times, each(2), each(1)];
    }
    latencyData() {
      const times = this.times();
      const ms = (second, i) => (second && second[6 + i] !== null ? second[6 + i] * 1000 : null);
      return [times, ...QUANTILES.map((_, i) => times.map((time) => ms(this.seconds.get(time), i)))];
    }
  }

  window.reqscope.Charts = Charts;
})();
