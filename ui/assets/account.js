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
      this.button.title = `Signed in as ${name}`;
      const who = Object.assign(document.createElement("p"), { textContent: `${name}, ${admin ? "admin" : "viewer"}` });
      this.box.replaceChildren(who, ...this.signOut(links));
    }
    // A host's own sign-out is a page of its; ours changes something, so it is a form.
    signOut(links) {
      if (links.sign_out) return [Object.assign(document.createElement("a"), { href: links.sign_out, textContent: "Sign out" })];
      if (!links.sign_out_form) return [];
      const form = Object.assign(document.createElement("form"), { method: "post", action: links.sign_out_form });
      form.append(Object.assign(document.createElement("button"), { textContent: "Sign out" }));
      return [form];
    }
  }

  window.reqscope.Account = Account;
})();
