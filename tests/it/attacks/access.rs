//! `docs/access.md`, read: what each route answers to each credential.

use crate::support::routes::{Listed, listed};
use reqwest::Method;

const PAGE: &str = include_str!("../../../docs/access.md");

/// What a request comes with; the order is that of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    Nothing,
    Garbage,
    PublishableKey,
    OthersPublishableKey,
    SigningSecret,
    ViewerToken,
    PublishableKeyAndViewerToken,
    OthersPrivateKey,
    RevokedPrivateKey,
    PrivateKey,
    Cookie,
}

impl Credential {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Garbage,
        Self::PublishableKey,
        Self::OthersPublishableKey,
        Self::SigningSecret,
        Self::ViewerToken,
        Self::PublishableKeyAndViewerToken,
        Self::OthersPrivateKey,
        Self::RevokedPrivateKey,
        Self::PrivateKey,
        Self::Cookie,
    ];
}

/// What the table says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Documented {
    /// This status.
    Refused(u16),
    /// 303 to the page that asks for a key.
    SignIn,
    /// 2xx, or 303 to another page.
    Done,
    /// 404 where the path names an object, and the caller's own things elsewhere.
    NotFoundOrOwn,
}

/// The table.
pub struct Access(Vec<(String, Vec<Documented>)>);

/// Rows that are no list of routes.
const PREFLIGHT: &str = "`OPTIONS` of any that takes it";
const OTHER_METHOD: &str = "a method that a route doesn't take";
const SOCKETS_OWN: &str = "`/appliance/v1/*`, which the unix socket serves alone";
const OTHER_PATH: &str = "any other path";

impl Access {
    /// Reads the page.
    pub fn read() -> Self {
        let mut rows = PAGE.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        let columns = rows.next().unwrap().split(" | ").count() - 1;
        assert_eq!(columns, Credential::ALL.len());
        let read = |row: &str| {
            let mut cells = row.split(" | ");
            let what = cells.next().unwrap().to_owned();
            let documented: Vec<Documented> = cells
                .map(|cell| match cell {
                    "done" => Documented::Done,
                    "sign in" => Documented::SignIn,
                    "404, or its own" => Documented::NotFoundOrOwn,
                    status => Documented::Refused(status.parse().unwrap_or_else(|_| panic!("{cell} in {row}"))),
                })
                .collect();
            assert_eq!(documented.len(), columns, "{row}");
            (what, documented)
        };
        Self(rows.map(read).collect())
    }

    fn row(&self, what: &str, credential: Credential) -> Documented {
        let (_, cells) = self.0.iter().find(|(other, _)| other == what).unwrap_or_else(|| panic!("no row {what}"));
        cells[credential as usize]
    }

    /// What a listed route answers. `note` is what the row says besides the routes, where it has several rows.
    pub fn of(&self, route: &Listed, note: &str, method: &Method, credential: Credential) -> Documented {
        if route.pattern.starts_with("/appliance/v1/") {
            return self.row(SOCKETS_OWN, credential);
        }
        if !route.methods.contains(method) {
            return self.row(OTHER_METHOD, credential);
        }
        if *method == Method::OPTIONS {
            return self.row(PREFLIGHT, credential);
        }
        let row = self.row_of(route, note, method);
        self.row(
            row.unwrap_or_else(|| panic!("{method} {} stands in no row of docs/access.md", route.pattern)),
            credential,
        )
    }

    /// What a path answers that no route has.
    pub fn of_other_path(&self, credential: Credential) -> Documented {
        self.row(OTHER_PATH, credential)
    }

    /// The row that names a route with this method: by its pattern, or by the longest beginning of it.
    fn row_of(&self, route: &Listed, note: &str, method: &Method) -> Option<&str> {
        let asked = if *method == Method::HEAD { "GET" } else { method.as_str() };
        let fit = |what: &str| {
            let (routes, said) = what.rsplit_once("`").unwrap_or_default();
            let names: Vec<&str> = routes.split('`').skip(1).step_by(2).collect();
            let fits = |name: &&str| match name.strip_suffix('*') {
                Some(beginning) => route.pattern.starts_with(beginning),
                None => *name == route.pattern,
            };
            let is_asked = names.contains(&asked) && said.trim_start_matches(", ") == note;
            names.iter().copied().filter(fits).map(str::len).max().filter(|_| is_asked)
        };
        let rows = self.0.iter().filter_map(|(what, _)| Some((fit(what)?, what.as_str())));
        rows.max().map(|(_, what)| what)
    }
}

#[test]
fn every_route_stands_in_the_table_of_who_may_call_what() {
    let access = Access::read();
    for route in listed() {
        for method in &route.methods {
            for note in notes(&route.pattern, method) {
                access.of(&route, note, method, Credential::Nothing);
            }
        }
    }
    // The twin: one that is new is missed.
    let new = Listed { pattern: "/new".into(), methods: vec![Method::GET] };
    assert_eq!(access.row_of(&new, "", &Method::GET), None);
    let known = Listed { pattern: "/healthz".into(), methods: vec![Method::POST] };
    assert_eq!(access.row_of(&known, "", &Method::POST), None);
}

/// What the rows of a route say besides its name: several where it is asked in several ways.
pub fn notes(pattern: &str, method: &Method) -> &'static [&'static str] {
    match pattern {
        "/media/{tail:.*}" if *method != Method::OPTIONS => &[ALTERED, HANDED_OUT],
        "/dashboard/sign-in" if *method == Method::POST => &["with a wrong key"],
        _ => &[""],
    }
}

/// An asset's URL with another grant in it.
pub const ALTERED: &str = "the grant altered";
/// One that the server made.
pub const HANDED_OUT: &str = "as it was handed out";
