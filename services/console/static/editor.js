// The policy's editor: paints the text below the textarea, counts lines, asks the server while you type, jumps to what is wrong.
import { fragment } from "./fragments.js";

const form = document.getElementById("policy");
const editor = document.getElementById("editor");
const area = document.getElementById("text");
const gutter = editor.querySelector(".y-gutter");
const paint = editor.querySelector(".y-paint");
const problems = document.getElementById("problems");
const state = document.getElementById("state");
const changes = document.getElementById("changes");
const WAIT_MS = 250;
const started = area.value;
let lines = [];
let marks = read(problems);
let timer = 0;
let asked = 0;
let sending = false;

const TOKEN = /(#.*$)|("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')|(\b\d+(?:\.\d+)?[mhdw]?\b)|(&&|\|\||[<>=!]=|[<>])|(\{\{.*?\}\})/g;
const KEY = /^(\s*(?:- )?\s*)([A-Za-z_][\w .-]*?)(:)(?=\s|$)/;

// One line as [text, class] pieces.
function pieces(text) {
  const found = [];
  let rest = text;
  const key = KEY.exec(text);
  if (key) {
    found.push([key[1], ""], [key[2], "y-key"], [key[3], ""]);
    rest = text.slice(key[0].length);
  }
  let end = 0;
  for (const m of rest.matchAll(TOKEN)) {
    const comment = m[1] && m.index > 0 && !/\s$/.test(rest.slice(0, m.index));
    if (comment) continue;
    found.push([rest.slice(end, m.index), ""]);
    found.push([m[0], m[1] ? "y-note" : m[2] ? "y-text" : m[3] ? "y-number" : m[4] ? "y-sign" : "y-place"]);
    end = m.index + m[0].length;
  }
  found.push([rest.slice(end), ""]);
  return found.filter(([part]) => part);
}

function drawn(text, mark) {
  const line = document.createElement("span");
  line.className = "y-line";
  const word = mark?.column ? /^[^\s,:]+|^./.exec(text.slice(mark.column - 1))?.[0].length ?? 1 : 0;
  const from = mark?.column ? mark.column - 1 : 0;
  let at = 0;
  for (const [part, kind] of pieces(text)) {
    const cuts = [0, from - at, from + word - at, part.length].filter((c) => c >= 0 && c <= part.length).sort((a, b) => a - b);
    for (let i = 1; i < cuts.length; i++) {
      if (cuts[i] === cuts[i - 1]) continue;
      const inside = word && at + cuts[i - 1] >= from && at + cuts[i] <= from + word;
      const span = document.createElement("span");
      span.className = `${kind}${inside ? (mark.warn ? " y-under warn" : " y-under") : ""}`;
      span.textContent = part.slice(cuts[i - 1], cuts[i]);
      line.append(span);
    }
    at += part.length;
  }
  line.append("\n");
  return line;
}

function draw() {
  const fresh = area.value.split("\n");
  const by = new Map([...marks].reverse().map((m) => [m.line, m]));
  const key = (text, i) => `${text}\u0000${by.get(i + 1)?.column ?? ""}${by.get(i + 1)?.warn ?? ""}`;
  const keys = fresh.map(key);
  let top = 0;
  while (top < keys.length && top < lines.length && keys[top] === lines[top]) top++;
  let low = 0;
  while (low < keys.length - top && low < lines.length - top && keys[keys.length - 1 - low] === lines[lines.length - 1 - low]) low++;
  const old = [...paint.children].slice(top, lines.length - low);
  const next = paint.children[lines.length - low] ?? null;
  for (const node of old) node.remove();
  for (let i = top; i < keys.length - low; i++) paint.insertBefore(drawn(fresh[i], by.get(i + 1)), next);
  lines = keys;
  while (gutter.children.length < fresh.length) gutter.append(document.createElement("li"));
  while (gutter.children.length > fresh.length) gutter.lastChild.remove();
  for (let i = 0; i < fresh.length; i++) {
    const mark = by.get(i + 1);
    const item = gutter.children[i];
    if (item.textContent !== String(i + 1)) item.textContent = i + 1;
    item.className = mark ? (mark.warn ? "y-warn" : "y-bad") : "";
  }
}

function read(from) {
  return [...from.querySelectorAll("li[data-line]")]
    .map((li) => ({ line: Number(li.dataset.line), column: Number(li.dataset.column), warn: li.classList.contains("y-warn") }))
    .filter((m) => m.line > 0);
}

function jump(line, column) {
  const all = area.value.split("\n");
  const at = all.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + Math.max(0, column - 1);
  area.focus({ preventScroll: true });
  area.setSelectionRange(at, at);
  const height = paint.firstChild ? paint.scrollHeight / lines.length : 20;
  editor.scrollTo({ top: Math.max(0, (line - 1) * height - editor.clientHeight / 3), left: 0 });
  editor.scrollIntoView({ block: "nearest" });
}

function quiet(words) {
  return Object.assign(document.createElement("p"), { className: "quiet", textContent: words });
}

function jumper(words) {
  return Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: words });
}

function told(one, warn) {
  const item = document.createElement("li");
  item.className = warn ? "y-warn" : "y-bad";
  item.dataset.line = one.line;
  item.dataset.column = one.column;
  const parts = [];
  if (one.path && !warn) parts.push(Object.assign(document.createElement("code"), { textContent: one.path }), " ");
  parts.push(one.message);
  if (one.hint) parts.push(" ", Object.assign(document.createElement("span"), { className: "soft", textContent: one.hint }));
  if (one.line) {
    item.append(jumper(`Line ${one.line}, column ${one.column}`), " ");
  }
  item.append(...parts);
  return item;
}

function list(items, warn) {
  if (!items.length) return [];
  const made = document.createElement("ol");
  made.append(...items.map((one) => told(one, warn)));
  return [made];
}

function show(answer) {
  problems.replaceChildren(...list(answer.problems, false), ...list(answer.warnings, true));
  marks = read(problems);
  state.replaceChildren();
  const n = answer.problems.length;
  const b = document.createElement("b");
  b.className = n ? "bad" : "good";
  b.textContent = n ? `${n} ${n === 1 ? "problem" : "problems"}` : "No problems";
  state.append(b);
  if (!n && answer.warnings.length) state.append(`, ${answer.warnings.length} to think about`);
  changes.replaceChildren(...changed(answer));
  for (const button of form.querySelectorAll("button[value=activate], button[value=save]")) button.disabled = n > 0;
  draw();
}

function changed(answer) {
  if (answer.changes.length) {
    const ul = document.createElement("ul");
    ul.className = "changes";
    ul.append(...answer.changes.map((c) => Object.assign(document.createElement("li"), { textContent: c.text })));
    return [ul];
  }
  return [quiet(answer.problems.length ? "Mend the problems first." : "Nothing in meaning.")];
}

async function check() {
  const number = ++asked;
  try {
    const answer = await fetch("/v1/policy/validate", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text: area.value }),
    });
    const body = await answer.json();
    if (number !== asked) return;
    if (!answer.ok) throw new Error(body.message);
    show(body);
  } catch (error) {
    if (number === asked) state.textContent = `Not checked: ${error.message}`;
  }
  lineByLine(number);
}

async function lineByLine(number) {
  const details = form.querySelector("details.lines");
  if (!details.open) return;
  const body = new URLSearchParams({ text: area.value });
  const content = await fragment("/policy/lines", { method: "POST", body }).catch(() => null);
  if (content && number === asked) document.getElementById("lines").replaceChildren(content);
}

area.addEventListener("input", () => {
  draw();
  clearTimeout(timer);
  timer = setTimeout(check, WAIT_MS);
});
form.querySelector("details.lines").addEventListener("toggle", (event) => {
  if (!event.target.open || area.value === started) return;
  document.getElementById("lines").replaceChildren(quiet("Comparing…"));
  check();
});
problems.addEventListener("click", (event) => {
  const item = event.target.closest("li[data-line]");
  if (item && Number(item.dataset.line)) jump(Number(item.dataset.line), Number(item.dataset.column));
});
// Tab indents while typing; Escape gives it back to moving on.
let leaving = false;
area.addEventListener("keydown", (event) => {
  if (event.key === "Escape") leaving = true;
  else if (event.key === "Tab" && !leaving && !event.shiftKey && !event.ctrlKey && !event.altKey) {
    event.preventDefault();
    area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input"));
  } else if (event.key !== "Shift") leaving = false;
});
area.addEventListener("blur", () => { leaving = false; });
form.addEventListener("submit", () => { sending = true; });
addEventListener("beforeunload", (event) => { if (!sending && area.value !== started) event.preventDefault(); });

form.querySelector(".y-keys").hidden = false;
editor.classList.add("y-live");
// What the server has drawn can be jumped to by keyboard, too.
for (const place of problems.querySelectorAll("li[data-line] > b")) place.replaceWith(jumper(place.textContent));
draw();
