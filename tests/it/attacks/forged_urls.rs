//! Tables of forged asset URLs (group D): each made of a good one, with the row of the list that it belongs to.

use crate::asset_urls::Watched;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Every character that our paths are spelled with, and some that they are not.
const PLAIN: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
const ODD: &str = "/%?+=:@!*;,&$'()";

/// One of them.
pub struct Forged {
    pub row: &'static str,
    pub target: String,
    pub allowed: Allowed,
}

/// How it may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// 403 `asset_url_invalid`.
    Unsigned,
    /// 404: the grant is good, and there is no such asset.
    Absent,
    /// Either of the two.
    Refused,
    /// Those, or 400 or 414: it need not even be read as a URL.
    Unread,
}
use Allowed::{Absent, Refused, Unread, Unsigned};

/// Things of the same server that a forger could put in another's place.
pub struct Others {
    /// Another asset key that verifies.
    pub asset_key: String,
    /// Other signing keys: an active and a revoked one.
    pub kids: [String; 2],
    /// A session of a public video.
    pub session: String,
}

/// All tables but [`single_changes`].
pub fn structural(good: &Watched, others: &Others) -> Vec<Forged> {
    [macs(good), fields(good, others), queries(good), spellings(good), paths(good)].into_iter().flatten().collect()
}

/// D04: each character behind `/media/` replaced by about so many others, at each place by others.
pub fn single_changes(good: &Watched, tries: usize) -> Vec<Forged> {
    let path = good.path();
    let asset_begins = path.len() - good.asset.len();
    let all: Vec<char> = PLAIN.chars().chain(ODD.chars()).collect();
    let step = (all.len() / tries).max(1);
    let mut forged = Vec::new();
    for at in "/media/".len()..path.len() {
        for other in all.iter().skip(at % step).step_by(step).filter(|other| !path[at..].starts_with(**other)) {
            let allowed = match (PLAIN.contains(*other), at >= asset_begins) {
                (true, true) => Absent,
                (true, false) => Unsigned,
                (false, _) => Refused,
            };
            let target = format!("{}{other}{}", &path[..at], &path[at + 1..]);
            // A dot beside a slash makes a dot segment, which is no URL of ours.
            let allowed = if target.contains("/./") { Refused } else { allowed };
            forged.push(Forged { row: "D04", target, allowed });
        }
    }
    forged
}

fn with_grant(good: &Watched, row: &'static str, grant: String) -> Forged {
    let target = Watched { grant, ..good.clone() }.path();
    Forged { row, target, allowed: Refused }
}

/// D05: the MAC missing, cut, doubled or spelled otherwise.
fn macs(good: &Watched) -> Vec<Forged> {
    let (fields, mac) = good.grant.rsplit_once('.').unwrap();
    let hex: String = BASE64_URL_SAFE_NO_PAD.decode(mac).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut grants = vec![
        format!("{fields}.{hex}"),
        format!("{fields}.{}", mac.to_uppercase()),
        format!("{fields}.{}", mac.to_lowercase()),
        format!("{fields}.{mac}{mac}"),
        format!("{fields}.{mac}.{mac}"),
        format!("{fields}.{mac}A"),
        format!("{fields}.{mac}="),
        format!("{fields}.{mac}."),
        format!("{fields}..{mac}"),
        format!(".{fields}.{mac}"),
        format!("{mac}.{fields}"),
        format!("{fields}."),
        fields.to_owned(),
        format!("{0}.{0}", good.grant),
        good.grant.to_uppercase(),
        "-".into(),
        "null".into(),
        "A".repeat(4_000),
    ];
    for end in 1..good.grant.len() {
        grants.push(good.grant[..end].to_owned());
        grants.push(good.grant[end..].to_owned());
        grants.push(format!("{}{}", &good.grant[..end - 1], &good.grant[end..]));
    }
    grants.into_iter().map(|grant| with_grant(good, "D05", grant)).collect()
}

/// D03, D10, D11, D13: every field rewritten, exchanged with its neighbours, and given twice.
fn fields(good: &Watched, others: &Others) -> Vec<Forged> {
    let fields: Vec<&str> = good.grant.split('.').collect();
    let expires: i64 = fields[6].parse().unwrap();
    let times = [
        (expires + 3_600).to_string(),
        (expires - 1).to_string(),
        "0".into(),
        "-1".into(),
        "99999999999999999999".into(),
        "1e12".into(),
        String::new(),
        "abc".into(),
        format!("0x{expires:x}"),
        format!("+{expires}"),
        format!("0{expires}"),
        format!("{expires}.0"),
        format!("%20{expires}"),
    ];
    let mut forged = Vec::new();
    let mut with = |row: &'static str, at: usize, value: &str| {
        let mut fields = fields.clone();
        fields[at] = value;
        forged.push(with_grant(good, row, fields.join(".")));
    };
    for time in &times {
        for at in [5, 6, 7] {
            with("D03", at, time);
        }
    }
    for purpose in ["r1", "p2", "P1", "p", "", "p01"] {
        with("D10", 0, purpose);
    }
    for key in [&others.asset_key, "00000000", "ffffffff", "", "a1b2c3d4"] {
        with("D10", 1, key);
    }
    for epoch in ["1", "00", "-0", "4294967295", ""] {
        with("D10", 2, epoch);
    }
    for session in [&others.session, "00000000-0000-4000-8000-000000000000", ""] {
        with("D10", 3, session);
    }
    for authority in [&others.kids[0], &others.kids[1], "-", "00000000-0000-4000-8000-000000000000", ""] {
        with("D10", 4, authority);
    }
    for at in 0..fields.len() {
        let mut twice = fields.clone();
        twice.insert(at, fields[at]);
        forged.push(with_grant(good, "D13", twice.join(".")));
        let mut without = fields.clone();
        without.remove(at);
        forged.push(with_grant(good, "D13", without.join(".")));
        for other in at + 1..fields.len() {
            let mut exchanged = fields.clone();
            exchanged.swap(at, other);
            forged.push(with_grant(good, "D11", exchanged.join(".")));
        }
    }
    forged
}

/// D12: a query, which no asset URL has; and a good URL behind `#`, which no request has.
fn queries(good: &Watched) -> Vec<Forged> {
    let (grant, path) = (&good.grant, good.path());
    let queries = [
        "?",
        "?x=1",
        "?download=1",
        "?token=T",
        "?e=1",
        "?E=",
        "??",
        "?&",
        "?&&",
        "?;",
        "?%00",
        "?/",
        "?a=b&a=c",
        "?#",
        "&x=1",
        ";x=1",
    ];
    let mut targets: Vec<String> = queries.iter().map(|query| format!("{path}{query}")).collect();
    targets.push(format!("{path}?grant={grant}"));
    targets.push(format!("{path}?{grant}"));
    targets.push(format!("{}#{path}", path.replace("/p1.", "/p2.")));
    targets.into_iter().map(|target| Forged { row: "D12", target, allowed: Unread }).collect()
}

/// D14, D15, D17, D18: the good URL spelled so that it needs decoding or tidying.
fn spellings(good: &Watched) -> Vec<Forged> {
    let (video, grant, asset, path) = (&good.video, &good.grant, &good.asset, good.path());
    let mut forged = Vec::new();
    for tail in [
        "/", "//", "/.", "/..", "/../", "/x", "%2f", "%00", "%00.mp4", ";.mp4", ":stream", ".", "..", "%20", "~",
        "%3f", "%23", "\\", "+", "?", "\"", "<",
    ] {
        forged.push(Forged { row: "D17", target: format!("{path}{tail}"), allowed: Unread });
    }
    let (first, rest) = asset.split_at(1);
    let encoded = format!("%{:02x}", first.as_bytes()[0]);
    for target in [
        format!("/media/{video}/{grant}/{encoded}{rest}"),
        format!("/media/{video}/%70{}/{asset}", &grant[1..]),
        format!("/%6dedia/{video}/{grant}/{asset}"),
        format!("/medi%61/{video}/{grant}/{asset}"),
        format!("/media/{video}/{}/{asset}", grant.replace('.', "%2e")),
        format!("/media/{}/{grant}/{asset}", video.replace('-', "%2d")),
    ] {
        forged.push(Forged { row: "D18", target, allowed: Refused });
    }
    for target in [
        format!("/media/{video}/./{grant}/{asset}"),
        format!("/media/./{video}/{grant}/{asset}"),
        format!("/./media/{video}/{grant}/{asset}"),
        format!("/media/{video}/{grant}/./{asset}"),
        format!("/media/{video}/{grant}/x/../{asset}"),
        format!("/media/x/../{video}/{grant}/{asset}"),
        format!("/x/../media/{video}/{grant}/{asset}"),
        format!("//media/{video}/{grant}/{asset}"),
        format!("/media//{video}/{grant}/{asset}"),
        format!("/media/{video}//{grant}/{asset}"),
        format!("/media/{video}/{grant}//{asset}"),
        format!("/media/{video}%2f{grant}/{asset}"),
        format!("/media/{video}/{grant}%2f{asset}"),
        format!("/media%2f{video}/{grant}/{asset}"),
        format!("/media/{video}/{grant}/{}", swapped_case(asset)),
        format!("/media/{}/{grant}/{asset}", video.to_uppercase()),
        format!("/media/{}/{grant}/{asset}", video.replace('-', "")),
        format!("/media/{video}/{grant}/{}", asset.rsplit_once('.').unwrap().0),
        format!("/MEDIA/{video}/{grant}/{asset}"),
        format!("/Media/{video}/{grant}/{asset}"),
        format!("/media/{video}/{grant}"),
        format!("/media/{video}/{grant}/"),
        format!("/media/{video}"),
        format!("/media/{video}/{asset}"),
        format!("/media/{asset}"),
        "/media/".into(),
        "/media".into(),
        format!("media/{video}/{grant}/{asset}"),
        format!("{video}/{grant}/{asset}"),
    ] {
        forged.push(Forged { row: "D15", target, allowed: Unread });
    }
    forged
}

/// Every letter in the other case.
fn swapped_case(text: &str) -> String {
    let swap = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.chars().map(swap).collect()
}

/// D16, D19, D20: paths that lead elsewhere, and endless ones.
fn paths(good: &Watched) -> Vec<Forged> {
    let (video, grant, asset) = (&good.video, &good.grant, &good.asset);
    let mut forged = Vec::new();
    for up in [
        "..",
        "%2e%2e",
        "..%2f",
        "%2e%2e%2f",
        "%252e%252e%252f",
        "..%5c",
        "..\\",
        "%c0%ae%c0%ae",
        "%uff0e%uff0e",
        "...",
        "..;",
    ] {
        let mut row = |target| forged.push(Forged { row: "D16", target, allowed: Unread });
        row(format!("/media/{video}/{grant}/{up}/{asset}"));
        row(format!("/media/{up}/media/{video}/{grant}/{asset}"));
        row(format!("/media/{video}/{up}/{video}/{grant}/{asset}"));
        for file in ["etc/passwd", "state/master.key", "proc/self/environ"] {
            row(format!("/media/{video}/{grant}/{up}/{up}/{up}/{up}/{up}/{file}"));
            row(format!("/{up}/{up}/{up}/{up}/{file}"));
        }
    }
    for file in [
        "/etc/passwd",
        "/proc/self/environ",
        "master.key",
        "config.toml",
        "journal",
        "db/conf",
        "index/conf",
        "state/journal",
        "../journal",
        "../db/conf",
        "../../state/master.key",
    ] {
        for target in [format!("/media/{video}/{grant}/{file}"), format!("/media/{file}"), format!("/{file}")] {
            forged.push(Forged { row: "D20", target, allowed: Unread });
        }
    }
    for target in [
        format!("/media/{video}/{grant}/{}", "a".repeat(4_000)),
        format!("/media/{video}/{grant}/{}", "a".repeat(20_000)),
        format!("/media/{video}/{grant}/{}", "a".repeat(64 << 10)),
        "/a".repeat(10_000),
    ] {
        forged.push(Forged { row: "D19", target, allowed: Unread });
    }
    forged
}
