// Word differences of two responses, in both directions.
import { $, _, el } from "./dom.js";
import { textNodes, textOf } from "./markdown.js";

const MAX_WORDS = 4000;
const MAX_STEPS = 1200;
const MIN_SIMILARITY = 0.15;

const splitWords = (text) => text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];

/** Pieces [kind, text] with kind "same", "del" (only in `before`) or "ins" (only in `after`). */
function diffWords(before, after) {
  const a = splitWords(before);
  const b = splitWords(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const middleA = a.slice(head, a.length - tail);
  const middleB = b.slice(head, b.length - tail);
  const pieces = [["same", a.slice(0, head).join("")], ...diffMiddle(middleA, middleB), ["same", a.slice(a.length - tail).join("")]];
  return mergePieces(tail ? pieces : pieces.slice(0, -1));
}

function diffMiddle(a, b) {
  if (a.length + b.length > 2 * MAX_WORDS) return [["del", a.join("")], ["ins", b.join("")]];
  const trail = shortestEditTrail(a, b);
  if (!trail) return [["del", a.join("")], ["ins", b.join("")]];
  const result = [];
  let [x, y] = [a.length, b.length];
  for (let d = trail.length - 1; d >= 0; d -= 1) {
    const reach = trail[d];
    const k = x - y;
    const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
    const from = down ? k + 1 : k - 1;
    const startX = d ? reach.get(from) ?? 0 : 0;
    const startY = d ? startX - from : 0;
    while (x > startX && y > startY) result.push(["same", a[((y -= 1), (x -= 1))]]);
    if (d) result.push(down ? ["ins", b[(y -= 1)]] : ["del", a[(x -= 1)]]);
  }
  return result.reverse();
}

/** Myers' greedy search: for each number of changes, how far each diagonal reached before it. */
function shortestEditTrail(a, b) {
  const reach = new Map([[1, 0]]);
  const trail = [];
  for (let d = 0; d <= Math.min(a.length + b.length, MAX_STEPS); d += 1) {
    trail.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
      let x = down ? reach.get(k + 1) : reach.get(k - 1) + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) { x += 1; y += 1; }
      reach.set(k, x);
      if (x >= a.length && y >= b.length) return trail;
    }
  }
  return null;
}

function mergePieces(pieces) {
  const result = [];
  for (const [kind, text] of pieces) {
    if (!text) continue;
    if (result.at(-1)?.[0] === kind) result.at(-1)[1] += text;
    else result.push([kind, text]);
  }
  return result;
}

/** Whether a response has text to compare: a failed one shows its error instead. */
const isComparable = (repetition) => Boolean(repetition?.over && !repetition.failed && responseText(repetition));

/** The share of the longer text that both have. */
function similarityOf(pieces) {
  const size = (kinds) => pieces.filter(([kind]) => kinds.includes(kind)).reduce((sum, [, text]) => sum + text.trim().length, 0);
  return size(["same"]) / Math.max(1, size(["same", "del"]), size(["same", "ins"]));
}

/** The text of a response for comparisons: text, then tool calls. */
const responseText = (repetition) =>
  [repetition.text, ...repetition.calls.map((c) => `${c.name}(${c.text})`)].filter(Boolean).join("\n\n");

/** Shows every column's differences from `base`; without one, the responses again. */
export function showDifferences(columns, base) {
  for (const column of columns) {
    $(".diff", column.region)?.remove();
    const repetition = column.selected;
    const canCompare = base && column !== base && isComparable(repetition) && isComparable(base.selected);
    column.content.hidden = false;
    if (!canCompare) continue;
    const pieces = diffWords(textOf(responseText(base.selected)), textOf(responseText(repetition)));
    const changed = pieces.filter(([kind]) => kind !== "same");
    const similarity = similarityOf(pieces);
    if (similarity < MIN_SIMILARITY) {
      column.region.append(el("div.diff", {}, el("p.hint", {}, _("Too different from {letter} to highlight differences.", { letter: base.letter }))));
      continue;
    }
    column.content.hidden = true;
    const title = changed.length ? _("Differences from {letter} · {n} % identical", { letter: base.letter, n: Math.round(similarity * 100) }) : _("Identical to {letter}", { letter: base.letter });
    column.region.append(el("div.diff", {}, el("p.hint", {}, title),
      el("div.diff-text", { dir: "auto" }, pieces.map(([kind, text]) => (kind === "same" ? textNodes(text) : el(kind, {}, textNodes(text)))))));
  }
}
