// Substructure search without a server. Molecules are SMILES in which every atom stands in brackets with its hydrogens;
// a query is SMARTS without recursion and ring sizes. What it cannot read it says.
var ELEMENTS = ("H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag " +
  "Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U").split(" ");
var BONDS = { "-": "single", "=": "double", "#": "triple", ":": "aromatic", "/": "single", "\\": "single", "~": "any" };

// Atoms and bonds of a line of SMILES or SMARTS; `readAtom(text)` makes an atom of what stands between brackets or of a bare symbol.
function readLine(text, readAtom) {
  var atoms = [], bonds = [], branches = [], rings = {}, last = -1, bond = "", at = 0;
  function join(i, j, kind) { bonds.push([i, j, kind]); atoms[i].near.push([j, kind]); atoms[j].near.push([i, kind]); }
  while (at < text.length) {
    var c = text[at];
    if (c === "(") { branches.push(last); at += 1; }
    else if (c === ")") { if (!branches.length) throw new Error("a bracket too many"); last = branches.pop(); at += 1; }
    else if (c === ".") { last = -1; at += 1; }
    else if (text.substr(at, 2) === "->" || text.substr(at, 2) === "<-") { bond = "-"; at += 2; }
    else if (BONDS[c]) { bond = c; at += 1; }
    else if (c === "%" || (c >= "0" && c <= "9")) {
      var number = c === "%" ? text.substr(at + 1, 2) : c;
      at += c === "%" ? 3 : 1;
      if (last < 0) throw new Error("a ring number without an atom");
      if (rings[number]) { join(rings[number][0], last, bond || rings[number][1]); delete rings[number]; }
      else rings[number] = [last, bond];
      bond = "";
    } else {
      var end = c === "[" ? text.indexOf("]", at) + 1 : at + (/^(Cl|Br)/.test(text.substr(at, 2)) ? 2 : 1);
      if (!end || text.slice(at, end).indexOf("$") >= 0) throw new Error("cannot read " + text.slice(at));
      var atom = readAtom(text.slice(at, end));
      atom.near = [];
      atoms.push(atom);
      if (last >= 0) join(last, atoms.length - 1, bond);
      last = atoms.length - 1; bond = ""; at = end;
    }
  }
  if (branches.length || Object.keys(rings).length || bond) throw new Error("an open bracket, ring or bond");
  return { atoms: atoms, bonds: bonds };
}

// A molecule: element, aromatic, charge, hydrogens and neighbours of each atom; whether it stands in a ring.
function readMolecule(text) {
  var made = readLine(text, function (t) {
    var m = t.match(/^\[(\d*)([A-Za-z][a-z]?)(@*)(H?)(\d*)((?:[+-]\d*)*)(?::\d+)?\]$/);
    var symbol = m[2], plain = symbol[0].toUpperCase() + symbol.slice(1);
    var charge = m[6] ? (m[6][0] === "-" ? -1 : 1) * (Number(m[6].slice(1)) || m[6].length) : 0;
    return { element: ELEMENTS.indexOf(plain) + 1, aromatic: symbol[0] !== plain[0], charge: charge, h: m[4] ? Number(m[5] || 1) : 0, ring: false };
  });
  made.atoms.forEach(function (a) {
    a.near = a.near.map(function (n) { return [n[0], BONDS[n[1]] || (a.aromatic && made.atoms[n[0]].aromatic ? "aromatic" : "single")]; });
  });
  made.bonds.forEach(function (b) { // in a ring: both ends are joined without the bond, too
    var seen = {}, open = [b[0]];
    while (open.length && !seen[b[1]]) {
      var i = open.pop(); seen[i] = true;
      made.atoms[i].near.forEach(function (n) {
        if (!seen[n[0]] && !(i === b[0] && n[0] === b[1])) open.push(n[0]);
      });
    }
    if (seen[b[1]]) made.atoms[b[0]].ring = made.atoms[b[1]].ring = true;
  });
  return made;
}

// A test of an atom out of what stands between brackets: symbols, #6, a, A, *, H2, D3, X4, R, charges; joined by ! & , ;
function atomTest(text) {
  function primitive(s) {
    var m;
    if ((m = s.match(/^#(\d+)/))) return [m[0], function (a) { return a.element === Number(m[1]); }];
    if ((m = s.match(/^(\+\++|--+|[+-]\d*)/))) {
      var charge = (m[0][0] === "-" ? -1 : 1) * (Number(m[0].slice(1)) || m[0].length);
      if (/^[+-]0$/.test(m[0])) charge = 0;
      return [m[0], function (a) { return a.charge === charge; }];
    }
    if ((m = s.match(/^[*]/))) return [m[0], function () { return true; }];
    if ((m = s.match(/^([A-Z][a-z])/)) && ELEMENTS.indexOf(m[1]) >= 0) return [m[0], symbol(m[1], false)];
    if ((m = s.match(/^([HDX])(\d*)/))) {
      var n = Number(m[2] || 1), kind = m[1];
      return [m[0], function (a) { return (kind === "H" ? a.h : kind === "D" ? a.near.length : a.near.length + a.h) === n; }];
    }
    if ((m = s.match(/^R0?(?!\d)/))) { var inside = m[0] === "R"; return [m[0], function (a) { return a.ring === inside; }]; }
    if ((m = s.match(/^A/))) return [m[0], function (a) { return !a.aromatic; }];
    if ((m = s.match(/^(se|as|te|si)/))) return [m[0], symbol(m[0][0].toUpperCase() + m[0].slice(1), true)];
    if ((m = s.match(/^a/))) return [m[0], function (a) { return a.aromatic; }];
    if ((m = s.match(/^[bcnops]/))) return [m[0], symbol(m[0].toUpperCase(), true)];
    if ((m = s.match(/^[BCNOFPSKVYIWU]/))) return [m[0], symbol(m[0], false)];
    throw new Error("this search does not know " + s);
  }
  function symbol(name, aromatic) {
    var number = ELEMENTS.indexOf(name) + 1;
    return function (a) { return a.element === number && a.aromatic === aromatic; };
  }
  function all(s) { // what stands side by side holds together
    var tests = [];
    while (s) {
      if (s[0] === "&") { s = s.slice(1); continue; }
      var no = false;
      while (s[0] === "!") { no = !no; s = s.slice(1); }
      var found = primitive(s);
      tests.push(no ? not(found[1]) : found[1]);
      s = s.slice(found[0].length);
    }
    if (!tests.length) throw new Error("an atom without a symbol");
    return function (a) { return tests.every(function (t) { return t(a); }); };
  }
  function not(test) { return function (a) { return !test(a); }; }
  var inner = text.replace(/:\d+$/, "").replace(/@+/g, "");
  var parts = inner.split(";").map(function (part) { return part.split(",").map(all); });
  return function (a) { return parts.every(function (or) { return or.some(function (t) { return t(a); }); }); };
}

function readQuery(text) {
  return readLine(text, function (t) {
    var bare = t[0] !== "[", inner = bare ? t : t.slice(1, -1);
    if (bare && !/^(Cl|Br|[BCNOPSFIbcnopsaA*])$/.test(t)) throw new Error("this search does not know " + t);
    return { test: atomTest(inner) };
  });
}

// Whether the molecule holds the query.
function holds(mol, query) {
  var n = query.atoms.length, place = [], taken = {}, order = [], seen = {};
  function walk(i) { if (!seen[i]) { seen[i] = true; order.push(i); query.atoms[i].near.forEach(function (x) { walk(x[0]); }); } }
  for (var i = 0; i < n; i += 1) walk(i);
  function joins(kind, found) {
    if (kind === "~") return true;
    return kind ? BONDS[kind] === found : found === "single" || found === "aromatic";
  }
  function fits(q, m) {
    return query.atoms[q].test(mol.atoms[m]) && query.atoms[q].near.every(function (x) {
      if (place[x[0]] === undefined) return true;
      return mol.atoms[m].near.some(function (y) { return y[0] === place[x[0]] && joins(x[1], y[1]); });
    });
  }
  function put(k) {
    if (k === n) return true;
    var q = order[k], anchor = query.atoms[q].near.find(function (x) { return place[x[0]] !== undefined; });
    var ways = anchor ? mol.atoms[place[anchor[0]]].near.map(function (y) { return y[0]; }) : mol.atoms.map(function (_, j) { return j; });
    for (var w = 0; w < ways.length; w += 1) {
      var m = ways[w];
      if (taken[m] || !fits(q, m)) continue;
      place[q] = m; taken[m] = true;
      if (put(k + 1)) return true;
      place[q] = undefined; taken[m] = false;
    }
    return false;
  }
  return put(0);
}
