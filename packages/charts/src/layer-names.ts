const longest = 18;

/**
 * Short names of layers, each different from the others. Parts of a name (between dots or slashes) that all of them begin
 * or end with are left out; of names that are still long, parts from the left become their first letters, numbers excepted.
 */
export function shortLayerNames(names: readonly string[]): string[] {
  const parts = names.map((name) => name.split(/(?<=[./])/));
  const shortest = Math.min(...parts.map(({ length }) => length));
  const same = (at: (own: readonly string[]) => string | undefined): boolean =>
    new Set(parts.map((own) => at(own))).size === 1;
  let [first, last] = [0, 0];
  if (names.length > 1) {
    while (first < shortest - 1 && same((own) => own[first])) first += 1;
    while (first + last < shortest - 1 && same((own) => own.at(-1 - last))) last += 1;
  }
  const cut = parts.map((own) => abbreviated(own.slice(first, own.length - last)));
  return cut.map((name, index) => (cut.indexOf(name) === cut.lastIndexOf(name) ? name : (names[index] ?? name)));
}

function abbreviated(parts: readonly string[]): string {
  const own = parts.map((part, index) => (index === parts.length - 1 ? part.replace(/[./]$/, "") : part));
  for (let place = 0; place < own.length - 1 && own.join("").length > longest; place += 1) {
    own[place] = (own[place] ?? "").replace(/^(\D)[^./]*/u, "$1");
  }
  const name = own.join("");
  return name.length > longest ? `…${name.slice(1 - longest)}` : name;
}
