"use strict";
// Sorting, copying and highlighting. Without this script the page has the same content.
(() => {
  const said = document.getElementById("said");
  const say = (text) => { said.textContent = text; };
  const make = (tag, text, props = {}) =>
    Object.assign(document.createElement(tag), { textContent: text, ...props });
  const text = (cell) => cell.textContent.trim();

  // ---- sorting: headings become buttons; numbers by value, what is no number last

  const value = (written) => {
    const plain = written.replace(/\u2212/g, "-").replace(/,(?=\d{3})/g, "");
    const found = plain.match(/^<?\s*(-?\d*\.?\d+(?:e[+-]?\d+)?)/i);
    return found ? Number(found[1]) : NaN;
  };
  const nothing = /^(|[-\u2013\u2212]|not .*|NaN|-?Inf)$/i;
  const isNumeric = (column) =>
    column.some((cell) => !Number.isNaN(value(cell)))
    && column.every((cell) => !Number.isNaN(value(cell)) || nothing.test(cell));
  const words = (a, b) => a.localeCompare(b, undefined, { numeric: true });
  const comparing = (column) => {
    if (!isNumeric(column)) return { compare: words, isBlank: (cell) => cell === "" };
    return { compare: (a, b) => value(a) - value(b) || 0, isBlank: (cell) => Number.isNaN(value(cell)) };
  };
  const sort = (table, at) => {
    const headings = table.tHead.rows[0].cells;
    const down = headings[at].getAttribute("aria-sort") === "ascending";
    for (const heading of headings) heading.removeAttribute("aria-sort");
    headings[at].setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [text(row.cells[at]), row]);
    const { compare, isBlank } = comparing(rows.map(([cell]) => cell));
    const sign = down ? -1 : 1;
    rows.sort(([a], [b]) => isBlank(a) - isBlank(b) || sign * compare(a, b));
    body.append(...rows.map(([, row]) => row));
    say(`Sorted by ${text(headings[at])}, ${down ? "descending" : "ascending"}.`);
  };
  const sortable = (table) => {
    if (table.classList.contains("fixed") || table.tBodies[0].rows.length < 2) return;
    [...table.tHead.rows[0].cells].forEach((heading, at) => {
      if (!text(heading)) return;
      const button = make("button", heading.textContent, { type: "button", className: "sort" });
      button.addEventListener("click", () => sort(table, at));
      heading.replaceChildren(button);
    });
  };

  // ---- copying

  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell);
  const csv = (rows) => rows.map((row) => row.map(quoted).join(",") + "\n").join("");
  const escapes = {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
    "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}",
    "\u2212": "$-$", "\u2013": "--",
  };
  const tex = (cell) => cell.replace(/[\\~^<>|\u2212\u2013&%$#_{}]/g, (c) => escapes[c] || "\\" + c);
  const latex = (rows) => {
    const line = (row) => row.map(tex).join(" & ") + " \\\\";
    return [
      `\\begin{tabular}{l${"r".repeat(rows[0].length - 1)}}`, "\\toprule", line(rows[0]), "\\midrule",
      ...rows.slice(1).map(line), "\\bottomrule", "\\end{tabular}", "",
    ].join("\n");
  };
  const put = async (copied) => {
    try {
      await navigator.clipboard.writeText(copied);
      return true;
    } catch {
      // A page from a file may not be allowed the clipboard; a selected field mostly is.
      const field = make("textarea", copied);
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  };
  const copyable = (table) => {
    const bar = make("p", "", { className: "copy" });
    for (const [name, write] of [["CSV", csv], ["LaTeX", latex]]) {
      const button = make("button", `Copy as ${name}`, { type: "button" });
      button.addEventListener("click", async () => {
        const copied = write([...table.rows].map((row) => [...row.cells].map(text)));
        const done = await put(copied);
        button.focus();
        button.dataset.copied = copied;
        say(done ? `Copied as ${name}.` : "The browser does not allow copying.");
      });
      bar.append(button);
    }
    table.closest(".scroll").after(bar);
  };

  // ---- highlighting one group in every figure and table: a look at it while the pointer or the
  // focus is on it, for good with a click, Enter, or the list

  const select = document.getElementById("pick");
  const marks = new Map();
  let shown = "";
  const show = (group) => {
    if (group === shown) return;
    for (const mark of marks.get(shown) || []) mark.classList.remove("picked");
    for (const mark of marks.get(group) || []) mark.classList.add("picked");
    document.body.classList.toggle("picking", group !== "");
    shown = group;
  };
  const pick = (group) => {
    select.value = group;
    show(group);
    for (const button of document.querySelectorAll("button.group"))
      button.setAttribute("aria-pressed", String(button.closest("tr").dataset.group === group));
  };
  const groupOf = (target) => {
    const group = target.closest && target.closest("[data-group]");
    return group && marks.has(group.dataset.group) ? group.dataset.group : "";
  };
  // The names of the groups in a table are buttons; the arrow keys go from one to the next.
  const pressable = (table) => {
    const rows = [...table.tBodies[0].rows].filter((row) => marks.has(row.dataset.group));
    rows.forEach((row, i) => {
      const button = make("button", text(row.cells[0]), { type: "button", className: "group" });
      button.setAttribute("aria-pressed", "false");
      button.tabIndex = i ? -1 : 0;
      row.cells[0].replaceChildren(button);
    });
    table.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || !event.target.matches("button.group")) return;
      const buttons = [...table.querySelectorAll("button.group")];
      const next = buttons[buttons.indexOf(event.target) + step];
      if (!next) return;
      event.preventDefault();
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  };
  const highlightable = () => {
    document.getElementById("tools").hidden = false;
    document.body.classList.add("groups");
    for (const option of select.options) if (option.value) marks.set(option.value, []);
    for (const mark of document.querySelectorAll("[data-group]"))
      if (marks.has(mark.dataset.group)) marks.get(mark.dataset.group).push(mark);
    document.querySelectorAll(".scroll > table").forEach(pressable);
    select.addEventListener("change", () => pick(select.value));
    document.addEventListener("click", (event) => {
      const group = groupOf(event.target);
      if (group) pick(select.value === group ? "" : group);
    });
    for (const [coming, going] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
      document.addEventListener(coming, (event) => {
        if (event.pointerType !== "touch") show(groupOf(event.target) || select.value);
      });
      document.addEventListener(going, () => show(select.value));
    }
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") pick("");
    });
  };

  for (const table of document.querySelectorAll(".scroll > table")) {
    sortable(table);
    copyable(table);
  }
  if (select) highlightable();
})();
