//! Clones, texts, URLs, and the freezing of what the language brings.

use super::*;

#[test]
fn clones_are_deep_and_keep_shape_and_cycles() {
    let result = evaluate(
        r#"
  const original = { d: new Date(5), m: new Map([[{ k: 1 }, new Set([1])]]), l: [1, , 3], r: /x/gi, u: undefined, b: new Uint8Array([1, 2]), e: new TypeError("t") };
  original.self = original;
  const copy = structuredClone(original);
  let refused; try { structuredClone({ f() {} }); } catch (e) { refused = e.name; }
  return [copy !== original, copy.self === copy, copy.d.getTime(), [...copy.m][0][0].k, [...copy.m][0][1].has(1), copy.l.length, 1 in copy.l, `${copy.r}`,
    "u" in copy, [...copy.b], copy.b.buffer !== original.b.buffer, copy.e instanceof TypeError, copy.e.message, refused];"#,
    );
    assert_eq!(result, r#"[true,true,5,1,true,3,false,"/x/gi",true,[1,2],true,true,"t","DataCloneError"]"#);
}

#[test]
fn text_is_encoded_and_decoded_as_utf_8() {
    let result = evaluate(
        r#"
  const bytes = new TextEncoder().encode("a\u00e9\u{1f600}\ud800");
  const decoder = new TextDecoder();
  const streamed = decoder.decode(bytes.slice(0, 2), { stream: true }) + decoder.decode(bytes.slice(2, 5), { stream: true }) + decoder.decode(bytes.slice(5));
  let fatal; try { new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff])); } catch (e) { fatal = e.name; }
  return [bytes.length, streamed, new TextDecoder().decode(new Uint8Array([0xff, 0x41]).buffer), fatal, btoa("hi"), atob("aGk="),
    new TextEncoder().encodeInto("\u00e9x", new Uint8Array(2))];"#,
    );
    assert_eq!(result, "[10,\"aé😀\u{fffd}\",\"\u{fffd}A\",\"TypeError\",\"aGk=\",\"hi\",{\"read\":1,\"written\":2}]");
}

#[test]
fn urls_are_parsed_and_changed_as_in_a_browser() {
    let result = evaluate(
        r#"
  const url = new URL("../b?x=1&y=a%20b#h", "https://user:pw@Example.com:8443/a/c/");
  url.searchParams.append("z", "\u00fc &");
  url.searchParams.delete("x");
  url.hash = "";
  url.port = "443";
  let invalid; try { new URL("nope"); } catch (e) { invalid = `${e.name}: ${e.message}`; }
  const params = new URLSearchParams({ b: 2, a: 1 });
  params.sort();
  const before = url.searchParams; url.search = "?q=1&q=2";
  return [url.href, url.origin, url.username, url.hostname, url.pathname, JSON.stringify({ url }), invalid, URL.canParse("/x", "http://y"), `${params}`,
    [...params], before.getAll("q"), new URLSearchParams("?a=b+c").get("a"), new URLSearchParams([["k", "v"]]).has("k", "v")];"#,
    );
    assert_eq!(
        result,
        r#"["https://user:pw@example.com/a/b?q=1&q=2","https://example.com","user","example.com","/a/b","{\"url\":\"https://user:pw@example.com/a/b?q=1&q=2\"}","TypeError: Invalid URL: \"nope\"",true,"a=1&b=2",[["a","1"],["b","2"]],["1","2"],"b c",true]"#
    );
}

#[test]
fn nothing_of_the_language_can_be_changed() {
    for attempt in [
        "Array.prototype.map = () => 1",
        "Array.prototype.push.secret = 1",
        "Object.prototype.polluted = 1",
        "Object.prototype.toString = 1",
        "({}).__proto__.x = 1",
        "Promise.prototype.then = 1",
        "globalThis.leak = 1",
        "Math.random = () => 4",
        "Date.now = () => 4",
        "console.log = 1",
        "a.counter = 1",
        "everloop.sleep.counter = 1",
        "everloop.run.id = 'other'",
        "everloop.CancelledError.prototype.x = 1",
        "Error.stackTraceLimit = 1",
        "Error.prepareStackTrace = () => 'mine'",
        "[][Symbol.iterator]().__proto__.next = 1",
        "(function* () {})().__proto__.__proto__.next = 1",
        "(async () => {}).__proto__.x = 1",
        "URL.prototype.x = 1",
        "new TextEncoder().__proto__.encode = 1",
        "Object.setPrototypeOf(Array.prototype, null)",
        "Object.defineProperty(Function.prototype, 'x', { value: 1 })",
        "delete Array.prototype.map || (() => { throw new TypeError('x'); })()",
        "''.matchAll(/x/g).__proto__.next = 1",
        "Iterator.prototype.x = 1",
        "Int8Array.prototype.__proto__.x = 1",
        "RegExp.prototype.exec = 1",
        "(() => { throw new TypeError(Object.isFrozen(Iterator.from({ next() {} }).__proto__)); })()",
    ] {
        assert_eq!(throws(attempt).kind, "TypeError", "{attempt}");
    }
}
