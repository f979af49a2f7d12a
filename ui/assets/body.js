// A body as people read it: JSON indented, a form as a table, bytes that are no text as hexadecimal beside characters.
(function () {
  "use strict";
  const { make, pretty } = window.reqscope;
  const FORM = /^application\/x-www-form-urlencoded\b/i;
  const MOST_FIELDS = 200; // drawn; beyond, a form is shown as it was sent
  const MOST_BYTES = 4096; // drawn as hexadecimal
  const ROW = 8; // bytes in a row: as many as there is room for, on a phone too

  // Returns what the title says of the form, and the element. `content` is neither withheld nor missing.
  window.reqscope.readable = function (content, headers, table) {
    if (content.base64 !== undefined) return hexadecimal(content.base64);
    const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
    const text = content.text ?? "", fields = text.split("&");
    if (FORM.test(type) && fields.length <= MOST_FIELDS && fields.every((field) => field.includes("="))) {
      return [", form", table(fields.map(decoded))];
    }
    return ["", make("pre", pretty(text))];
  };

  function decoded(field) {
    const [name, value] = [field.slice(0, field.indexOf("=")), field.slice(field.indexOf("=") + 1)].map(plain);
    return [name, value === "" ? "(empty)" : value];
  }
  function plain(text) {
    try { return decodeURIComponent(text.replaceAll("+", " ")); } catch { return text; }
  }
  function hexadecimal(base64) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)), rows = [];
    for (let at = 0; at < Math.min(bytes.length, MOST_BYTES); at += ROW) {
      const some = [...bytes.subarray(at, at + ROW)];
      const digits = some.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
      const characters = some.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
      rows.push(`${at.toString(16).padStart(4, "0")}  ${digits.padEnd(3 * ROW - 1)}  ${characters}`);
    }
    const part = bytes.length > MOST_BYTES ? `, the first ${MOST_BYTES} bytes` : "";
    return [`, not text${part}`, make("pre", rows.join("\n"), "rq-hex")];
  }
})();
