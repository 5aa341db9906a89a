/*! Lead Router site snippet. Apache-2.0.
 * <script async src="https://leads.example.com/site.js?key=KEY"></script>
 * data-consent="required"   nothing is sent or stored until leadRouter.consent(true)
 * data-respect-signals      nothing at all when the browser asks so by Do Not Track or Global Privacy Control
 * data-greeting="off"       no greeting     data-pageviews="off"   no page views (an SDK sends them)
 * data-chat="https://…"     a second link in the greeting
 * <form data-lead-router>   the form's fields are sent when it is; data-lead-router="Demo Requested" names the event.
 * No cookies: one random id in localStorage. The site's policy needs our host in script-src and connect-src, no more. */
(function () {
  "use strict";
  var me = document.currentScript, nav = navigator, doc = document, win = window;
  if (!me || win.leadRouter && win.leadRouter.loaded) return;
  var src = new URL(me.src), key = src.searchParams.get("key") || "", base = src.origin, early = win.leadRouter && win.leadRouter.q || [];
  function set(name) { return me.getAttribute("data-" + name); }
  var barred = set("respect-signals") !== null && (nav.globalPrivacyControl === true || nav.doNotTrack === "1" || win.doNotTrack === "1");
  var asked = set("consent"), asks = asked !== null && asked !== "granted";
  var memory = {}, on = !asks, user = null, last;

  // -- what the browser keeps: nothing before consent. Storage may be full, blocked or away: then it lives as long as the page.
  function keep(name, value, store) {
    name = "lr_" + name;
    try {
      store = store || localStorage;
      if (value === undefined) return store.getItem(name) || memory[name];
      if (value === null) store.removeItem(name); else store.setItem(name, value);
    } catch (_) { /* see above */ }
    if (value === undefined) return memory[name];
    if (value === null) delete memory[name]; else memory[name] = value;
  }
  function uuid() {
    if (win.crypto.randomUUID) return crypto.randomUUID();
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), function (b) { return (b + 256).toString(16).slice(1); }).join("");
  }
  // An SDK on the same page knows the visitor by its own id: one visitor, one id.
  function theirs() {
    try {
      var a = win.analytics, r = win.rudderanalytics, u = a && typeof a.user === "function" && a.user();
      var id = u && typeof u.anonymousId === "function" && u.anonymousId() || r && typeof r.getAnonymousId === "function" && r.getAnonymousId();
      return id || JSON.parse(localStorage.getItem("ajs_anonymous_id"));
    } catch (_) { return null; }
  }
  function anon() {
    var id = theirs(), own = keep("anon");
    if (typeof id !== "string" || !id || id.length > 200) id = own || uuid();
    if (id !== own) keep("anon", id);
    return id;
  }
  if (asks && !barred && keep("consent") === "1") on = true;

  // -- sending: a queue that is tried again and again, goes out by a beacon when the page goes, and by the next page at last
  var queue = [], flying = 0, tries = 0, timer = 0, MOST = 50;
  function page() {
    return { url: location.href, path: location.pathname, title: doc.title, referrer: doc.referrer };
  }
  function send(type, fields) {
    if (barred) return;
    queue.push(Object.assign({
      type: type, messageId: uuid(), timestamp: new Date().toISOString(),
      context: { page: page(), locale: nav.language, userAgent: nav.userAgent, library: { name: "site.js", version: "2" } }
    }, user ? { userId: user } : {}, fields));
    if (queue.length > MOST) queue.shift();
    if (on) soon(0);
  }
  function soon(ms) {
    if (!timer) timer = setTimeout(function () { timer = 0; flush(); }, ms);
  }
  // text/plain asks for no preflight. The same messageId is sent again, so that a repeat counts once.
  function body(events) {
    var id = anon();
    if (stream && hears !== id) { end(); setTimeout(listen, 0); }
    events.forEach(function (event) { event.anonymousId = event.anonymousId || id; });
    return JSON.stringify({ writeKey: key, sentAt: new Date().toISOString(), batch: events });
  }
  function flush() {
    if (!on || flying || !queue.length) return;
    var some = queue.slice(0, 20);
    flying = some.length;
    fetch(base + "/v1/batch", {
      method: "POST", keepalive: true, credentials: "omit", headers: { "Content-Type": "text/plain" }, body: body(some)
    }).then(function (answer) {
      if (answer.status === 429 || answer.status > 499) throw answer;
      queue = queue.filter(function (event) { return some.indexOf(event) < 0; });
      tries = 0;
    }).catch(function () {
      tries++;
    }).then(function () {
      flying = 0;
      if (queue.length && tries < 8) soon(tries ? Math.min(60000, 1000 * Math.pow(2, tries)) * (0.5 + Math.random()) : 0);
    });
  }
  function leave() {
    if (!on || !queue.length) return;
    // What is in flight goes on by itself; once that has failed it is sent again, and counts once.
    var rest = queue.splice(tries ? 0 : flying), gone = false;
    if (!rest.length) return;
    if (nav.onLine !== false && nav.sendBeacon) try { gone = nav.sendBeacon(base + "/beacon/v1/batch?writeKey=" + encodeURIComponent(key), body(rest)); } catch (_) { /* kept */ }
    if (!gone) { body(rest); keep("queue", JSON.stringify(rest)); }
  }
  function kept() {
    try { queue = JSON.parse(keep("queue") || "[]").slice(-MOST).concat(queue); } catch (_) { /* not ours */ }
    keep("queue", null);
  }

  // -- page views, on pages that never load again too
  function viewed() {
    if (location.href === last || set("pageviews") === "off") return;
    last = location.href;
    send("page", { name: doc.title, properties: page() });
  }

  // -- forms that ask for it. Never: passwords, cards, files, hidden fields, fields marked data-lead-router-skip
  var SECRET = /pass|pwd|secret|token|card|cvc|cvv|iban|ssn|social.?sec|hetu|personnummer|henkil.*tunnus/i;
  var TRAITS = { email: "email", name: "name", "given-name": "firstName", "family-name": "lastName", tel: "phone", organization: "company", "organization-title": "title" };
  function own(word) { return Object.prototype.hasOwnProperty.call(TRAITS, word) && TRAITS[word]; }
  function fields(form) {
    var sent = {}, traits = {}, n = 0;
    Array.prototype.forEach.call(form.elements, function (field) {
      var kind = (field.type || "").toLowerCase(), fill = (field.getAttribute("autocomplete") || "").toLowerCase().split(" ").pop(), value = String(field.value || "").trim();
      if (!/^(text|email|tel|url|number|date|select-one|textarea|checkbox|radio)$/.test(kind) || !field.name || !value || n >= 30) return;
      if (field.disabled || field.hasAttribute("data-lead-router-skip") || (kind === "checkbox" || kind === "radio") && !field.checked) return;
      if (fill.indexOf("cc-") === 0 || /password|one-time-code/.test(fill) || SECRET.test(field.name) || /^[\d -]{12,23}$/.test(value) && kind !== "tel" && value.replace(/\D/g, "").length > 11) return;
      n++;
      sent[field.name.slice(0, 100)] = value.slice(0, 500);
      var trait = own(fill) || own(field.name) || kind === "email" && "email" || /^(firstName|lastName|company|title|phone)$/.test(field.name) && field.name;
      if (trait) traits[trait] = value.slice(0, 500);
    });
    return [sent, traits];
  }
  function submitted(e) {
    var form = e.target, name = form.getAttribute && form.getAttribute("data-lead-router");
    if (name === null || name === undefined) return;
    var both = fields(form);
    if (both[1].email) send("identify", { traits: both[1] });
    send("track", { event: name || "Form Submitted", properties: Object.assign({ form: form.getAttribute("id") || form.getAttribute("name") || location.pathname }, both[0]) });
    flush();
  }

  // -- the greeting, in the language of the page
  var WORDS = {
    en: ["Greeting", "Close", "Book a time", "To the shop", "Chat"],
    fi: ["Tervehdys", "Sulje", "Varaa aika", "Kauppaan", "Keskustele"],
    sv: ["Hälsning", "Stäng", "Boka en tid", "Till butiken", "Chatta"]
  };
  var CSS = ":host{all:initial;position:fixed;right:16px;bottom:16px;z-index:2147483000;color-scheme:light dark}" +
    "section{position:relative;font:15px/1.45 system-ui,sans-serif;box-sizing:border-box;width:min(330px,calc(100vw - 32px));padding:14px 16px;border-radius:12px;background:#fff;color:#1a1f36;border:1px solid #d5d9e6;box-shadow:0 8px 30px rgba(20,25,50,.22);overflow-wrap:anywhere}" +
    "p{margin:6px 0 0}b{display:block;margin-right:36px}span{display:block;color:#566078;font-size:13px;margin-right:36px}nav{display:flex;flex-wrap:wrap;gap:8px;margin-top:12px}" +
    "a{display:inline-block;padding:7px 14px;border-radius:8px;background:#2f49c8;color:#fff;font-weight:600;text-decoration:none}a+a{background:none;color:#2f49c8;box-shadow:inset 0 0 0 1px #2f49c8}" +
    "button{position:absolute;top:6px;right:6px;width:36px;height:36px;border:0;border-radius:8px;background:none;color:inherit;font:22px/1 system-ui;cursor:pointer}" +
    "a:focus-visible,button:focus-visible{outline:3px solid #7d93ff;outline-offset:2px}.bare p{margin-right:36px;margin-top:0}" +
    "@media(prefers-color-scheme:dark){section{background:#1b2030;color:#eef1f8;border-color:#394158}span{color:#a6b0c6}a{background:#9db0ff;color:#10142a}a+a{color:#b9c6ff;box-shadow:inset 0 0 0 1px #b9c6ff}}" +
    "@media(prefers-reduced-motion:no-preference){section{animation:lr .25s ease-out}@keyframes lr{from{opacity:0;transform:translateY(12px)}}}";
  var host = null, shown = null, said = null;
  function web(url) { return typeof url === "string" && /^https?:\/\//i.test(url) ? url : null; }
  function greet(hello, id) {
    if (!on || barred || hushed() || id === shown) return;
    var words = WORDS[(doc.documentElement.lang || nav.language || "en").slice(0, 2).toLowerCase()] || WORDS.en;
    var text = hello.texts && hello.texts[words === WORDS.fi ? "fi" : words === WORDS.sv ? "sv" : "en"] || hello.text;
    var says = (hello.from || {}).name + text;
    shown = id;
    if (host && host.isConnected && said === says) return; // the next page view: the same person is there already
    if (host) host.remove();
    said = says;
    host = doc.createElement("div");
    var root = host.attachShadow({ mode: "open" }), css = new CSSStyleSheet();
    css.replaceSync(CSS);
    root.adoptedStyleSheets = [css];
    function add(parent, tag, text) {
      var made = doc.createElement(tag);
      if (text) made.textContent = text;
      return parent.appendChild(made);
    }
    var box = add(root, "section"), live = add(box, "div"), from = hello.from || {};
    box.setAttribute("aria-label", words[0]);
    live.setAttribute("role", "status");
    (doc.body || doc.documentElement).appendChild(host);
    // A region that is there first and filled then is what screen readers speak.
    setTimeout(function () {
      if (from.name) add(live, "b", from.name); else box.className = "bare";
      if (from.title) add(live, "span", from.title);
      add(live, "p", text);
    }, 50);
    var ways = add(box, "nav"), link = hello.link || {};
    [[web(link.url), link.kind === "shop" ? words[3] : words[2]], [web(set("chat")), words[4]]].forEach(function (way) {
      if (!way[0]) return;
      var a = add(ways, "a", way[1]);
      a.href = way[0]; a.target = "_blank"; a.rel = "noopener noreferrer";
      a.onclick = function () { send("track", { event: "Greeting Followed", properties: { url: way[0] } }); };
    });
    if (!ways.firstChild) ways.remove();
    var close = add(box, "button", "\u00d7");
    close.type = "button";
    close.setAttribute("aria-label", words[1]);
    close.onclick = function () { hush(); tell({ hush: 1 }); };
    box.onkeydown = function (e) { if (e.key === "Escape") close.onclick(); };
  }
  function hushed() { return keep("hushed", undefined, sessionStorage); }
  function hush() {
    keep("hushed", "1", sessionStorage);
    drop();
    end();
  }
  function drop() { if (host) host.remove(); host = shown = null; }

  // -- one stream a browser: the tab that holds the lock reads it and tells the others
  var stream = null, wire = null, holding = null, wait = 0, pause = 30000, newest = null, hears = null;
  function tell(what) { if (wire) wire.postMessage(what); }
  function listen() {
    if (barred || !on || stream || holding || wait || !win.EventSource || set("greeting") === "off" || hushed()) return;
    if (nav.locks && win.BroadcastChannel) {
      if (!wire) {
        wire = new BroadcastChannel("lr-site-" + key);
        wire.onmessage = function (e) {
          if (e.data.hush) hush();
          else if (e.data.who) { if (newest && stream && Date.now() - newest.at < 120000) tell(newest); }
          else if (e.data.id) greet(e.data.hello, e.data.id);
        };
      }
      tell({ who: 1 });
      holding = new AbortController();
      nav.locks.request("lr-site-" + key, { signal: holding.signal }, function () {
        return new Promise(function (release) { if (!holding) return release(); holding.release = release; open(); });
      }).catch(function () { /* no longer wanted */ });
    } else if (!doc.hidden) open();
  }
  function open() {
    var id = hears = anon();
    stream = new EventSource(base + "/v1/site/stream?key=" + encodeURIComponent(key) + "&visitor=" + encodeURIComponent(id));
    stream.onopen = function () { pause = 30000; };
    stream.addEventListener("greeting", function (e) {
      var hello;
      try { hello = JSON.parse(e.data); } catch (_) { return; }
      newest = { hello: hello, id: e.lastEventId, at: Date.now() };
      tell(newest);
      greet(hello, e.lastEventId);
    });
    // A browser comes back by itself after a torn line, with what it has seen; not after a refusal.
    stream.onerror = function () {
      if (!stream || stream.readyState !== 2) return;
      end();
      wait = setTimeout(function () { wait = 0; listen(); }, pause * (0.5 + Math.random()));
      pause = Math.min(pause * 2, 600000);
    };
  }
  function end() {
    if (stream) stream.close();
    stream = null;
    var held = holding;
    holding = null;
    if (held) { if (held.release) held.release(); else held.abort(); }
  }

  var api = win.leadRouter = {
    loaded: true,
    page: function () { last = null; viewed(); },
    track: function (event, properties) { send("track", { event: String(event), properties: properties || {} }); },
    identify: function (userId, traits) {
      if (userId && typeof userId === "object") { traits = userId; userId = null; }
      if (userId) user = String(userId);
      send("identify", { traits: traits || {} });
    },
    consent: function (yes) {
      if (barred) return;
      if (yes === false) {
        on = false;
        end();
        drop();
        queue = [];
        ["anon", "queue", "consent"].forEach(function (name) { keep(name, null); });
        keep("hushed", null, sessionStorage);
        return;
      }
      on = true;
      if (asks) keep("consent", "1");
      kept();
      flush();
      listen();
    },
    reset: function () {
      if (on && queue.length) body(queue); // what was done before belongs to whoever did it
      user = null; keep("anon", null); end(); drop(); listen();
    },
    id: function () { return on && !barred ? anon() : null; }
  };
  ["pushState", "replaceState"].forEach(function (name) {
    var was = history[name];
    history[name] = function () { var out = was.apply(this, arguments); setTimeout(viewed, 0); return out; };
  });
  addEventListener("popstate", function () { setTimeout(viewed, 0); });
  addEventListener("submit", submitted, true);
  addEventListener("online", function () { tries = 0; flush(); });
  addEventListener("pagehide", function () { leave(); end(); });
  addEventListener("pageshow", function (e) { if (e.persisted) { last = null; viewed(); listen(); } });
  // Without locks only the tab that is looked at listens: browsers allow few connections a host.
  doc.addEventListener("visibilitychange", function () {
    if (!doc.hidden) listen(); else if (!holding) end();
    if (doc.hidden) flush();
  });
  if (on && !barred) kept();
  viewed();
  early.forEach(function (call) { var f = api[call[0]]; if (typeof f === "function") f.apply(api, [].slice.call(call, 1)); });
  listen();
})();
