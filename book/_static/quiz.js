// Predictions: a list of options becomes buttons; pressing one says whether it is right and opens
// the answer. The answer is the first whole number in bold in <details>; a question that only the
// reader can answer has none. Without this script the options are a list, and the answer opens by
// itself.
function quiz(box) {
  const options = [...box.querySelectorAll("ol > li")];
  const details = box.querySelector("details");
  if (!options.length || !details || box.dataset.ready) return;
  box.dataset.ready = "1";
  const summary = details.querySelector("summary");
  const bold = details.querySelector("strong");
  const answer = bold ? parseInt(bold.textContent.match(/\d+/), 10) : NaN;
  const said = document.createElement("p");
  said.setAttribute("role", "status");
  details.before(said);
  const buttons = options.map(function (option, k) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    const text = option.querySelector(":scope > p") || option;
    button.append(...text.childNodes);
    text.append(button);
    button.addEventListener("click", function () {
      buttons.forEach((b) => b.setAttribute("aria-pressed", String(b === button)));
      const right = k + 1 === answer;
      said.textContent = isNaN(answer) ? "Noted."
        : right ? "✓ Your prediction is right." : "✗ Not so. Read why:";
      details.open = true;
    });
    return button;
  });
}

// Blind test: one picture at a time, the score against chance at the end. Nothing is stored, and
// nothing leaves the page. Without this script all pictures are shown, and the answers fold out.
function blind(box) {
  const trials = [...box.querySelectorAll("fieldset")];
  const answers = box.querySelector("details");
  if (!trials.length || box.dataset.ready) return;
  box.dataset.ready = "1";
  const truths = atob(box.dataset.truths).split(",").map(Number);
  const choices = box.dataset.choices.split("|");
  const said = document.createElement("p");
  said.setAttribute("role", "status");
  box.prepend(said);
  let right = 0;
  answers.hidden = true;
  function show(at) {
    trials.forEach((trial, k) => { trial.hidden = k !== at; });
    if (at < trials.length) {
      said.textContent = `${at + 1} of ${trials.length}`;
      if (at > 0) trials[at].querySelector("button").focus();
      return;
    }
    const n = trials.length, luck = tail(right, n, 1 / choices.length);
    said.textContent = `You were right in ${right} of ${n}. Guessing gives `
      + `${(n / choices.length).toFixed(0)} on average, and ${right} or more with probability `
      + `${luck.toFixed(luck < 0.01 ? 4 : 2)}: `
      + (luck < 0.05 ? "you can see it." : "no better than guessing.");
    said.tabIndex = -1;
    said.focus();
    answers.hidden = false;
  }
  trials.forEach(function (trial, k) {
    const row = trial.querySelector(".hsem-choices");
    row.textContent = "";
    choices.forEach(function (choice, c) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = choice;
      button.addEventListener("click", function () {
        right += truths[k] === c;
        show(k + 1);
      });
      row.append(button);
    });
  });
  show(0);
}

// Probability of at least k hits in n guesses.
function tail(k, n, p) {
  let term = Math.pow(1 - p, n), sum = 0;
  for (let i = 0; i <= n; i++) {
    if (i >= k) sum += term;
    term *= ((n - i) / (i + 1)) * (p / (1 - p));
  }
  return Math.min(1, sum);
}

document.addEventListener("DOMContentLoaded", function () {
  document.querySelectorAll(".hsem-quiz").forEach(quiz);
  document.querySelectorAll(".hsem-blind").forEach(blind);
});
