// Keeps parts of a page fresh, without moving what you look at: <div data-fresh="address" data-every="5">.
import { fragment } from "./fragments.js";

const said = document.getElementById("fresh");

function keep(part) {
  let busy = false;
  async function look() {
    if (document.hidden || busy) return;
    // Somebody reads a table or holds the focus in here: not now, and the page says so.
    if (part.querySelector("details[open]") || part.contains(document.activeElement)) {
      say("still", "Stands still while you are in it");
      return;
    }
    busy = true;
    try {
      part.replaceChildren(await fragment(part.dataset.fresh));
      say("live", `Fresh every ${part.dataset.every} s`);
    } catch {
      say("off", "No answer; what you see is old");
    }
    busy = false;
  }
  setInterval(look, Number(part.dataset.every) * 1000);
  document.addEventListener("visibilitychange", look);
}

function say(state, words) {
  if (!said) return;
  said.hidden = false;
  said.dataset.state = state;
  if (said.textContent !== words) said.textContent = words;
}

for (const part of document.querySelectorAll("[data-fresh]")) keep(part);
say("live", "Fresh every 5 s");
