// The one place where text becomes HTML: only what our own server has drawn and escaped.
const policy = globalThis.trustedTypes
  ? globalThis.trustedTypes.createPolicy("fragments", { createHTML: (html) => html })
  : { createHTML: (html) => html };

export async function fragment(address, more = {}) {
  const answer = await fetch(address, { headers: { Accept: "text/html" }, ...more });
  // The session is over: the page itself, asked for again, leads to the sign-in and back.
  if (answer.status === 401) location.assign(location.pathname + location.search);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  const holder = document.createElement("template");
  holder.innerHTML = policy.createHTML(await answer.text());
  return holder.content;
}
