// Puts all letters of a filter back, step by step, and shows how far it is. Without this the form does one step.
const form = document.getElementById("replay");
const told = document.getElementById("told");
const bar = document.getElementById("progress");
const button = form.querySelector("button");
const AT_ONCE = 100;
let stopped = false;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (button.dataset.running) { stopped = true; return; }
  const total = Number(form.dataset.waiting);
  const field = (name) => form.elements[name]?.value || undefined;
  const wanted = { stage: field("stage"), reason: field("reason"), topic: field("topic"), at_most: AT_ONCE };
  let step = { after: 0, left: 1 };
  let done = 0;
  stopped = false;
  button.dataset.running = "yes";
  button.textContent = "Stop";
  bar.hidden = false;
  bar.max = total;
  try {
    while (step.left && !stopped) {
      const order = { ...wanted, after: step.after };
      if (step.newest !== undefined) order.newest = step.newest;
      const answer = await fetch("/v1/ops/dead-letters/replay", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(order),
      });
      step = await answer.json();
      if (!answer.ok) throw new Error(step.message);
      done += step.replayed;
      bar.value = total - step.left;
      told.textContent = `${done} of ${total} put back`;
    }
    told.textContent = stopped ? `Stopped: ${done} put back, ${step.left} left.` : `${done} put back. What cannot be handled still will be here again in a moment.`;
  } catch (error) {
    told.textContent = `Stopped after ${done}: ${error.message}`;
  }
  delete button.dataset.running;
  button.textContent = stopped ? "Put the rest back" : "Done";
  button.disabled = !stopped;
  form.dataset.waiting = step.left ?? total;
});
