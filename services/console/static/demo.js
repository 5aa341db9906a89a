// The demo site's own buttons: pretend to be somebody, say yes or no to being counted.
// site.js may come later than we do: until then calls wait in its queue.
function leadRouter(...call) {
  if (window.leadRouter?.loaded) window.leadRouter[call[0]](...call.slice(1));
  else (window.leadRouter ??= { q: [] }).q.push(call);
}

// Whom one pretends to be is remembered for this tab; never where consent is asked for first.
const remembers = !document.querySelector("button[data-consent]");
const who = document.getElementById("who");
const buttons = [...document.querySelectorAll("[data-id]")];

function show(id) {
  for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.id === id));
  const chosen = buttons.find((button) => button.dataset.id === id);
  who.textContent = id && chosen ? `You are ${chosen.dataset.name} now. Open Pricing.` : "You are nobody known.";
}

const before = remembers && sessionStorage.getItem("demo_who");
if (before) show(before);
for (const button of buttons) {
  button.addEventListener("click", () => {
    const { id, name, email, title } = button.dataset;
    leadRouter("reset");
    if (id) leadRouter("identify", { email, name, title });
    show(id);
    if (remembers) sessionStorage.setItem("demo_who", id);
    leadRouter("page");
  });
}
for (const button of document.querySelectorAll("button[data-consent]")) {
  button.addEventListener("click", () => {
    leadRouter("consent", button.dataset.consent === "yes");
    who.textContent = button.dataset.consent === "yes" ? "This visit counts." : "Nothing is sent or stored.";
  });
}
