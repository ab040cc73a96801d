// Date: the time is that of the turn, the time zone is UTC.

const SystemDate = Date;
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// A text without a zone means local time, and that is UTC here.
function inUtc(string) {
  if (/^\s*[+-]?\d{4,6}(-\d\d(-\d\d)?)?\s*$/.test(string)) return string;
  if (/^\s*[+-]?\d{4,6}(-\d\d(-\d\d)?)?[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?\s*$/.test(string)) return `${string.trim()}Z`;
  return /Z|GMT|UTC|\b[ECMP][SD]T\b|[+-]\d\d:?\d\d/i.test(string) ? string : `${string} GMT`;
}

function parse(string) {
  return SystemDate.parse(inUtc(`${string}`));
}

function deterministicDate() {
  const of = (args) => {
    if (args.length === 0) return host.now();
    if (args.length > 1) return SystemDate.UTC(...args);
    const value = args[0];
    if (typeof value === "object" && value !== null && isDate(value)) return getTime(value);
    const primitive = toPrimitive(value);
    return typeof primitive === "string" ? parse(primitive) : Number(primitive);
  };
  const make = function Date(...args) {
    if (new.target === undefined) return new SystemDate(host.now()).toString();
    return Reflect.construct(SystemDate, [of(args)], new.target);
  };
  const prototype = SystemDate.prototype;
  const getTime = (date) => Reflect.apply(prototype.getTime, date, []);
  const isDate = (value) => {
    try {
      getTime(value);
      return true;
    } catch {
      return false;
    }
  };
  const toPrimitive = (value) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return value;
    const exotic = value[Symbol.toPrimitive];
    if (exotic !== undefined && exotic !== null) return Reflect.apply(exotic, value, ["default"]);
    for (const method of ["valueOf", "toString"]) {
      const primitive = typeof value[method] === "function" ? value[method]() : value;
      if (typeof primitive !== "object" || primitive === null) return primitive;
    }
    throw new TypeError("Cannot convert object to primitive value");
  };
  Object.defineProperty(make, "prototype", { value: prototype, writable: false });
  Object.defineProperty(make, "length", { value: 7 });
  define(make, "now", () => host.now());
  define(make, "parse", (string) => parse(string));
  define(make, "UTC", SystemDate.UTC);
  define(prototype, "constructor", make);

  for (const part of ["Date", "Day", "FullYear", "Hours", "Milliseconds", "Minutes", "Month", "Seconds"]) {
    define(prototype, `get${part}`, prototype[`getUTC${part}`]);
    if (part !== "Day") define(prototype, `set${part}`, prototype[`setUTC${part}`]);
  }
  const two = (number) => String(number).padStart(2, "0");
  const methods = {
    getTimezoneOffset() {
      return isNaN(getTime(this)) ? NaN : 0;
    },
    getYear() {
      return this.getUTCFullYear() - 1900;
    },
    setYear(year) {
      const number = Math.trunc(Number(year));
      return this.setUTCFullYear(number >= 0 && number <= 99 ? 1900 + number : number);
    },
    toDateString() {
      if (isNaN(getTime(this))) return "Invalid Date";
      const year = this.getUTCFullYear();
      const padded = year < 0 ? `-${String(-year).padStart(6, "0")}` : String(year).padStart(4, "0");
      return `${DAYS[this.getUTCDay()]} ${MONTHS[this.getUTCMonth()]} ${two(this.getUTCDate())} ${padded}`;
    },
    toTimeString() {
      if (isNaN(getTime(this))) return "Invalid Date";
      return `${two(this.getUTCHours())}:${two(this.getUTCMinutes())}:${two(this.getUTCSeconds())} GMT+0000 (UTC)`;
    },
    toString() {
      return isNaN(getTime(this)) ? "Invalid Date" : `${this.toDateString()} ${this.toTimeString()}`;
    },
    toLocaleDateString() {
      if (isNaN(getTime(this))) return "Invalid Date";
      return `${two(this.getUTCMonth() + 1)}/${two(this.getUTCDate())}/${String(this.getUTCFullYear()).padStart(4, "0")}`;
    },
    toLocaleTimeString() {
      if (isNaN(getTime(this))) return "Invalid Date";
      const hours = this.getUTCHours();
      return `${two(hours % 12 || 12)}:${two(this.getUTCMinutes())}:${two(this.getUTCSeconds())} ${hours < 12 ? "AM" : "PM"}`;
    },
    toLocaleString() {
      return isNaN(getTime(this)) ? "Invalid Date" : `${this.toLocaleDateString()}, ${this.toLocaleTimeString()}`;
    },
  };
  for (const name of Object.keys(methods)) define(prototype, name, methods[name]);
  return make;
}
