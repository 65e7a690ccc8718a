//! Origin rules: where an embed may be shown and the playback API called from.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv6Addr;

/// One allowed host: `acme.com`, `*.acme.com` (exactly one label more) or either with `:port`.
///
/// Without a port it means the default port of the page's scheme, as in Content-Security-Policy (CSP3 §6.7.2.11).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OriginRule {
    /// Whether one more label stands before `host`.
    wildcard: bool,
    /// Lower case, no trailing dot; an IPv6 address in its shortest spelling.
    host: String,
    port: Option<u16>,
}

/// Why a text is not an origin rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginRuleError {
    /// It is no host, or more than one.
    NoHost,
    /// It has letters that names on the wire do not have.
    NotAscii,
}

impl fmt::Display for OriginRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHost => "must be a host such as acme.com, *.acme.com or localhost:3000, without scheme or path",
            Self::NotAscii => "must be in its ASCII form (punycode), such as xn--bcher-kva.de for bücher.de",
        })
    }
}

impl OriginRule {
    /// Reads a rule.
    pub fn parse(text: &str) -> Result<Self, OriginRuleError> {
        if !text.is_ascii() {
            return Err(OriginRuleError::NotAscii);
        }
        let (host, port) = split_port(text).filter(|(_, port)| *port != Some(0)).ok_or(OriginRuleError::NoHost)?;
        let (wildcard, host) = host.strip_prefix("*.").map_or((false, host), |rest| (true, rest));
        let host = host_of(host).filter(|host| !wildcard || !host.starts_with('[')).ok_or(OriginRuleError::NoHost)?;
        Ok(Self { wildcard, host, port })
    }

    /// Whether a page of `origin` satisfies this rule.
    pub fn admits(&self, origin: &Origin) -> bool {
        let port_fits = match self.port {
            Some(port) => port == origin.port,
            None => origin.port == origin.default_port(),
        };
        let host_fits = if self.wildcard {
            let before = origin.host.strip_suffix(&self.host).and_then(|rest| rest.strip_suffix('.'));
            before.is_some_and(|label| !label.is_empty() && !label.contains('.'))
        } else {
            origin.host == self.host
        };
        port_fits && host_fits
    }

    /// The rule as sources of a `frame-ancestors` directive: both schemes, since a rule names none.
    pub fn csp_sources(&self) -> String {
        format!("https://{self} http://{self}")
    }
}

/// Whether a list of rules lets `origin` in: an empty list is anywhere.
pub fn admits(rules: &[OriginRule], origin: &Origin) -> bool {
    rules.is_empty() || rules.iter().any(|rule| rule.admits(origin))
}

impl fmt::Display for OriginRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.wildcard { "*." } else { "" }, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl TryFrom<String> for OriginRule {
    type Error = OriginRuleError;

    fn try_from(text: String) -> Result<Self, OriginRuleError> {
        Self::parse(&text)
    }
}

impl From<OriginRule> for String {
    fn from(rule: OriginRule) -> Self {
        rule.to_string()
    }
}

/// A web origin (RFC 6454 §4): scheme `http` or `https`, host, port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads the origin of a URL or of an `Origin` header; `None` for `null`, other schemes and what is no URL.
    pub fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#', '\\']).next()?;
        let (host, port) = split_port(authority)?;
        Some(Self { https, host: host_of(host)?, port: port.unwrap_or(if https { 443 } else { 80 }) })
    }

    /// Its host; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    fn default_port(&self) -> u16 {
        if self.https { 443 } else { 80 }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.host)?;
        if self.port == self.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Whether `text` is a host with a port, an empty one or none (RFC 3986 §3.2, without a user). A name may end in a dot.
pub fn is_authority(text: &str) -> bool {
    let host = text.strip_suffix(':').or_else(|| split_port(text).map(|(host, _)| host)).unwrap_or_default();
    is_host_name(host.strip_suffix('.').unwrap_or(host)) || ip_literal(host).is_some()
}

/// Splits `host[:port]`, leaving the brackets of an IPv6 literal on the host.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_host = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority.get(after_host..)?.find(':').map(|at| at + after_host) else {
        return Some((authority, None));
    };
    let (host, port) = (authority.get(..colon)?, authority.get(colon + 1..)?);
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port: u16 = if is_number { port.parse().ok()? } else { return None };
    Some((host, Some(port)))
}

/// Letters, digits and hyphens in dot-separated labels (RFC 1123 §2.1); internationalised names in their ASCII form.
fn is_host_name(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn ip_literal(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// A host as browsers write it, however it is spelled.
fn host_of(host: &str) -> Option<String> {
    let Some(address) = ip_literal(host) else {
        return is_host_name(host).then(|| host.to_ascii_lowercase());
    };
    // An IPv4 address inside has no dots there (WHATWG URL, "IPv6 serializer").
    let [.., high, low] = address.segments();
    Some(if address.to_ipv4_mapped().is_some() { format!("[::ffff:{high:x}:{low:x}]") } else { format!("[{address}]") })
}

#[cfg(test)]
mod tests {
    use super::{Origin, OriginRule, OriginRuleError, is_authority};

    fn fits(rule: &str, origin: &str) -> bool {
        OriginRule::parse(rule).unwrap().admits(&Origin::of(origin).unwrap())
    }

    #[test]
    fn a_rule_admits_its_own_host_alone() {
        assert!(fits("acme.com", "https://acme.com"));
        assert!(fits("ACME.com", "https://acme.COM/page?x#y"));
        assert!(!fits("acme.com", "https://www.acme.com"));
        assert!(!fits("www.acme.com", "https://acme.com"));
        assert!(!fits("acme.com", "https://acme.com.evil.example"));
        assert!(!fits("acme.com", "https://evilacme.com"));
        assert!(!fits("acme.com", "https://acme.com:8443"));
    }

    #[test]
    fn a_wildcard_is_exactly_one_label() {
        assert!(fits("*.acme.com", "https://www.acme.com"));
        assert!(!fits("*.acme.com", "https://acme.com"));
        assert!(!fits("*.acme.com", "https://a.b.acme.com"));
        assert!(!fits("*.acme.com", "https://evilacme.com"));
    }

    #[test]
    fn a_port_may_be_given() {
        assert!(fits("localhost:3000", "http://localhost:3000"));
        assert!(!fits("localhost:3000", "http://localhost:3001"));
        assert!(!fits("localhost", "http://localhost:3000"));
        assert!(fits("acme.com:443", "https://acme.com"));
        assert!(fits("[::1]:3000", "http://[::1]:3000"));
    }

    #[test]
    fn an_ipv6_address_is_the_same_however_it_is_spelled() {
        let browsers = "https://[2001:db8::1]";
        for spelled in ["[2001:db8::1]", "[2001:DB8:0::1]", "[2001:0db8:0000:0000:0000:0000:0000:0001]:443"] {
            assert!(fits(spelled, browsers), "{spelled}");
            assert!(!fits(spelled, "https://[2001:db8::2]"), "{spelled}");
        }
        assert_eq!(OriginRule::parse("[2001:DB8:0::1]:80").unwrap().to_string(), "[2001:db8::1]:80");
        // An IPv4 address inside is written in two ways.
        assert!(fits("[::ffff:192.0.2.1]", "https://[::ffff:c000:201]"));
        for browsers in [browsers, "https://[::ffff:c000:201]", "http://[::]:8080"] {
            assert_eq!(Origin::of(browsers).unwrap().to_string(), browsers);
        }
        OriginRule::parse("*.[::1]").unwrap_err();
    }

    #[test]
    fn a_name_beyond_ascii_is_refused_with_what_to_write_instead() {
        assert_eq!(OriginRule::parse("bücher.de"), Err(OriginRuleError::NotAscii));
        assert!(OriginRuleError::NotAscii.to_string().contains("xn--bcher-kva.de"));
        assert!(fits("*.xn--bcher-kva.de", "https://www.xn--bcher-kva.de"));
        assert_eq!(OriginRule::parse("https://acme.com"), Err(OriginRuleError::NoHost));
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for text in [
            "a",
            "ACME.com",
            "acme.com.",
            "acme.com.:443",
            "my_app-1:8080",
            "acme.com:",
            "acme.com:0",
            "acme.com:65535",
            "127.0.0.1:8443",
            "[::1]",
            "[2001:DB8::1]:443",
            "[::ffff:192.0.2.1]:",
        ] {
            assert!(is_authority(text), "{text:?}");
        }
        for text in [
            "",
            ".",
            ":",
            "::",
            ":::",
            ":80",
            "a..b",
            ".a",
            "a..",
            "a:b",
            "a:1:2",
            "a:1:",
            "a::",
            "a:+1",
            "a:65536",
            "a:99999",
            "[",
            "]",
            "[]",
            "[::1",
            "::1",
            "::1]",
            "[::1]a",
            "[::1]80",
            "[::1].",
            "[:::1]",
            "[127.0.0.1]",
            "[a]",
            "a]",
            "a b",
            "u@a",
            "a/b",
            "ä",
        ] {
            assert!(!is_authority(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "https://acme.com",
            "acme.com/",
            "a b",
            "acme.com:0",
            "acme.com:99999",
            "*.*.com",
            "acme..com",
            "a;b",
            "'self'",
        ] {
            assert!(OriginRule::parse(text).is_err(), "{text:?}");
        }
        for text in ["null", "", "acme.com", "file:///x", "https://", "https://user@acme.com"] {
            assert_eq!(Origin::of(text), None, "{text:?}");
        }
    }
}
