//! The dashboard, as browsers and whoever pretends to be one have it.

mod cross_site;
mod files;
mod keys;
mod organizations;
mod pages;
mod samples;
mod sessions;
mod settings;
mod signing_in;
mod videos;

use crate::support::{Reply, Server};
use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::Value;

const COOKIE: &str = "__Host-screener";
/// What browsers say of a form that a page of the same origin sends (W3C Fetch Metadata §2.2).
const FROM_HERE: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A browser that is signed in.
pub struct Browser<'a> {
    server: &'a Server,
    cookie: String,
}

impl<'a> Browser<'a> {
    /// Signs in with the server's own private key.
    #[track_caller]
    pub fn sign_in(server: &'a Server) -> Self {
        Self::sign_in_with(server, &server.private_key)
    }

    /// Signs in with a key.
    #[track_caller]
    fn sign_in_with(server: &'a Server, key: &str) -> Self {
        Self::with(server, &cookie_of(&enter(server, key, "").expect(303)))
    }

    /// A browser that has this cookie.
    fn with(server: &'a Server, cookie: &str) -> Self {
        Self { server, cookie: cookie.to_owned() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.server.request(method, path).header("cookie", &self.cookie)
    }

    fn get(&self, path: &str) -> Reply {
        Reply::read(self.request(Method::GET, path).send().unwrap())
    }

    /// A page that is there, checked for what every page holds to.
    #[track_caller]
    pub fn page(&self, path: &str) -> String {
        let reply = self.get(path).expect(200);
        pages::check(&reply);
        reply.text()
    }

    /// Sends a form from one of the dashboard's own pages.
    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        Reply::read(form(self.request(Method::POST, path), fields).header(FROM_HERE.0, FROM_HERE.1).send().unwrap())
    }

    /// The same for a form that is taken: where the browser is sent.
    #[track_caller]
    fn done(&self, path: &str, fields: &[(&str, &str)]) -> String {
        self.post(path, fields).expect(303).header("location").unwrap().to_owned()
    }

    /// The same for one that is not: the page that says why, checked for what every page holds to.
    #[track_caller]
    fn refused(&self, path: &str, fields: &[(&str, &str)], status: u16) -> String {
        let reply = self.post(path, fields).expect(status);
        pages::check(&reply);
        reply.text()
    }

    /// A call of the admin API by a script of the dashboard.
    fn api(&self, method: Method, path: &str, body: &Value) -> Reply {
        let request = self.request(method, &format!("/admin/v1{path}")).header(FROM_HERE.0, FROM_HERE.1);
        let request = if body.is_null() { request } else { request.json(body) };
        Reply::read(request.send().unwrap())
    }
}

/// The cookie of whoever signed in with the server's own private key, for requests made by hand.
pub fn signed_in(server: &Server) -> String {
    Browser::sign_in(server).cookie
}

/// Sends the form of the sign-in page.
fn enter(server: &Server, key: &str, next: &str) -> Reply {
    let request = form(server.request(Method::POST, "/dashboard/sign-in"), &[("key", key), ("next", next)]);
    Reply::read(request.header(FROM_HERE.0, FROM_HERE.1).send().unwrap())
}

/// The cookie that an answer sets, as browsers send it back.
#[track_caller]
fn cookie_of(reply: &Reply) -> String {
    let set = reply.header("set-cookie").expect("no cookie is set");
    set.split(';').next().unwrap().to_owned()
}

/// A request with the fields of a form (WHATWG URL §5.2).
fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(pairs.join("&"))
}

/// Percent-encodes all but letters and digits.
fn escape(text: &str) -> String {
    let one = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(one).collect()
}

/// What a browser makes of HTML's text.
fn unescape(html: &str) -> String {
    let (mut text, mut rest) = (String::new(), html);
    while let Some(at) = rest.find('&') {
        let (name, after) = rest[at + 1..].split_once(';').unwrap_or_else(|| panic!("a bare & in {html}"));
        text.push_str(&rest[..at]);
        text.push(match name {
            "lt" | "#60" => '<',
            "gt" | "#62" => '>',
            "quot" | "#34" => '"',
            "amp" | "#38" => '&',
            "#39" => '\'',
            other => panic!("no test knows &{other};"),
        });
        rest = after;
    }
    text + rest
}

/// The text of a page between two marks.
#[track_caller]
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no {from} in {page}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to} after {from}")).0
}

/// The value of the input with this id.
#[track_caller]
fn value_of(page: &str, id: &str) -> String {
    let tag = between(page, &format!("<input id=\"{id}\""), ">");
    unescape(between(tag, " value=\"", "\""))
}

/// A text of an answer.
#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
