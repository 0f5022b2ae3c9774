// Ask for somebody's list, send a click, ask again: the second list reflects the click.
//
//     node ask.js http://127.0.0.1:8780 ann cup
//
// Node 18 or newer, or a browser. In a browser ask your own server, which asks Penchant: whoever can ask Penchant can ask
// about everybody, so it answers no page of another origin (CORS), and a token has no place in a page.
// Exit code 0: both lists came, 1: one line says why not.

async function ask(url, options = {}) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(10_000), ...options });
  const body = await answer.json();
  // Every error is a "problem" (RFC 9457): detail says what is wrong, field where.
  if (!answer.ok) throw new Error(`${body.status} ${body.title}. ${body.detail}`);
  return body;
}

async function listAfterClick(url, userId, itemId, show = console.log) {
  const list = `${url}/v1/users/${encodeURIComponent(userId)}/recommendations?n=5`;
  const titles = (answer) => answer.items.map((place) => place.title).join(", ");

  show(`before: ${titles(await ask(list))}`);
  const sent = await ask(`${url}/v1/events`, {
    method: "POST",
    headers: { "content-type": "application/json" }, // with a token also: authorization: `Bearer ${token}`
    body: JSON.stringify({ user_id: userId, action: "click", item_id: itemId }),
  });
  const after = await ask(`${list}&explain=true&min_offset=${sent.offset}&wait_ms=3000`);
  show(`after: ${titles(after)}`);
  if (!after.fresh) show("the click is not in it yet: ask again, or wait longer");
  for (const place of after.items) show(`${place.rank}. ${place.title}: ${place.reason?.en ?? ""}`);
}

if (typeof process !== "undefined") {
  const given = process.argv.slice(2);
  if (given.length !== 3) {
    console.error("usage: node ask.js URL USER_ID ITEM_ID");
    process.exit(2);
  }
  listAfterClick(...given).catch((error) => {
    console.error(error.cause ? `${error.message}: ${error.cause.code ?? error.cause.message}` : error.message);
    process.exitCode = 1;
  });
}
