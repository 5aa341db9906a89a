// Keeps the inbox live and answers without a reload. Without this module the same forms work as pages.
import { fragment } from "./fragments.js";
import { follow } from "./stream.js";
import { listen as listenToKeys } from "./keys.js";

const inbox = document.getElementById("inbox");
const live = document.getElementById("live");
const query = inbox.dataset.query;
const list = () => document.getElementById("list");
const next = (path) => `${path}${query ? `${path.includes("?") ? "&" : "?"}${query.slice(1)}` : ""}`;
let cursor = Number(list().dataset.after);
let busy = false;
let again = false;
let pause = 500;
let expiry = 0;

// -- what has changed -------------------------------------------------------------------------------------------

async function news(all = false) {
  if (busy) { again = all || again || "news"; return; }
  busy = true;
  again = all || "news";
  try {
    while (again) {
      const what = again;
      again = false;
      if (what === true) { await whole(); continue; }
      const found = (await fragment(next(`/inbox/news?after=${cursor}`))).getElementById("news");
      if ("more" in found.dataset) { await whole(); continue; }
      for (const card of [...found.children]) put(card);
      cursor = Math.max(cursor, Number(found.dataset.after));
      total(found.dataset.open);
    }
    pause = 500;
  } catch {
    pause = Math.min(pause * 2, 15_000);
    setTimeout(news, pause, all);
  }
  busy = false;
}

async function whole() {
  const fresh = (await fragment(next(`/inbox/list?show=${list().dataset.show}`))).getElementById("list");
  const held = holding(inbox);
  const kept = new Map([...inbox.querySelectorAll("article")].map((card) => [card.id, card]));
  inbox.replaceChildren(fresh);
  for (const card of inbox.querySelectorAll("article")) if (kept.has(card.id)) carry(kept.get(card.id), card);
  cursor = Math.max(cursor, Number(fresh.dataset.after));
  refocus(held);
  ready(inbox);
  total(fresh.dataset.open);
}

function put(card) {
  const old = document.getElementById(card.id);
  const place = card.dataset.section;
  if (!old && place === "past") return;
  if (card.dataset.offer) {
    for (const other of inbox.querySelectorAll(`article[data-offer="${CSS.escape(card.dataset.offer)}"]`)) if (other.id !== card.id) other.remove();
  }
  if (!old) {
    card.classList.add("fresh");
    box(place).prepend(card);
    aloud(`New: ${card.dataset.sure}`);
  } else {
    const held = old.contains(document.activeElement) ? holding(old) : null;
    carry(old, card);
    if (place === "past" || place === old.dataset.section) old.replaceWith(card);
    else { old.remove(); box(place).prepend(card); }
    if (place === "past" && old.dataset.section !== "past") aloud(`${card.querySelector(".note")?.textContent ?? ""} ${card.dataset.sure}`);
    if (held) refocus(held, card);
  }
  ready(card);
}

// A card that is drawn again keeps what was half done on it.
function carry(old, card) {
  for (const menu of old.querySelectorAll("details[open]")) {
    const same = card.querySelector(`details[data-menu="${menu.dataset.menu}"]`);
    if (!same) continue;
    same.open = true;
    for (const field of menu.querySelectorAll("input:not([type=hidden]), textarea")) {
      const now = same.querySelector(`[name="${field.name}"]`);
      if (now && field.value !== field.defaultValue) now.value = field.value;
    }
  }
}

function holding(inside) {
  const at = document.activeElement;
  if (!inside.contains(at)) return null;
  const card = at.closest("article");
  const spot = at.id ? `#${CSS.escape(at.id)}` : at.dataset.key ? `[data-key="${at.dataset.key}"]` : at.value && at.name ? `[name="${at.name}"][value="${CSS.escape(at.value)}"]` : null;
  return { card: card?.id, spot, from: at.selectionStart, to: at.selectionEnd };
}

function refocus(held, card = held?.card && document.getElementById(held.card)) {
  if (!held) return;
  const at = (card && held.spot && card.querySelector(held.spot)) || card || open()[0];
  at?.focus({ preventScroll: true });
  if (held.from !== undefined && held.from !== null && at?.setSelectionRange) at.setSelectionRange(held.from, held.to);
}

const open = () => [...inbox.querySelectorAll("article:not([data-section=past])")];
const box = (place) => inbox.querySelector(`[data-part="${place}"] .cards`);

function total(count) {
  list().dataset.open = count;
  document.getElementById("count").textContent = count;
  document.title = `${count === "0" ? "" : `(${count}) `}Inbox · Lead Router`;
  for (const part of inbox.querySelectorAll(".part")) part.hidden = !part.querySelector("article");
  document.getElementById("nothing").hidden = Boolean(inbox.querySelector(".part:not([data-part=past]) article"));
  clearTimeout(expiry);
  const ends = [...inbox.querySelectorAll("[data-until]")].map((card) => Date.parse(card.dataset.until));
  if (ends.length) expiry = setTimeout(news, Math.min(Math.max(Math.min(...ends) - Date.now() + 300, 1000), 3_600_000), true);
}

function aloud(words) {
  document.getElementById("say-aloud").textContent = words;
}

// -- what the rep does ------------------------------------------------------------------------------------------

inbox.addEventListener("submit", async (event) => {
  const form = event.target;
  const card = form.closest("article");
  if (!card) return;
  event.preventDefault();
  if (form.dataset.busy) return;
  const data = new URLSearchParams(new FormData(form));
  const button = event.submitter;
  if (button?.name) data.set(button.name, button.value);
  form.dataset.busy = "1";
  button?.setAttribute("aria-busy", "true");
  try {
    const found = await fragment(form.getAttribute("action"), { method: "POST", headers: { Accept: "text/html", "X-Fragment": "1" }, body: data });
    if ("edit" in form.dataset) {
      form.closest("details").open = false;
      aloud("Your words are kept.");
      news();
    } else answered(card, found.getElementById("answered"));
    stream.changed();
  } catch {
    const told = form.querySelector(".told") ?? card.querySelector(".told");
    if (told) told.textContent = "That did not reach us. Try again.";
  }
  delete form.dataset.busy;
  button?.removeAttribute("aria-busy");
});

function answered(card, found) {
  const { code } = found.dataset;
  const words = found.querySelector(".words").textContent;
  const at = open().indexOf(card);
  const fresh = found.querySelector("article");
  for (const menu of card.querySelectorAll("details[open]")) menu.open = false;
  if (fresh) put(fresh);
  const now = document.getElementById(card.id);
  if (["taken", "stale", "invalid"].includes(code) && now) {
    const note = now.querySelector(".note") ?? now.querySelector("header").insertAdjacentElement("afterend", document.createElement("p"));
    note.className = "note problem";
    note.textContent = words;
  }
  if (code === "seen") now?.remove();
  aloud(words);
  // Mine now: stay, there is something to say. Else on to the next.
  const stays = ["accepted", "taken", "stale", "invalid"].includes(code);
  const left = open().filter((one) => one.dataset.section !== "snoozed");
  (stays ? now : left[Math.min(at, left.length - 1)] ?? document.getElementById("main"))?.focus({ preventScroll: false });
  const count = Number(list().dataset.open);
  total(String(card.dataset.section === "past" || stays && code !== "accepted" ? count : Math.max(0, count - (code === "snoozed" ? 0 : 1))));
  news();
}

inbox.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  const mail = event.target.closest("[data-mail]");
  if (!copy && !mail) return;
  const say = event.target.closest("[data-say]");
  if (copy) {
    try {
      await navigator.clipboard.writeText(say.querySelector(".body").textContent);
    } catch {
      // The browser does not let us: the text is there to be marked by hand.
      say.querySelector(".whole").open = true;
      aloud("This browser does not let us copy. Mark the text by hand.");
      return;
    }
    const word = copy.querySelector("span");
    word.textContent = "Copied";
    copy.classList.add("did");
    aloud("Copied");
    setTimeout(() => { word.textContent = "Copy"; copy.classList.remove("did"); }, 2000);
  }
  fetch(next(`/inbox/${say.dataset.say}/say`), { method: "POST", keepalive: true, headers: { "X-Fragment": "1" }, body: new URLSearchParams({ how: copy ? "copied" : "mailed" }) });
});

function ready(inside) {
  if (!navigator.clipboard) return;
  for (const button of inside.querySelectorAll("[data-copy]")) button.hidden = false;
}

// -- on this device ---------------------------------------------------------------------------------------------

const ring = document.getElementById("ring");
if ("Notification" in globalThis && Notification.permission === "default" && tells()) {
  ring.hidden = false;
  ring.addEventListener("click", async () => {
    const said = await Notification.requestPermission();
    ring.hidden = true;
    aloud(said === "granted" ? "You will be told on this device when your inbox is not in sight." : "This browser will not tell you.");
  });
}

// Phones know the word but tell through a service worker only, which there is none of: there the constructor throws.
// Elsewhere this one, made without permission, is never shown.
function tells() {
  try { return Boolean(new Notification("")); } catch { return false; }
}

async function tell(notice) {
  if (!document.hidden || !("Notification" in globalThis) || Notification.permission !== "granted") return;
  if (notice.quiet || !["new", "joined"].includes(notice.state) || notice.kind === "you_missed") return;
  if (await stream.inSight()) return;
  const who = notice.lead.name ?? notice.lead.email ?? `Somebody from ${notice.account?.name ?? notice.account?.domain ?? "a company"}`;
  try {
    // The same tag from every tab: told once.
    const shown = new Notification(who, { body: notice.why, tag: notice.id, icon: document.querySelector("link[rel=icon]").href });
    shown.onclick = () => {
      window.focus();
      shown.close();
      document.getElementById(`c-${notice.id}`)?.focus();
    };
  } catch { /* a phone, whose permission comes from its settings */ }
}

// -- time -------------------------------------------------------------------------------------------------------

function age() {
  for (const time of inbox.querySelectorAll("article time")) {
    const s = (Date.now() - Date.parse(time.dateTime)) / 1000;
    const words = s < 60 ? "just now" : s < 3600 ? `${Math.floor(s / 60)} min ago` : s < 86400 ? `${Math.floor(s / 3600)} h ago` : null;
    if (words && words !== time.textContent) time.textContent = words;
  }
}
setInterval(age, 20_000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) { age(); news(); } });
addEventListener("pageshow", (event) => { if (event.persisted) news(true); });

listenToKeys({ inbox, open });
ready(inbox);
live.hidden = false;
const stream = follow({
  query,
  me: inbox.dataset.me,
  after: cursor,
  onNotice(notice, reader) {
    if (reader) tell(notice);
    news();
  },
  onState(state) {
    if (state === "changed") { news(true); return; }
    if (state === "off" || live.dataset.state === "off") news();
    live.dataset.state = state;
    live.querySelector(".words").textContent = state === "live" ? "live" : "connecting";
  },
});
total(list().dataset.open);
news();
