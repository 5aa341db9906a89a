// Keeps the inbox as the server would draw it now, and sends the rep's answers.
import { fragment } from "./fragments.js";
import { follow } from "./stream.js";

const inbox = document.getElementById("inbox");
const count = document.getElementById("count");
const live = document.getElementById("live");
const rep = inbox.dataset.rep;
const address = rep ? `/inbox/list?rep=${encodeURIComponent(rep)}` : "/inbox/list";
let drawing = false;
let again = false;

async function draw() {
  if (drawing) { again = true; return; }
  drawing = true;
  try {
    do {
      again = false;
      const content = await fragment(address);
      put(content.getElementById("list"));
    } while (again);
  } catch { setTimeout(draw, 2000); }
  drawing = false;
}

function put(fresh) {
  const focused = document.activeElement?.closest?.("article");
  const what = document.activeElement?.dataset?.do;
  const chosen = new Map([...inbox.querySelectorAll("select")].map((s) => [s.id, s.value]));
  inbox.replaceChildren(fresh);
  for (const [id, value] of chosen) {
    const select = document.getElementById(id);
    if (select) select.value = value;
  }
  if (focused) {
    const card = [...inbox.querySelectorAll("article")].find((a) => a.dataset.id === focused.dataset.id) ?? inbox.querySelector("article");
    (card?.querySelector(`[data-do="${what}"]`) ?? card?.querySelector("button"))?.focus({ preventScroll: true });
  }
  const open = fresh.dataset.open;
  count.textContent = open;
  document.title = `${open === "0" ? "" : `(${open}) `}Inbox · Lead Router`;
}

inbox.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const task = event.submitter?.dataset.do;
  const buttons = form.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  const problem = form.querySelector(".problem");
  problem.hidden = true;
  try {
    const answer = task === "read" ? await post(`/v1/inbox/${form.dataset.notice}/read${rep ? `?rep=${encodeURIComponent(rep)}` : ""}`) : await post(`/v1/leads/${form.dataset.lead}/${task}`, order(form, task));
    if (!answer.ok && answer.status !== 409) {
      const said = await answer.json().catch(() => ({}));
      throw new Error(said.message || `The answer was ${answer.status}.`);
    }
    if (task === "read") form.closest("article").remove();
    else await draw();
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    for (const button of buttons) button.disabled = false;
  }
});

function order(form, task) {
  const body = { assignment_id: form.dataset.assignment, gen: Number(form.dataset.gen) };
  if (task === "decline") body.reason = form.elements.reason.value;
  if (task === "snooze") body.until = new Date(Date.now() + 3600_000).toISOString();
  return body;
}

function post(where, body) {
  return fetch(where, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
}

function age() {
  for (const time of inbox.querySelectorAll("time")) {
    const s = (Date.now() - Date.parse(time.dateTime)) / 1000;
    time.textContent = s < 60 ? "just now" : s < 3600 ? `${Math.floor(s / 60)} min ago` : s < 86400 ? `${Math.floor(s / 3600)} h ago` : time.textContent;
  }
}
setInterval(age, 20_000);

follow(rep, inbox.dataset.me, Number(document.getElementById("list").dataset.after), {
  onNotice: draw,
  onState(state) {
    live.dataset.state = state;
    live.querySelector(".words").textContent = state === "live" ? "live" : "not live";
  },
});
