// Keys of the inbox. One letter keys act on the card that has the focus; they can be switched off in the help.
export function listen({ inbox, open }) {
  const help = document.getElementById("help");
  const show = document.getElementById("keys");
  const on = help.querySelector("#keys-on");
  try { on.checked = localStorage.getItem("keys") !== "off"; } catch { /* on */ }
  on.addEventListener("change", () => { try { localStorage.setItem("keys", on.checked ? "on" : "off"); } catch { /* for now only */ } });
  show.hidden = false;
  show.addEventListener("click", () => help.showModal());

  const here = () => document.activeElement?.closest?.("#inbox article");

  function move(step) {
    const all = open();
    const at = all.indexOf(here());
    const card = all[Math.min(Math.max(at + step, 0), all.length - 1)];
    if (!card) return;
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  }

  function unfold(card, name) {
    const menu = card.querySelector(`details[data-menu="${name}"]`);
    if (!menu) return;
    menu.open = true;
    menu.querySelector("textarea, .choices button")?.focus();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    const at = event.target;
    const menu = at.closest?.("#inbox details[open]");
    if (event.key === "Escape" && menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
      return;
    }
    if (at.closest?.(".choices") && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      const all = [...at.closest(".choices").querySelectorAll("button")];
      all[(all.indexOf(at) + (event.key === "ArrowRight" ? 1 : -1) + all.length) % all.length].focus();
      event.preventDefault();
      return;
    }
    if (!on.checked || at.closest?.("input, textarea, select, [contenteditable]")) return;
    if (event.key === "?") { help.showModal(); return; }
    if (event.key === "j" || event.key === "k") { move(event.key === "j" ? 1 : -1); event.preventDefault(); return; }
    const card = here();
    if (!card) return;
    switch (event.key) {
      case "a": card.querySelector("button[data-key=a]")?.click(); break;
      case "d": unfold(card, "decline"); break;
      case "s": unfold(card, "snooze"); break;
      case "e": unfold(card, "edit"); break;
      case "c": card.querySelector("[data-copy]:not([hidden])")?.click(); break;
      case "o": card.querySelector("h3 a")?.click(); break;
      default: return;
    }
    event.preventDefault();
  });
}
