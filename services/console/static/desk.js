// Figures of the overview, from the public APIs.
const READ = {
  ready(body, ok) {
    return ok ? ["good", "ready", ""] : ["bad", "not ready", body.message ?? ""];
  },
  lag(body) {
    const items = body.items ?? [];
    const records = items.reduce((sum, i) => sum + (i.records ?? 0), 0);
    const seconds = Math.max(0, ...items.map((i) => i.seconds ?? 0));
    return [seconds > 30 ? "bad" : "good", `${records}`, `records waiting, the oldest for ${seconds.toFixed(1)} s`];
  },
  dead(body) {
    const waiting = (body.items ?? []).filter((i) => !i.replayed_at);
    const more = body.next ? "or more " : "";
    return [waiting.length ? "bad" : "good", `${waiting.length}`, `${more}not replayed`];
  },
  slo(body) {
    const found = (body.items ?? []).filter((i) => i.window === "hour" && i.measure === "received_to_notice" && i.kind !== "you_missed");
    if (!found.length) return ["wait", "–", "no notices in the last hour"];
    const all = found.reduce((sum, i) => sum + i.count, 0);
    const worst = Math.max(...found.map((i) => i.p99_ms));
    return [worst > 1000 ? "bad" : "good", `${worst} ms`, `p99 of the slowest kind, ${all} notices`];
  },
};

async function look(section) {
  const figure = section.querySelector(".figure");
  const hint = section.querySelector(".hint");
  try {
    const answer = await fetch(section.dataset.from);
    const body = await answer.json().catch(() => ({}));
    const [state, text, more] = answer.ok || section.dataset.kind === "ready"
      ? READ[section.dataset.kind](body, answer.ok)
      : ["bad", "?", body.message ?? `the answer was ${answer.status}`];
    figure.dataset.state = state;
    figure.textContent = text;
    hint.textContent = more;
  } catch {
    figure.dataset.state = "bad";
    figure.textContent = "no answer";
  }
}

function all() {
  if (!document.hidden) for (const section of document.querySelectorAll("#desk [data-from]")) look(section);
}
all();
setInterval(all, 5000);
