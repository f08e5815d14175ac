// Everything here is a nicety: the pages do all they do without it.
(() => {
  "use strict";

  // One click, one request. The button stays focusable and says that it is busy; a page that comes back from the
  // browser's cache is read again, because it may be out of date. A page that is still here after ten seconds was
  // stopped, or its answer was lost, and nobody tells us: then the form may be sent again. Should the first one have arrived
  // after all, the server answers both alike: it keeps an answer for three times as long.
  const sent = new WeakSet();
  const again = 10_000;
  document.addEventListener("submit", (event) => {
    if (sent.has(event.target)) {
      event.preventDefault();
      return;
    }
    sent.add(event.target);
    const button = event.submitter || event.target.querySelector("button");
    if (button) {
      button.classList.add("sending");
      button.setAttribute("aria-busy", "true");
    }
    setTimeout(() => {
      sent.delete(event.target);
      button?.classList.remove("sending");
      button?.removeAttribute("aria-busy");
    }, again);
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // A code field keeps what is a digit and sends itself when it is full.
  for (const field of document.querySelectorAll("input[data-digits]")) {
    const full = Number(field.dataset.digits);
    let last = field.value;
    field.addEventListener("input", () => {
      const digits = field.value.replace(/\D/g, "").slice(0, full);
      if (digits !== field.value) field.value = digits;
      if (digits.length === full && digits !== last) field.form.requestSubmit();
      last = digits;
    });
  }

  // The resend button counts down to the moment when it may be used. It is not disabled for screen readers' sake: it
  // only does nothing until then.
  for (const button of document.querySelectorAll("button[data-wait]")) {
    const label = button.textContent;
    const ready = Date.now() + Number(button.dataset.wait) * 1000;
    const early = (event) => event.preventDefault();
    const tick = () => {
      const left = Math.ceil((ready - Date.now()) / 1000);
      if (left <= 0) {
        button.textContent = label;
        button.removeAttribute("aria-disabled");
        button.removeEventListener("click", early);
        clearInterval(timer);
        return;
      }
      const clock = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
      button.textContent = button.dataset.waiting.replace("{0}", clock);
    };
    if (Number(button.dataset.wait) <= 0) continue;
    button.setAttribute("aria-disabled", "true");
    button.addEventListener("click", early);
    const timer = setInterval(tick, 250);
    tick();
  }

  // Passwords can be looked at.
  for (const box of document.querySelectorAll(".secret[data-show]")) {
    const field = box.querySelector("input");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link peek";
    const say = (shown) => {
      field.type = shown ? "text" : "password";
      button.textContent = shown ? box.dataset.hide : box.dataset.show;
      button.setAttribute("aria-label", shown ? box.dataset.hideLabel : box.dataset.showLabel);
    };
    button.addEventListener("click", () => { say(field.type === "password"); field.focus(); });
    say(false);
    box.append(button);
    field.form.addEventListener("submit", () => say(false)); // or the browser would keep it among its form entries
  }

  // A wait that the engine ends: ask again by itself.
  for (const form of document.querySelectorAll("form[data-again]")) {
    setTimeout(() => form.requestSubmit(), Math.max(1, Number(form.dataset.again)) * 1000);
  }
})();
