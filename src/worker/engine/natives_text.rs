//! Texts, bytes and URLs for the shim: what WHATWG specifies and a crate already does.

use rquickjs::{Ctx, Exception, Function, Object, Result, TypedArray, qjs};
use url::{Url, form_urlencoded, quirks};

/// Adds them to the host object, and the engine's `atob` and `btoa` to the globals.
pub fn install<'js>(ctx: &Ctx<'js>, host: &Object<'js>) -> Result<()> {
    // SAFETY: the context is alive; the function adds the two to it.
    unsafe { qjs::JS_AddIntrinsicAToB(ctx.as_raw().as_ptr()) };
    host.set("encode", Function::new(ctx.clone(), |ctx: Ctx<'js>, text: String| TypedArray::<u8>::new(ctx, text.into_bytes()))?)?;
    host.set("decode", Function::new(ctx.clone(), decode)?)?;
    host.set(
        "formParse",
        Function::new(ctx.clone(), |query: String| -> Vec<Vec<String>> {
            form_urlencoded::parse(query.as_bytes()).map(|(name, value)| vec![name.into_owned(), value.into_owned()]).collect()
        })?,
    )?;
    host.set(
        "formEncode",
        Function::new(ctx.clone(), |pairs: Vec<Vec<String>>| -> String {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for pair in &pairs {
                if let [name, value] = pair.as_slice() {
                    query.append_pair(name, value);
                }
            }
            query.finish()
        })?,
    )?;
    host.set("urlParse", Function::new(ctx.clone(), parse)?)?;
    host.set("urlGet", Function::new(ctx.clone(), |href: String, part: String| get(&href, &part))?)?;
    host.set("urlSet", Function::new(ctx.clone(), |href: String, part: String, value: String| set(href, &part, &value))?)
}

fn decode<'js>(ctx: Ctx<'js>, bytes: TypedArray<'js, u8>, fatal: bool) -> Result<String> {
    // SAFETY: nothing runs on this thread between here and the copy, so the buffer is neither changed nor freed.
    let bytes = unsafe { bytes.as_bytes() }.unwrap_or_default();
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) if fatal => Err(Exception::throw_type(&ctx, "The encoded data was not valid for encoding utf-8")),
        Err(_) => Ok(String::from_utf8_lossy(bytes).into_owned()),
    }
}

fn parse(url: String, base: Option<String>) -> Option<String> {
    let parsed = match base {
        Some(base) => Url::parse(&base).ok()?.join(&url),
        None => Url::parse(&url),
    };
    parsed.ok().map(String::from)
}

fn get(href: &str, part: &str) -> String {
    let Ok(url) = Url::parse(href) else { return String::new() };
    match part {
        "origin" => quirks::origin(&url),
        "protocol" => quirks::protocol(&url).to_owned(),
        "username" => quirks::username(&url).to_owned(),
        "password" => quirks::password(&url).to_owned(),
        "host" => quirks::host(&url).to_owned(),
        "hostname" => quirks::hostname(&url).to_owned(),
        "port" => quirks::port(&url).to_owned(),
        "pathname" => quirks::pathname(&url).to_owned(),
        "search" => quirks::search(&url).to_owned(),
        "hash" => quirks::hash(&url).to_owned(),
        _ => String::new(),
    }
}

/// A value that does not fit leaves the URL as it was, as the standard has it.
fn set(href: String, part: &str, value: &str) -> String {
    let Ok(mut url) = Url::parse(&href) else { return href };
    let result = match part {
        "protocol" => quirks::set_protocol(&mut url, value),
        "username" => quirks::set_username(&mut url, value),
        "password" => quirks::set_password(&mut url, value),
        "host" => quirks::set_host(&mut url, value),
        "hostname" => quirks::set_hostname(&mut url, value),
        "port" => quirks::set_port(&mut url, value),
        "pathname" => {
            quirks::set_pathname(&mut url, value);
            Ok(())
        }
        "search" => {
            quirks::set_search(&mut url, value);
            Ok(())
        }
        "hash" => {
            quirks::set_hash(&mut url, value);
            Ok(())
        }
        _ => Err(()),
    };
    if result.is_ok() { url.into() } else { href }
}
