// The rep's stream. One tab reads it and tells the others: browsers allow six connections a host.
export function follow(rep, me, after, { onNotice, onState }) {
  const name = `lead-router-inbox-${me}`;
  const channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(name) : null;
  let last = after;
  let source = null;

  const take = (id, text) => {
    if (id <= last) return;
    last = id;
    onNotice(JSON.parse(text));
  };
  const query = (seq) => `/v1/inbox/stream?after=${seq}${rep ? `&rep=${encodeURIComponent(rep)}` : ""}`;

  function read() {
    source = new EventSource(query(last));
    source.onopen = () => say("live");
    source.onerror = () => {
      say("off");
      // A refusal is final for an EventSource: the session is over, or the server is starting.
      if (source.readyState === EventSource.CLOSED) setTimeout(read, 3000 + Math.random() * 3000);
    };
    source.addEventListener("notice", (event) => {
      const id = Number(event.lastEventId);
      channel?.postMessage({ id, text: event.data });
      take(id, event.data);
    });
  }
  function say(state) {
    channel?.postMessage({ state });
    onState(state);
  }
  if (channel) {
    channel.onmessage = ({ data }) => {
      if (data.state) onState(data.state);
      else if (data.hello && source?.readyState === EventSource.OPEN) channel.postMessage({ state: "live" });
      else if (data.id) take(data.id, data.text);
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
}
