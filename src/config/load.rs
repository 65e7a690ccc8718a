//! Loading: file and environment laid over the defaults, read key by key, and everything wrong collected.
//!
//! Relies on `layers` for known names and on the table of keys for reading. Never stops at the first problem.

use super::Config;
use super::given::{Given, toml_text, toml_value};
use super::keys::{KEYS, Key, Preset};
use super::layers::Layer;
use super::problem::{PROBLEMS_MAX, Problem, Source};
use std::collections::BTreeMap;
use std::path::Path;

/// A configuration together with where each of its values was written.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values in force.
    pub config: Config,
    sources: BTreeMap<&'static str, Source>,
}

impl Loaded {
    /// Where the value of `key`, such as `server.listen`, was written.
    pub fn source(&self, key: &str) -> Source {
        self.sources.get(key).cloned().unwrap_or(Source::Default)
    }

    /// Every key with its value in force and its source, one per line; itself valid TOML.
    pub fn print(&self) -> String {
        let line = |key: &Key| {
            let source = self.source(key.name);
            match ((key.show)(&self.config), key.preset) {
                (Some(value), _) => format!("{} = {value}  # {source}\n", key.name),
                (None, Preset::Unset { otherwise, .. }) => {
                    format!("# {} is not set: {otherwise}  # {source}\n", key.name)
                }
                (None, Preset::Value(_)) => format!("# {} is not set  # {source}\n", key.name),
            }
        };
        KEYS.iter().map(line).collect()
    }
}

impl Config {
    /// Reads the file at `path`, if any, and lays the variables `SCREENER__SECTION__KEY` of `environment` over it.
    ///
    /// Variables of other names are passed over. Relative paths start at the directory of the file, or at the working
    /// directory when there is none.
    ///
    /// # Errors
    /// Everything that is wrong, in file and environment alike, each with its remedy.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, Vec<Problem>> {
        let mut problems = Vec::new();
        let file = path.map(|path| Layer::from_file(path, &mut problems)).unwrap_or_default();
        let environment = Layer::from_environment(environment, &mut problems);
        let loaded = read(path, file, environment, &mut problems);
        if problems.is_empty() {
            return Ok(loaded);
        }
        if problems.len() > PROBLEMS_MAX {
            let more = problems.len() - PROBLEMS_MAX;
            problems.truncate(PROBLEMS_MAX);
            let source = path.map_or(Source::InForce, |path| Source::File { path: path.to_owned(), line: None });
            problems.push(Problem::of_source(source, format!("has {more} more problems; correct these first")));
        }
        Err(problems)
    }
}

/// Lays defaults, `file` and `environment` over each other and reads every key.
pub(super) fn read(path: Option<&Path>, file: Layer, environment: Layer, problems: &mut Vec<Problem>) -> Loaded {
    let source = |key: &'static Key| match path {
        _ if environment.holds(key) => Source::Environment(key.variable()),
        Some(path) if file.holds(key) => Source::File { path: path.to_owned(), line: file.line(key) },
        _ => Source::Default,
    };
    let sources: BTreeMap<_, _> = KEYS.iter().map(|key| (key.name, source(key))).collect();
    let mut loaded = Loaded { config: Config::blank(), sources };

    let builder = ::config::Config::builder().add_source(presets()).add_source(file).add_source(environment);
    let values = match builder.build() {
        Ok(values) => values,
        Err(error) => {
            problems.push(Problem::of_source(Source::InForce, format!("cannot be assembled: {error}")));
            return loaded;
        }
    };
    let base = path.and_then(Path::parent).unwrap_or(Path::new(""));
    let base = std::path::absolute(base.join(".")).unwrap_or_else(|_| base.to_owned());
    for key in &KEYS {
        // A key without a default that nobody wrote is in no layer.
        let Ok(value) = values.get::<::config::Value>(key.name) else { continue };
        let source = loaded.source(key.name);
        let given = Given { key, value: &value, source: &source, base: &base };
        if let Err(message) = (key.set)(&mut loaded.config, &given) {
            problems.push(Problem::of_key(key.name, &toml_value(&value), source, message));
        }
    }
    refuse_contradictions(&loaded, problems);
    loaded.config.complete();
    loaded
}

/// The defaults of the table as a TOML document.
fn presets() -> ::config::File<::config::FileSourceString, ::config::FileFormat> {
    let assignment = |key: &Key| match key.preset {
        Preset::Value(literal) => Some(format!("{} = {literal}\n", key.name)),
        Preset::Unset { .. } => None,
    };
    let document: String = KEYS.iter().filter_map(assignment).collect();
    ::config::File::from_str(&document, ::config::FileFormat::Toml)
}

/// Values that are fine each by itself but not together.
fn refuse_contradictions(loaded: &Loaded, problems: &mut Vec<Problem>) {
    let server = &loaded.config.server;
    let is_refused = |name: &str| problems.iter().any(|problem| problem.key == name);
    let mut found = Vec::new();
    let pair = ["server.tls_certificate_file", "server.tls_key_file"];
    if !pair.into_iter().any(is_refused) {
        let lone = match (&server.tls_certificate_file, &server.tls_key_file) {
            (Some(certificate), None) => Some((certificate, pair)),
            (None, Some(key)) => Some((key, [pair[1], pair[0]])),
            _ => None,
        };
        found.extend(lone.map(|(path, [name, missing])| {
            let message = format!("stands alone; set {missing} too, or neither for a self-signed certificate");
            Problem::of_key(name, &toml_text(path.display()), loaded.source(name), message)
        }));
    }
    if server.is_exposed_on(server.listen) && !is_refused("server.insecure_http") {
        let message = format!(
            "would serve without TLS on {}, which other machines may reach; listen on 127.0.0.1, remove plain_http, or \
             set server.insecure_http = true if a proxy ends TLS on a private network",
            server.listen
        );
        found.push(Problem::of_key("server.plain_http", "true", loaded.source("server.plain_http"), message));
    }
    let url = &server.public_url;
    if !server.plain_http && url.starts_with("http://") && !is_refused("server.public_url") {
        let message = "is http, and this server speaks TLS; write https, or set server.plain_http = true behind a proxy \
                       that ends TLS";
        found.push(Problem::of_key("server.public_url", &toml_text(url), loaded.source("server.public_url"), message));
    }
    if server.plain_http
        && let Some(path) = &server.tls_certificate_file
        && !pair.into_iter().any(is_refused)
    {
        let message = "is never shown where server.plain_http = true; remove one of the two";
        found.push(Problem::of_key(pair[0], &toml_text(path.display()), loaded.source(pair[0]), message));
    }
    let disk = &loaded.config.disk;
    let marks = [
        ("disk.warn_percent", disk.warn_percent),
        ("disk.uploads_percent", disk.uploads_percent),
        ("disk.changes_percent", disk.changes_percent),
    ];
    for ((lower, below), (name, value)) in marks.into_iter().zip(marks.into_iter().skip(1)) {
        if value < below && !is_refused(lower) && !is_refused(name) {
            let message = format!("is below {lower} = {below}; set it to at least that, or lower the other");
            found.push(Problem::of_key(name, &value.to_string(), loaded.source(name), message));
        }
    }
    if let (Some(public), Some(message)) = (&loaded.config.ui.static_dir, loaded.config.overlap(Path::to_owned)) {
        let value = toml_text(public.display());
        found.push(Problem::of_key("ui.static_dir", &value, loaded.source("ui.static_dir"), message));
    }
    problems.extend(found);
}
