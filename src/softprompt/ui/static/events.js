// Server-sent events of the answer to a POST, which the browser's own EventSource cannot ask for.

/** Each event of a response body: its kind, where it has one, and its data. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s)));
      if (lines.data) yield { kind: lines.event, data: JSON.parse(lines.data) };
    }
  }
}
