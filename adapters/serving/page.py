"""The page to drop pictures on, and what a browser is told that it may do."""

from __future__ import annotations

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""Of every answer: scripts and styles are the two files below, and nothing is loaded from elsewhere."""

HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>featcache</title>
<link rel="stylesheet" href="page.css">
<script src="page.js" defer></script>
<main>
<h1 id="run"></h1>
<p id="about"></p>
<label id="drop">Drop pictures here, or choose some
<input id="files" type="file" accept="image/*" multiple></label>
<form id="secret" hidden><label>Token <input id="token" type="password" autocomplete="off"></label></form>
<p id="told" role="status"></p>
<ul id="answers"></ul>
</main>
</html>
"""

CSS = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff; }
main { max-width: 44rem; margin: auto; }
h1 { font-size: 1.2rem; margin: 0; }
#drop { display: block; padding: 3rem 1rem; text-align: center; border: 2px dashed #888; border-radius: .5rem; }
#drop.over { border-color: #06c; background: #eef5ff; }
#drop input { display: block; margin: 1rem auto 0; max-width: 100%; }
#secret { display: block; margin-top: 1rem; }
[hidden] { display: none !important; }
ul { list-style: none; padding: 0; }
li { display: flex; gap: 1rem; padding: .75rem 0; border-top: 1px solid #ddd; }
li img { width: 6rem; height: 6rem; object-fit: cover; border-radius: .25rem; }
ol { margin: 0; padding-left: 1.2rem; }
.bad { color: #a00; }
.name { color: #666; overflow-wrap: anywhere; }
"""

JS = """
"use strict";
const at = (id) => document.getElementById(id);
const made = (tag, text, of) => {
  const one = document.createElement(tag);
  one.textContent = text;
  if (of) one.className = of;
  return one;
};
const asked = () => (at("token").value ? { authorization: "Bearer " + at("token").value } : {});

async function about() {
  const answer = await fetch("info", { headers: asked() });
  at("secret").hidden = answer.status !== 401 && !at("token").value;
  if (!answer.ok) return;
  const info = await answer.json();
  at("run").textContent = info.run;
  at("about").textContent = info.method + ", " + info.model + ", " + info.classes.length + " classes";
}

function shown(file, item) {
  const row = document.createElement("li");
  const image = document.createElement("img");
  image.alt = "";
  image.src = URL.createObjectURL(file);
  image.onload = image.onerror = () => URL.revokeObjectURL(image.src);
  const told = document.createElement("div");
  told.append(made("div", file.name, "name"));
  if (item.error) {
    told.append(made("div", item.error, "bad"));
  } else {
    if (item.rejected) told.append(made("div", "none of these", "bad"));
    const ranks = document.createElement("ol");
    for (const each of item.top)
      ranks.append(made("li", each.name + " " + (100 * each.probability).toFixed(1) + " %"));
    told.append(ranks);
  }
  row.append(image, told);
  return row;
}

async function classify(files) {
  for (const file of files) {
    at("told").textContent = "Classifying " + file.name + " …";
    const form = new FormData();
    form.append("images", file);
    try {
      const answer = await fetch("predict", { method: "POST", body: form, headers: asked() });
      const content = await answer.json();
      if (answer.status === 401) at("secret").hidden = false;
      const item = content.items ? content.items[0] : { error: content.detail };
      at("answers").prepend(shown(file, item));
    } catch (error) {
      at("answers").prepend(shown(file, { error: "the server does not answer" }));
    }
  }
  at("told").textContent = "";
}

at("files").addEventListener("change", () => classify([...at("files").files]));
at("secret").addEventListener("submit", (e) => { e.preventDefault(); about(); });
for (const event of ["dragenter", "dragover"])
  at("drop").addEventListener(event, (e) => { e.preventDefault(); at("drop").classList.add("over"); });
for (const event of ["dragleave", "drop"])
  at("drop").addEventListener(event, (e) => { e.preventDefault(); at("drop").classList.remove("over"); });
at("drop").addEventListener("drop", (e) => classify([...e.dataTransfer.files]));
about();
"""
