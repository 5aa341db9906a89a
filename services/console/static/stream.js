// The rep's stream. One tab reads it and tells the others: browsers allow six connections a host.
const PAUSE = 2000;
const PAUSE_MAX = 30_000;

export function follow({ query, me, after, onNotice, onState }) {
  const name = `lead-router-inbox-${me}`;
  const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(name) : null;
  let last = after;
  let source = null;
  let pause = PAUSE;

  const take = (id, text, reader) => {
    if (id <= last) return;
    last = id;
    onNotice(JSON.parse(text), reader);
  };

  function read() {
    source?.close();
    source = new EventSource(`/v1/inbox/stream?after=${last}${query.replace("?", "&")}`);
    const mine = source;
    mine.onopen = () => {
      pause = PAUSE;
      say("live");
    };
    mine.onerror = () => {
      say("off");
      // A refusal is final for an EventSource: the session is over, the server is starting, or too many are open. What
      // comes meanwhile is caught up with by the cursor.
      if (mine.readyState !== EventSource.CLOSED) return;
      setTimeout(() => { if (mine === source) read(); }, pause * (.75 + Math.random() / 2));
      pause = Math.min(pause * 2, PAUSE_MAX);
    };
    mine.addEventListener("notice", (event) => {
      const id = Number(event.lastEventId);
      channel?.postMessage({ id, text: event.data });
      take(id, event.data, true);
    });
  }
  function say(state) {
    channel?.postMessage({ state });
    onState(state);
  }
  if (channel) {
    channel.onmessage = ({ data }) => {
      if (data.state) onState(data.state);
      else if (data.hello) { if (source?.readyState === EventSource.OPEN) channel.postMessage({ state: "live" }); }
      else if (data.changed) onState("changed");
      else if (data.id) take(data.id, data.text, false);
    };
  }
  if (channel && navigator.locks) {
    // Whoever holds the lock reads; when that tab closes, the next one takes over from its own cursor.
    channel.postMessage({ hello: true });
    navigator.locks.request(name, () => {
      read();
      return new Promise(() => {});
    });
  } else {
    read();
  }
  // A tab that is in sight holds a lock with the others that are, so that the tab that reads can see it.
  const sight = `${name}-in-sight`;
  let leave = null;
  function look() {
    if (document.hidden || !navigator.locks) {
      leave?.();
      leave = null;
    } else if (!leave) {
      const hidden = new Promise((done) => { leave = done; });
      navigator.locks.request(sight, { mode: "shared" }, () => hidden);
    }
  }
  look();
  document.addEventListener("visibilitychange", () => {
    look();
    // Phones end hidden streams silently.
    if (!document.hidden && source?.readyState === EventSource.CLOSED) read();
  });
  return {
    // What this tab did without the stream, told to the others.
    changed: () => channel?.postMessage({ changed: true }),
    // Whether the inbox is before the rep's eyes, in this tab or in another of this browser.
    async inSight() {
      if (!document.hidden) return true;
      return Boolean((await navigator.locks?.query())?.held.some((lock) => lock.name === sight));
    },
  };
}
