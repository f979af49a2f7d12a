// Who looks at the page, and the ways out: to the application, and to be signed out.
(function () {
  "use strict";

  class Account {
    // `app` is the link to the application; `button` shows the name, and opens `box`.
    constructor(app, button, box) {
      Object.assign(this, { app, button, box });
      button.addEventListener("click", () => this.toggle());
      document.addEventListener("pointerdown", (event) => { if (!box.contains(event.target) && !button.contains(event.target)) this.toggle(false); });
      box.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); this.toggle(false); button.focus(); } });
    }
    toggle(open = this.box.hidden) {
      this.box.hidden = !open;
      this.button.setAttribute("aria-expanded", open);
      if (open) this.box.querySelector("a, button")?.focus();
    }
    show({ name, admin, links }) {
      this.app.hidden = !links.app && !links.app_port;
      if (links.app) this.app.href = links.app;
      if (links.app_port) {
        this.app.href = `http://${location.hostname}:${links.app_port}/`;
        this.app.target = "_blank";
      }
      this.button.hidden = !name;
      this.button.textContent = name;
      this.button.dataset.initial = [...name].slice(0, 1).join("").toUpperCase(); // what a phone has room for
      this.button.setAttribute("aria-label", `Account of ${name}`);
      this.button.title = `Signed in as ${name}`;
      const who = Object.assign(document.createElement("p"), { textContent: `Signed in as ${name}, ${admin ? "an admin" : "a viewer"}` });
      this.box.replaceChildren(who, ...this.signOut(links));
    }
    // A host's sign-out is a page of the host's. Ours changes something, so it is a POST; and not by a form, whose
    // origin browsers hide where a page sends no referrer.
    signOut(links) {
      if (links.sign_out) return [Object.assign(document.createElement("a"), { href: links.sign_out, textContent: "Sign out" })];
      if (!links.sign_out_post) return [];
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Sign out" });
      button.addEventListener("click", async () => {
        button.disabled = true;
        try { location.assign((await fetch(links.sign_out_post, { method: "POST" })).url); } catch { button.disabled = false; }
      });
      return [button];
    }
  }

  window.reqscope.Account = Account;
})();
