// URL and URLSearchParams. The parser is the host's (WHATWG); the objects are here.

function usv(value) {
  return `${value}`.toWellFormed();
}

class URLSearchParams {
  #pairs = [];
  #changed = null;
  constructor(init = "") {
    if (typeof init === "object" && init !== null) {
      if (typeof init[Symbol.iterator] === "function") {
        for (const pair of init) {
          const [name, value, ...more] = [...pair];
          if (value === undefined || more.length > 0) throw new TypeError("URLSearchParams takes pairs of a name and a value");
          this.#pairs.push([usv(name), usv(value)]);
        }
      } else {
        for (const name of Object.keys(init)) this.#pairs.push([usv(name), usv(init[name])]);
      }
    } else {
      this.#pairs = host.formParse(usv(init).replace(/^\?/, ""));
    }
  }
  static link(query, changed) {
    const params = new URLSearchParams(query);
    params.#changed = changed;
    return params;
  }
  static refill(params, query) {
    params.#pairs = host.formParse(query.replace(/^\?/, ""));
  }
  #update() {
    if (this.#changed !== null) this.#changed(this.toString());
  }
  get size() {
    return this.#pairs.length;
  }
  append(name, value) {
    this.#pairs.push([usv(name), usv(value)]);
    this.#update();
  }
  delete(name, value = undefined) {
    this.#pairs = this.#pairs.filter(([key, item]) => key !== usv(name) || (value !== undefined && item !== usv(value)));
    this.#update();
  }
  get(name) {
    return this.#pairs.find(([key]) => key === usv(name))?.[1] ?? null;
  }
  getAll(name) {
    return this.#pairs.filter(([key]) => key === usv(name)).map(([, value]) => value);
  }
  has(name, value = undefined) {
    return this.#pairs.some(([key, item]) => key === usv(name) && (value === undefined || item === usv(value)));
  }
  set(name, value) {
    const at = this.#pairs.findIndex(([key]) => key === usv(name));
    if (at === -1) this.#pairs.push([usv(name), usv(value)]);
    else this.#pairs = this.#pairs.filter(([key], index) => key !== usv(name) || index === at).map((pair, index) => (index === at ? [pair[0], usv(value)] : pair));
    this.#update();
  }
  sort() {
    this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.#update();
  }
  forEach(callback, thisArgument = undefined) {
    for (const [name, value] of this.#pairs) Reflect.apply(callback, thisArgument, [value, name, this]);
  }
  *entries() {
    for (const [name, value] of this.#pairs) yield [name, value];
  }
  *keys() {
    for (const [name] of this.#pairs) yield name;
  }
  *values() {
    for (const [, value] of this.#pairs) yield value;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  toString() {
    return host.formEncode(this.#pairs);
  }
}

const { link: linkParams, refill: refillParams } = URLSearchParams;
delete URLSearchParams.link;
delete URLSearchParams.refill;

class URL {
  #href;
  #params = null;
  constructor(url, base = undefined) {
    this.#href = host.urlParse(usv(url), base === undefined ? null : usv(base));
    if (this.#href === undefined) throw new TypeError(`Invalid URL: ${show(`${url}`)}`);
  }
  static canParse(url, base = undefined) {
    return host.urlParse(usv(url), base === undefined ? null : usv(base)) !== undefined;
  }
  static parse(url, base = undefined) {
    return URL.canParse(url, base) ? new URL(url, base) : null;
  }
  #set(part, value) {
    this.#href = host.urlSet(this.#href, part, usv(value));
    if (this.#params !== null) refillParams(this.#params, this.search);
  }
  get href() {
    return this.#href;
  }
  set href(value) {
    const href = host.urlParse(usv(value), null);
    if (href === undefined) throw new TypeError(`Invalid URL: ${show(`${value}`)}`);
    this.#href = href;
    if (this.#params !== null) refillParams(this.#params, this.search);
  }
  get origin() {
    return host.urlGet(this.#href, "origin");
  }
  get searchParams() {
    this.#params ??= linkParams(this.search, (query) => {
      this.#href = host.urlSet(this.#href, "search", query);
    });
    return this.#params;
  }
  toString() {
    return this.#href;
  }
  toJSON() {
    return this.#href;
  }
  static {
    for (const part of ["protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"]) {
      Object.defineProperty(URL.prototype, part, {
        get() {
          return host.urlGet(this.#href, part);
        },
        set(value) {
          this.#set(part, value);
        },
        enumerable: true,
        configurable: true,
      });
    }
  }
}
