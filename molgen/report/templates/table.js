// A cell as a number with its relation: "3.2", ">10000"; null where it is none.
function measured(value) {
  var m = String(value === null || value === undefined ? "" : value).trim().match(/^([<>]=?|~)?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)$/);
  return m ? { relation: (m[1] || "").replace("~", ""), number: Number(m[2]) } : null;
}

// A value to be read: four digits of a number that is not whole.
function rounded(value) {
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(4))) : String(value);
}

// Order of two cells: numbers first, by size, then text; what is missing last.
function compare(x, y, sign) {
  var noX = x === null || x === undefined || x === "", noY = y === null || y === undefined || y === "";
  if (noX || noY) return Number(noX) - Number(noY);
  var a = measured(x), b = measured(y);
  if (a && b) return sign * (a.number - b.number || ["<", "<=", "", ">=", ">"].indexOf(a.relation) - ["<", "<=", "", ">=", ">"].indexOf(b.relation));
  if (a || b) return a ? -1 : 1;
  return sign * (x < y ? -1 : x > y ? 1 : 0);
}

// "mw<300 qed>=.6 amide": conditions on columns, and words that a row has to hold. A blank in a column's name is written "_".
// A value known only as a limit fits where all that it allows fits.
function parseFilter(text, names) {
  var plain = names.map(function (n) { return n.replace(/\s+/g, "_").toLowerCase(); });
  var tests = text.split(/\s+/).filter(Boolean).map(function (word) {
    var found = word.match(/^(.+?)(<=|>=|<|>|=)(.+)$/), at = found ? plain.indexOf(found[1].toLowerCase()) : -1;
    var lower = word.toLowerCase();
    if (at < 0) return function (row, whole) { return whole.indexOf(lower) >= 0; };
    var sign = found[2], limit = measured(found[3]);
    return function (row) {
      var value = measured(row[at]);
      if (!limit || !value) return sign === "=" && String(row[at] === null ? "" : row[at]).toLowerCase() === found[3].toLowerCase();
      var up = value.relation[0] !== "<", down = value.relation[0] !== ">", edge = value.relation && value.relation.length === 1;
      if (sign === "=") return !value.relation && value.number === limit.number;
      if (sign[0] === ">") return up && (value.number > limit.number || (value.number === limit.number && (sign === ">=" || edge)));
      return down && (value.number < limit.number || (value.number === limit.number && (sign === "<=" || edge)));
    };
  });
  return function (row, whole) {
    var all = whole === undefined ? row.map(function (v) { return v === null || v === undefined ? "" : v; }).join("\n").toLowerCase() : whole;
    return tests.every(function (test) { return test(row, all); });
  };
}
