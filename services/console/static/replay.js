// Puts all letters of a filter back, step by step, and shows how far it is. Without this the form does one step.
const form = document.getElementById("replay");
const told = document.getElementById("told");
const bar = document.getElementById("progress");
const button = form.querySelector("button");
const AT_ONCE = 100;
let stopped = false;
// Where the next step goes on, also after a stop or an error: what died anew meanwhile is not sent round in circles.
let step = { after: 0 };
let done = 0;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.dataset.running) { stopped = true; return; }
  const total = Number(form.dataset.waiting);
  const field = (name) => form.elements[name]?.value || undefined;
  const wanted = { stage: field("stage"), reason: field("reason"), topic: field("topic"), at_most: AT_ONCE };
  let ended = false;
  stopped = false;
  button.dataset.running = "yes";
  button.textContent = "Stop";
  bar.hidden = false;
  bar.max = total;
  try {
    while (!ended && !stopped) {
      const order = { ...wanted, after: step.after };
      if (step.newest !== undefined) order.newest = step.newest;
      const answer = await fetch("/v1/ops/dead-letters/replay", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(order),
      });
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.message);
      step = said;
      done += step.replayed;
      ended = !step.left;
      bar.value = total - step.left;
      told.textContent = `${done} of ${total} put back`;
    }
    told.textContent = ended ? `${done} put back. What cannot be handled still will be here again in a moment.` : `Stopped: ${done} put back, ${step.left} left.`;
  } catch (error) {
    told.textContent = `Stopped after ${done}: ${error.message}`;
  }
  delete button.dataset.running;
  button.textContent = ended ? "Done" : "Put the rest back";
  button.disabled = ended;
});
