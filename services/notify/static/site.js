/*! Lead Router site snippet. Apache-2.0.
 * <script async src="https://leads.example.com/site.js?key=KEY"></script>
 * data-respect-signals  send nothing when the browser asks so by Do Not Track or Global Privacy Control
 * data-consent          send nothing until leadRouter.consent()
 * data-greeting="off"   no greeting
 * No cookies: one random id in localStorage. The site's policy needs our host in script-src and connect-src. */
(function () {
  "use strict";
  var me = document.currentScript, nav = navigator, doc = document, win = window;
  if (!me || win.leadRouter && win.leadRouter.loaded) return;
  var src = new URL(me.src), key = src.searchParams.get("key") || "", base = src.origin;
  var on = !me.hasAttribute("data-consent");
  var barred = me.hasAttribute("data-respect-signals") && (nav.globalPrivacyControl === true || nav.doNotTrack === "1");
  var early = win.leadRouter && win.leadRouter.q || [], held = [], user = null, memory = {}, stream, shownId, last;

  function id() {
    if (win.crypto.randomUUID) return crypto.randomUUID();
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), function (b) { return (b + 256).toString(16).slice(1); }).join("");
  }
  // Storage may be full, blocked or away: then the id lives as long as the page.
  function keep(name, value, store) {
    try {
      store = store || localStorage;
      if (value === undefined) return store.getItem(name) || memory[name];
      if (value === null) store.removeItem(name); else store.setItem(name, value);
    } catch (_) { /* see above */ }
    if (value === undefined) return memory[name];
    if (value === null) delete memory[name]; else memory[name] = value;
  }
  function anon() {
    var found = keep("lr_anon");
    if (!found) keep("lr_anon", found = id());
    return found;
  }

  function page() {
    return { url: location.href, path: location.pathname, title: doc.title, referrer: doc.referrer };
  }
  function send(type, fields) {
    if (barred) return;
    var event = Object.assign({
      type: type, messageId: id(), anonymousId: anon(), timestamp: new Date().toISOString(),
      context: { page: page(), locale: nav.language, userAgent: nav.userAgent, library: { name: "site.js", version: "1" } }
    }, fields);
    if (user) event.userId = user;
    if (!on) { if (held.length < 50) held.push([type, event]); return; }
    post(type, event, 0);
  }
  // text/plain asks the browser for no preflight. The same messageId is sent again, so a repeat counts once.
  function post(type, event, tries) {
    event.writeKey = key;
    event.sentAt = new Date().toISOString();
    fetch(base + "/v1/" + type, {
      method: "POST", keepalive: true, credentials: "omit", headers: { "Content-Type": "text/plain" }, body: JSON.stringify(event)
    }).then(function (answer) {
      if (answer.status === 429 || answer.status > 499) throw answer;
    }).catch(function () {
      if (tries < 4) setTimeout(post, 2000 * Math.pow(3, tries) * (0.5 + Math.random()), type, event, tries + 1);
    });
  }

  function greet(hello) {
    var host = doc.createElement("div"), root = host.attachShadow({ mode: "closed" });
    var css = new CSSStyleSheet();
    css.replaceSync(":host{all:initial;position:fixed;right:16px;bottom:16px;z-index:2147483000;color-scheme:light dark}" +
      "div{font:15px/1.45 system-ui,sans-serif;box-sizing:border-box;width:min(320px,calc(100vw - 32px));padding:14px 16px;border-radius:12px;" +
      "background:#fff;color:#1a1f36;box-shadow:0 8px 30px rgba(20,25,50,.22)}p{margin:6px 28px 0 0}b{display:block}span{color:#566078;font-size:13px}" +
      "button{position:absolute;top:8px;right:8px;width:32px;height:32px;border:0;border-radius:8px;background:none;color:inherit;font:20px/1 system-ui;cursor:pointer}" +
      "button:focus-visible{outline:2px solid #3355dd}@media(prefers-color-scheme:dark){div{background:#1b2030;color:#eef1f8}span{color:#a6b0c6}}");
    root.adoptedStyleSheets = [css];
    function add(parent, tag, text) {
      var made = doc.createElement(tag);
      if (text) made.textContent = text;
      return parent.appendChild(made);
    }
    var box = add(root, "div"), close = add(box, "button", "\u00d7");
    box.setAttribute("role", "status");
    close.setAttribute("aria-label", "Close");
    close.onclick = function () { keep("lr_hushed", "1", sessionStorage); stop(); host.remove(); };
    add(box, "b", hello.from.name);
    if (hello.from.title) add(box, "span", hello.from.title);
    add(box, "p", hello.text);
    (doc.body || doc.documentElement).appendChild(host);
    return host;
  }
  var box;
  function listen() {
    if (barred || !on || stream || doc.hidden || !win.EventSource || me.getAttribute("data-greeting") === "off") return;
    if (keep("lr_hushed", undefined, sessionStorage)) return;
    stream = new EventSource(base + "/v1/site/stream?key=" + encodeURIComponent(key) + "&visitor=" + encodeURIComponent(anon()));
    stream.addEventListener("greeting", function (e) {
      if (e.lastEventId === shownId) return;
      shownId = e.lastEventId;
      if (box) box.remove();
      box = greet(JSON.parse(e.data));
    });
    stream.onerror = function () { if (stream && stream.readyState === 2) { stop(); setTimeout(listen, 60000); } };
  }
  function stop() { if (stream) stream.close(); stream = null; }

  function viewed() {
    if (location.href === last) return;
    last = location.href;
    send("page", { name: doc.title, properties: page() });
  }
  var api = win.leadRouter = {
    loaded: true,
    page: function () { last = null; viewed(); },
    track: function (event, properties) { send("track", { event: event, properties: properties || {} }); },
    identify: function (userId, traits) {
      if (userId && typeof userId === "object") { traits = userId; userId = null; }
      if (userId) user = String(userId);
      send("identify", { traits: traits || {} });
    },
    consent: function (yes) {
      on = yes !== false;
      if (!on) { stop(); held = []; keep("lr_anon", null); return; }
      held.splice(0).forEach(function (one) { post(one[0], one[1], 0); });
      listen();
    },
    reset: function () { user = null; keep("lr_anon", null); stop(); listen(); }
  };
  ["pushState", "replaceState"].forEach(function (name) {
    var was = history[name];
    history[name] = function () { var out = was.apply(this, arguments); setTimeout(viewed, 0); return out; };
  });
  addEventListener("popstate", viewed);
  // Browsers allow few connections a host: only the tab that is looked at listens.
  doc.addEventListener("visibilitychange", function () { if (doc.hidden) stop(); else listen(); });
  viewed();
  early.forEach(function (call) { var f = api[call[0]]; if (typeof f === "function") f.apply(api, [].slice.call(call, 1)); });
  listen();
})();
