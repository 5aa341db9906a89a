// The one place where text becomes HTML: only what our own server has drawn and escaped.
const policy = globalThis.trustedTypes
  ? globalThis.trustedTypes.createPolicy("fragments", { createHTML: (html) => html })
  : { createHTML: (html) => html };

export async function fragment(address, more = {}) {
  const answer = await fetch(address, { headers: { Accept: "text/html" }, ...more });
  if (answer.status === 401) location.assign("/");
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  const holder = document.createElement("template");
  holder.innerHTML = policy.createHTML(await answer.text());
  return holder.content;
}
