// The blind vote: names hidden, order shuffled, one click for the best, then the names again.
import { $, _, call, el, icon, notice } from "./dom.js";
import { count, percent } from "../format.js";
import { dialog } from "./overlay.js";

/** Hides the names of the models; columns keep their ids, the page shows numbers in a new order. */
export function hideNames(columns) {
  const order = columns.map((column) => column);
  for (let i = order.length - 1; i > 0; i -= 1) {
    const j = crypto.getRandomValues(new Uint32Array(1))[0] % (i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  order.forEach((column, i) => {
    column.blind = String(i + 1);
    column.renderName();
  });
  return order;
}

export function revealNames(columns) {
  for (const column of columns) {
    column.blind = "";
    column.stateKey = "";
    column.renderName();
  }
}

/** The bar of buttons that ends a blind run; `done()` when the names may be shown. */
export function askForVote(order, run, done) {
  const box = $("#pg-vote");
  const vote = async (winner) => {
    box.hidden = true;
    done(winner);
    try {
      await call("/votes", { method: "POST", body: { run: run.id, order: order.map((c) => c.id), winner } });
      const winningColumn = order.find((c) => c.id === winner);
      notice(winningColumn ? _("You voted for {letter}, {model}.", { letter: winningColumn.letter, model: winningColumn.info.label }) : winner === "tie" ? _("Counted as a tie.") : _("Counted as all bad."), "ok");
    } catch (error) {
      notice(_("The vote was not saved: {reason}", { reason: error.message }), "bad");
    }
  };
  box.replaceChildren(el("b", {}, _("Which response is best?")),
    el("div.row.wrap", { role: "group", "aria-label": _("Vote") },
      order.map((c) => el("button.btn.sm", { type: "button", onclick: () => vote(c.id) }, _("Response {n}", { n: c.letter }))),
      el("button.btn.sm", { type: "button", onclick: () => vote("tie") }, _("Tie")),
      el("button.btn.sm", { type: "button", onclick: () => vote("none") }, _("All bad")),
      el("button.btn.ghost.sm", { type: "button", onclick: () => { box.hidden = true; done(null); } }, _("Reveal names without voting"))));
  box.hidden = false;
  $("button", box).focus();
}

/** The number of wins of each model, over all votes. */
export async function scoreboard() {
  const body = el("div", {}, el("p.hint", {}, _("Counting the votes")));
  dialog(_("Scoreboard"), body);
  try {
    const { rows } = await call("/scoreboard");
    if (!rows.length) {
      body.replaceChildren(el("p.hint", {}, icon("trophy"), _("No votes yet. Turn on Blind and run two or more models.")));
      return;
    }
    const head = [_("Model"), _("Won"), _("Tied"), _("Lost"), _("Wins"), _("Rating")];
    body.replaceChildren(el("table.table", {}, el("thead", {}, el("tr", {}, head.map((h, i) => el("th", { class: i ? "r" : null }, h)))),
      el("tbody", {}, rows.map((r) => el("tr", {}, el("th", { scope: "row" }, r.model),
        [count(r.wins), count(r.ties), count(r.losses), percent(r.win_rate), count(r.rating)].map((n, i) => el("td.r", { "data-label": head[i + 1] }, n)))))));
  } catch (error) {
    body.replaceChildren(el("p.errors", { role: "alert" }, error.message));
  }
}
