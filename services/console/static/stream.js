// The rep's stream. One tab reads it and tells the others: browsers allow six connections a host.
export function follow({ query, me, after, onNotice, onState }) {
  const name = `lead-router-inbox-${me}`;
  const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(name) : null;
  let last = after;
  let source = null;

  const take = (id, text, reader) => {
    if (id <= last) return;
    last = id;
    onNotice(JSON.parse(text), reader);
  };

  function read() {
    source?.close();
    source = new EventSource(`/v1/inbox/stream?after=${last}${query.replace("?", "&")}`);
    const mine = source;
    mine.onopen = () => say("live");
    mine.onerror = () => {
      say("off");
      // A refusal is final for an EventSource: the session is over, or the server is starting.
      if (mine.readyState === EventSource.CLOSED) setTimeout(() => { if (mine === source) read(); }, 1500 + Math.random() * 2500);
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
  document.addEventListener("visibilitychange", () => {
    // Phones end hidden streams silently.
    if (!document.hidden && source?.readyState === EventSource.CLOSED) read();
  });
  // What this tab did without the stream, told to the others.
  return { changed: () => channel?.postMessage({ changed: true }) };
}
