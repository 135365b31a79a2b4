"""The chat page of a demonstration server: one file, no external assets; text is only ever set as text."""

from typing import Final

CHAT_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SERVER_NAME</title>
<style>
  :root { color-scheme: light dark; --line: #8884; --quiet: #888; --mine: #2563eb; --bad: #dc2626; --good: #16a34a; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 0 auto; padding: 1rem; }
  header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: baseline;
    border-bottom: 1px solid var(--line); }
  h1 { font-size: 1.25rem; margin: .25rem 0; }
  fieldset { border: 0; padding: 0; margin: 0; display: flex; gap: 1rem; }
  nav { margin: .75rem 0; color: var(--quiet); overflow-wrap: anywhere; }
  #messages p { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; padding: .5rem .75rem;
    border: 1px solid var(--line); border-radius: .75rem; width: fit-content; max-width: 85%; }
  #messages .you { margin-left: auto; border-color: var(--mine); }
  #messages .tool { color: var(--quiet); font-family: ui-monospace, monospace; font-size: .85em; }
  #messages .refused { border-color: var(--bad); color: var(--bad); }
  #messages .report { border: 0; padding: 0 .25rem; margin: 0; color: var(--good); font-size: .85em; }
  form { display: flex; gap: .5rem; position: sticky; bottom: 0; padding: .75rem 0; background: Canvas; }
  input[name=question] { flex: 1; min-width: 0; font: inherit; padding: .5rem; }
  button { font: inherit; padding: .5rem 1rem; }
</style>
<header>
  <h1>SERVER_NAME</h1>
  <fieldset>
    <label><input type="radio" name="way" value="directly"> directly</label>
    <label><input type="radio" name="way" value="unpinned" checked> through Unpinned</label>
  </fieldset>
</header>
<nav id="others"></nav>
<main id="messages" aria-live="polite"></main>
<form>
  <input name="question" autocomplete="off" placeholder="What is the weather in Paris?" aria-label="Question" autofocus>
  <button>Ask</button>
</form>
<script>
  const messages = document.querySelector("#messages");
  const servers = SERVERS;
  let number = Number(new URLSearchParams(location.search).get("conversation"));

  function show(who, text) {
    const line = document.createElement("p");
    line.className = who;
    line.textContent = text;
    messages.append(line);
    line.scrollIntoView({ block: "end" });
  }

  function links() {
    const others = document.querySelector("#others");
    others.textContent = `Conversation ${number}. Go on with it on: `;
    for (const [name, address] of servers) {
      const link = document.createElement("a");
      link.href = `${address}/?conversation=${number}`;
      link.target = "_blank";
      link.textContent = name;
      others.append(link, " ");
    }
  }

  async function begin() {
    if (!number) {
      number = (await (await fetch("/conversations", { method: "POST" })).json()).number;
      history.replaceState(null, "", `?conversation=${number}`);
    }
    links();
    const known = await fetch(`/conversations/${number}`);
    if (!known.ok) return show("refused", (await known.json()).error);
    for (const message of (await known.json()).messages) show(message.who, message.text);
  }

  document.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = event.target.question;
    const question = field.value.trim();
    if (!question) return;
    field.value = "";
    show("you", question);
    const way = document.querySelector("[name=way]:checked").value;
    const asked = await fetch(`/conversations/${number}`, { method: "POST", body: JSON.stringify({ question, way }) });
    const turn = await asked.json();
    if (turn.status >= 400) show("refused", `${turn.status}: ${turn.text}`);
    else {
      if (turn.tools) show("tool", `${turn.tools} tool call(s) made and answered`);
      show("model", turn.text);
    }
    for (const report of turn.reports) {
      const told = Object.entries(report).map(([name, value]) => `${name} ${value}`).join(", ");
      if (told) show("report", told);
    }
  });

  begin();
</script>
</html>
"""
