//! Loading as an operator meets it: files on disk, variables over them, and what is said about mistakes.

use super::*;
use std::path::Path;
use tempfile::TempDir;

const NONE: [(String, String); 0] = [];

/// A directory with `text` as its `screener.toml`.
fn file_of(text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("screener.toml");
    std::fs::write(&file, text).unwrap();
    (dir, file)
}

fn variables<const N: usize>(pairs: [(&str, &str); N]) -> [(String, String); N] {
    pairs.map(|(variable, text)| (variable.to_owned(), text.to_owned()))
}

fn load(text: &str) -> Result<Loaded, Vec<Problem>> {
    let (_dir, file) = file_of(text);
    Config::load(Some(&file), NONE)
}

/// The problems of a file, as an operator reads them, without the path of the file.
fn said_of(text: impl AsRef<[u8]>) -> Vec<String> {
    let (_dir, file) = file_of(text);
    let problems = Config::load(Some(&file), NONE).unwrap_err();
    problems.iter().map(|problem| problem.to_string().replace(file.to_str().unwrap(), "F")).collect()
}

fn said_of_variables<const N: usize>(pairs: [(&str, &str); N]) -> Vec<String> {
    Config::load(None, variables(pairs)).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = load("").unwrap().config;
    assert_eq!(config.server.listen, "127.0.0.1:8443".parse().unwrap());
    assert_eq!(config.server.public_url, "https://127.0.0.1:8443");
    assert_eq!(config.state.dir, Path::new("/var/lib/screener"));
    assert_eq!(config.state.master_key_file, Path::new("/var/lib/screener/master.key"));
    assert_eq!(config.server.max_connections, 8192);
    assert_eq!(config.media.max_source_mib, 1 << 20);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(format!("{config:?}"), format!("{:?}", Config::load(None, NONE).unwrap().config));
}

#[test]
fn a_configuration_made_in_code_keeps_all_state_in_its_directory() {
    let config = Config::default_for("/tmp/demo".into());
    assert_eq!(config.state.dir, Path::new("/tmp/demo"));
    assert_eq!(config.state.master_key_file, Path::new("/tmp/demo/master.key"));
    assert_eq!(config.limits.playback_burst, 5000);
}

#[test]
fn an_unknown_key_in_the_file_is_refused_with_the_nearest_key() {
    assert_eq!(
        said_of("[server]\nlisen = \"[::]:1\""),
        ["server.lisen = \"[::]:1\" (from file F, line 2): is not a known key; did you mean server.listen?"]
    );
}

#[test]
fn unknown_sections_are_refused_key_by_key_however_deep() {
    assert_eq!(
        said_of("[server.tls]\ncertificate_file = \"a\"\n[a.b.c]\nd = 1\ne = [true]\n[empty]\n"),
        [
            "a.b.c.d = 1 (from file F, line 4): is not a known key; remove it (config.example.toml lists every key)",
            "a.b.c.e = [true] (from file F, line 5): is not a known key; remove it (config.example.toml lists every \
             key)",
            "empty = {  } (from file F): is not a known key; remove it (config.example.toml lists every key)",
            "server.tls.certificate_file = \"a\" (from file F, line 2): is not a known key; did you mean \
             server.tls_certificate_file?",
        ]
    );
    assert_eq!(
        said_of("server = 5"),
        ["server = 5 (from file F, line 1): is a section, not a value; write [server] and its keys below"]
    );
    assert_eq!(
        said_of("\"server.listen\" = \"[::1]:1\""),
        ["\"server.listen\" = \"[::1]:1\" (from file F): is not a known key; did you mean server.listen?"]
    );
}

#[test]
fn an_unknown_variable_is_refused_by_its_name() {
    assert_eq!(
        said_of_variables([("SCREENER__SERVER__LISEN", "x"), ("SCREENER__FOO", "1"), ("SCREENER__", "")]),
        [
            "environment SCREENER__: is not a known key; remove it (config.example.toml lists every key)",
            "foo = \"1\" (from environment SCREENER__FOO): is not a known key; remove it (config.example.toml lists \
             every key)",
            "server.lisen = \"x\" (from environment SCREENER__SERVER__LISEN): is not a known key; did you mean \
             SCREENER__SERVER__LISTEN?",
        ]
    );
    let lower_case = said_of_variables([("SCREENER__server__listen", "127.0.0.1:1")]);
    assert!(lower_case[0].ends_with("did you mean SCREENER__SERVER__LISTEN?"), "{lower_case:?}");
}

#[test]
fn variables_of_others_are_passed_over() {
    let others = variables([("SCREENER_CONFIG", "x"), ("PATH", "/bin"), ("screener__foo", "x"), ("X_SCREENER__Y", "")]);
    assert!(Config::load(None, others).is_ok());
}

#[test]
fn a_secret_in_the_configuration_is_refused_and_not_repeated() {
    let said = said_of("[state]\nmaster_key = \"hunter2\"\n[server]\npassword = \"hunter2\"");
    assert!(!format!("{said:?}").contains("hunter2"));
    assert!(
        said.contains(
            &"state.master_key = (not shown) (from file F, line 2): is not a known key; secrets are given as files: use \
          state.master_key_file"
                .to_owned()
        )
    );
    let said = said_of_variables([("SCREENER__STATE__MASTER_KEY", "hunter2")]);
    assert!(!said[0].contains("hunter2") && said[0].ends_with("use SCREENER__STATE__MASTER_KEY_FILE"), "{said:?}");
}

#[test]
fn all_problems_are_reported_at_once() {
    let (_dir, file) = file_of("[server]\nlisten = \"x\"\nworkers = 257\n[log]\nformat = \"xml\"\n[nope]\na = 1");
    let environment = variables([("SCREENER__LIMITS__PLAYBACK_BURST", "0"), ("SCREENER__NOPE", "")]);
    let problems = Config::load(Some(&file), environment).unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["nope.a", "nope", "server.listen", "server.workers", "limits.playback_burst", "log.format"]);
}

#[test]
fn problems_are_counted_beyond_the_first_hundred() {
    let text: String = (0..250).map(|n| format!("k{n} = 1\n")).collect();
    let said = said_of(text);
    assert_eq!(said.len(), 101);
    assert_eq!(said[100], "file F: has 150 more problems; correct these first");
}

#[test]
fn the_environment_overrides_the_file() {
    let (_dir, file) = file_of("[server]\nlisten = \"127.0.0.1:1\"\nworkers = 2\n");
    let environment = variables([
        ("SCREENER__SERVER__LISTEN", "[::1]:2"),
        ("SCREENER__SERVER__PLAIN_HTTP", "true"),
        ("SCREENER__SERVER__TRUSTED_PROXIES", "10.0.0.1, ::ffff:10.0.0.2,2001:db8::1"),
        ("SCREENER__LIMITS__PLAYBACK_PER_SECOND", "0"),
    ]);
    let config = Config::load(Some(&file), environment).unwrap().config;
    assert_eq!(config.server.listen, "[::1]:2".parse().unwrap());
    assert_eq!(config.server.public_url, "http://[::1]:2");
    assert_eq!(config.server.workers, 2);
    assert_eq!(config.limits.playback_per_second, 0);
    let proxies: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2", "2001:db8::1"].map(|text| text.parse().unwrap()).into();
    assert_eq!(config.server.trusted_proxies, proxies);
}

#[test]
fn an_empty_variable_takes_back_an_optional_value_and_is_refused_for_others() {
    let (_dir, file) = file_of("[server]\npublic_url = \"https://a.example\"\ntrusted_proxies = [\"10.0.0.1\"]");
    let environment = variables([("SCREENER__SERVER__PUBLIC_URL", ""), ("SCREENER__SERVER__TRUSTED_PROXIES", "")]);
    let config = Config::load(Some(&file), environment).unwrap().config;
    assert_eq!(config.server.public_url, "https://127.0.0.1:8443");
    assert_eq!(config.server.trusted_proxies, Vec::<IpAddr>::new());
    assert_eq!(said_of_variables([("SCREENER__SERVER__WORKERS", ""), ("SCREENER__STATE__DIR", "")]).len(), 2);
}

#[test]
fn print_shows_every_value_with_its_source_and_is_toml_again() {
    let (_dir, file) = file_of("[log]\nlevel = \"info,screener=debug\"\n[server]\nmax_connections = 16");
    let environment = variables([("SCREENER__SERVER__LISTEN", "127.0.0.1:2"), ("SCREENER__STATE__DIR", "/a\"b")]);
    let loaded = Config::load(Some(&file), environment).unwrap();
    let printed = loaded.print();
    for line in [
        "server.listen = \"127.0.0.1:2\"  # environment SCREENER__SERVER__LISTEN".to_owned(),
        "server.public_url = \"https://127.0.0.1:2\"  # default".to_owned(),
        "# server.tls_key_file is not set: a self-signed certificate made in state.dir  # default".to_owned(),
        format!("server.max_connections = 16  # file {}, line 4", file.display()),
        "state.dir = \"/a\\\"b\"  # environment SCREENER__STATE__DIR".to_owned(),
        "state.master_key_file = \"/a\\\"b/master.key\"  # default".to_owned(),
        "media.min_free_mib = 0  # default".to_owned(),
        format!("log.level = \"info,screener=debug\"  # file {}, line 2", file.display()),
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\nin\n{printed}");
    }
    assert_eq!(printed.lines().count(), keys::KEYS.len());
    let again = load(&printed).unwrap();
    assert_eq!(format!("{:?}", again.config), format!("{:?}", loaded.config));
}

#[test]
fn a_syntax_error_names_line_and_column_and_repeats_no_text() {
    let said = said_of("[server]\nlisten = \"hunter2\nworkers = 1\n");
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("server.listen (from file F): is not TOML at line 2, column 18: "), "{said:?}");
    assert!(!said[0].contains("hunter2"), "{said:?}");
}

#[test]
fn a_key_written_twice_is_refused_by_name() {
    assert_eq!(
        said_of("[server]\nworkers = 1\nworkers = 2\n"),
        ["server.workers (from file F): is not TOML at line 3, column 1: duplicate key; keep one of the two"]
    );
}

#[test]
fn a_problem_of_the_file_hides_no_problem_of_the_environment() {
    let (_dir, file) = file_of("=");
    let problems = Config::load(Some(&file), variables([("SCREENER__LOG__FORMAT", "xml")])).unwrap_err();
    assert_eq!(problems.len(), 2);
    assert_eq!(problems[1].source, Source::Environment("SCREENER__LOG__FORMAT".to_owned()));
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_what_to_write() {
    for (text, said) in [
        (
            "server.workers = \"4\"",
            "server.workers = \"4\" (from file F, line 1): is not a whole number; write one from 0 to 256 (threads, 0 = one \
             per core), without quotes",
        ),
        (
            "server.plain_http = \"true\"",
            "server.plain_http = \"true\" (from file F, line 1): is neither true nor false; write true or false, without \
             quotes",
        ),
        (
            "server.listen = 8443",
            "server.listen = 8443 (from file F, line 1): is not an IP address and port; write one such as \"127.0.0.1:8443\"",
        ),
        (
            "server.trusted_proxies = [\"10.0.0.0/8\"]",
            "server.trusted_proxies = [\"10.0.0.0/8\"] (from file F, line 1): contains \"10.0.0.0/8\"; write a list of single \
             IP addresses, such as [\"192.0.2.1\", \"2001:db8::1\"]",
        ),
        (
            "server.public_url = \"https://a.example/\"",
            "server.public_url = \"https://a.example/\" (from file F, line 1): is not an origin: scheme://host or \
             scheme://host:port, no path, no trailing slash; write one such as \"https://video.example.com\"",
        ),
        (
            "log.format = \"xml\"",
            "log.format = \"xml\" (from file F, line 1): is not \"json\" or \"text\"; write one such as \"json\"",
        ),
    ] {
        assert_eq!(said_of(text), [said]);
    }
    for text in ["server.workers = 1.5", "server.workers = true", "state.dir = 1", "[server.listen]\na = 1"] {
        assert_eq!(said_of(text).len(), 1, "{text}");
    }
    for (variable, text) in [
        ("SCREENER__SERVER__WORKERS", "many"),
        ("SCREENER__SERVER__PLAIN_HTTP", "yes"),
        ("SCREENER__SERVER__LISTEN", "localhost"),
        ("SCREENER__SERVER__TRUSTED_PROXIES", "proxy"),
        ("SCREENER__STATE__DIR", "/srv/\u{fffd}"),
        ("SCREENER__LOG__LEVEL", "inof"),
    ] {
        let said = said_of_variables([(variable, text)]);
        assert!(said.len() == 1 && said[0].contains(variable) && said[0].contains("; "), "{said:?}");
    }
}

#[test]
fn a_number_out_of_range_is_refused_and_its_ends_are_accepted() {
    for (key, inside, outside) in [
        ("server.workers", [0, 256], [-1, 257]),
        ("server.max_connections", [16, 100_000], [15, 100_001]),
        ("server.max_connections_per_address", [0, 100_000], [-1, 100_001]),
        ("server.shutdown_grace_s", [0, 600], [-1, 601]),
        ("state.index_open_timeout_s", [1, 600], [0, 601]),
        ("state.index_cache_mib", [8, 4096], [7, 4097]),
        ("media.max_source_mib", [1, 16_777_216], [0, 16_777_217]),
        ("media.quota_gib", [0, 16_777_216], [-1, 16_777_217]),
        ("media.segment_s", [1, 10], [0, 11]),
        ("disk.warn_percent", [1, 90], [0, 101]),
        ("disk.uploads_percent", [85, 95], [0, 101]),
        ("disk.changes_percent", [90, 100], [0, 256]),
        ("disk.reserve_mib", [0, 1_048_576], [-1, 1_048_577]),
        ("limits.playback_per_second", [0, 1_000_000], [-1, 1_000_001]),
        ("limits.playback_burst", [1, 1_000_000], [0, i64::MAX]),
    ] {
        for number in inside {
            assert!(load(&format!("{key} = {number}")).is_ok(), "{key} = {number}");
        }
        for number in outside {
            let said = said_of(format!("{key} = {number}"));
            assert!(
                said[0].starts_with(&format!(
                    "{key} = {number} (from file F, line 1): is out of range; write a number from"
                ))
            );
        }
    }
    assert!(said_of("server.workers = 0xffff_ffff_ffff_ffff")[0].contains("is out of range at line 1; "));
    assert_eq!(
        said_of("[media]\nmin_free_mib = 99_999_999_999_999_999_999 # all\n"),
        ["media.min_free_mib = 99_999_999_999_999_999_999 (from file F): is out of range at line 2; write a number \
          below 2^63"]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let missing = Config::load(Some(Path::new("/nonexistent/screener.toml")), NONE).unwrap_err();
    assert!(missing[0].to_string().starts_with("file /nonexistent/screener.toml: does not exist; "));
    assert_eq!(said_of(b"[log]\n# \xff"), ["file F: is not UTF-8 at line 2; save it as UTF-8"]);
    let long = "#".repeat((1 << 20) + 1);
    assert_eq!(said_of(&long), ["file F: is over 1 MiB, so it is not a configuration file; name another"]);
    assert!(load(&long[1..]).is_ok());
    let dir = tempfile::tempdir().unwrap();
    assert!(Config::load(Some(dir.path()), NONE).unwrap_err()[0].message.starts_with("is not a file; "));
    assert!(load("\u{feff}[log]\n").is_ok());
}

#[test]
fn relative_paths_start_at_the_directory_of_the_file() {
    let (dir, file) = file_of("[state]\ndir = \"s\"\n[ui]\nstatic_dir = \"/abs\"\n");
    let config = Config::load(Some(&file), NONE).unwrap().config;
    assert_eq!(config.state.dir, dir.path().join("s"));
    assert_eq!(config.state.master_key_file, dir.path().join("s/master.key"));
    assert_eq!(config.ui.static_dir.as_deref(), Some(Path::new("/abs")));
    let (dir, file) = file_of("[state]\ndir = \"s\"\nmaster_key_file = \"m.key\"\n");
    let config = Config::load(Some(&file), NONE).unwrap().config;
    assert_eq!(config.state.master_key_file, dir.path().join("m.key"));
}

#[test]
fn plain_http_is_served_to_other_machines_only_when_insecure_http_says_so() {
    for listen in ["127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
        assert!(load(&format!("server.plain_http = true\nserver.listen = \"{listen}\"")).is_ok(), "{listen}");
    }
    for listen in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
        let text = format!("server.plain_http = true\nserver.listen = \"{listen}\"");
        let said = said_of(&text);
        assert!(
            said[0].starts_with("server.plain_http = true (from file F, line 1): would serve without TLS on "),
            "{said:?}"
        );
        assert!(said[0].contains("server.insecure_http = true"));
        assert!(load(&format!("{text}\nserver.insecure_http = true")).is_ok(), "{listen}");
    }
}

#[test]
fn what_the_listener_never_does_is_not_promised() {
    let said = said_of("server.public_url = \"http://video.example\"");
    assert!(
        said[0].starts_with("server.public_url = \"http://video.example\" (from file F, line 1): is http, "),
        "{said:?}"
    );
    assert!(load("server.public_url = \"http://video.example\"\nserver.plain_http = true").is_ok());
    let pair = "server.tls_certificate_file = \"/c\"\nserver.tls_key_file = \"/k\"";
    let said = said_of(format!("{pair}\nserver.plain_http = true"));
    assert!(
        said[0].starts_with("server.tls_certificate_file = \"/c\" (from file F, line 1): is never shown "),
        "{said:?}"
    );
    assert_eq!(said_of("server.trusted_proxies = [\"0.0.0.0\"]").len(), 1);
}

#[test]
fn marks_of_the_disk_come_in_order() {
    assert_eq!(
        said_of("[disk]\nwarn_percent = 91"),
        [
            "disk.uploads_percent = 90 (from default): is below disk.warn_percent = 91; set it to at least that, or lower \
          the other"
        ]
    );
    assert_eq!(said_of("[disk]\nuploads_percent = 80\nchanges_percent = 70").len(), 2);
    let marks = "[disk]\nwarn_percent = 50\nuploads_percent = 50\nchanges_percent = 50";
    assert_eq!(load(marks).unwrap().config.disk.changes_percent, 50);
}

#[test]
fn certificate_and_key_come_together() {
    let said = said_of("server.tls_key_file = \"/k\"");
    assert_eq!(
        said,
        [
            "server.tls_key_file = \"/k\" (from file F, line 1): stands alone; set server.tls_certificate_file too, or neither \
          for a self-signed certificate"
        ]
    );
    assert_eq!(said_of("server.tls_certificate_file = \"/c\"").len(), 1);
    assert_eq!(said_of("server.tls_certificate_file = \"/c\"\nserver.tls_key_file = 1").len(), 1);
    assert!(load("server.tls_certificate_file = \"/c\"\nserver.tls_key_file = \"/k\"").is_ok());
}

#[test]
fn a_directory_of_public_files_that_overlaps_a_secret_one_is_refused() {
    for (public, state) in [("/srv", "/srv/state"), ("/srv/state/static", "/srv/state"), ("/srv", "/srv")] {
        let said = said_of(format!("ui.static_dir = \"{public}\"\nstate.dir = \"{state}\""));
        let begins = format!("ui.static_dir = \"{public}\" (from file F, line 1): overlaps state.dir ({state}), ");
        assert!(said.len() == 1 && said[0].starts_with(&begins), "{said:?}");
    }
    let pair = "server.tls_certificate_file = \"/etc/tls/c.pem\"\nserver.tls_key_file = \"/etc/tls/k.pem\"";
    assert!(said_of(format!("{pair}\nui.static_dir = \"/etc/tls\""))[0].contains("overlaps server.tls_key_file"));
    assert!(said_of("state.master_key_file = \"/etc/s/k\"\nui.static_dir = \"/etc/s\"")[0].contains("master_key_file"));
    assert!(load("ui.static_dir = \"/srv/static\"\nstate.dir = \"/srv/state\"").is_ok());
}

#[test]
fn a_problem_names_the_line_however_the_key_is_spelled() {
    for (text, line) in [
        ("server.workers = \"x\"", ", line 1"),
        ("# a comment\n[server]\n\nworkers = \"x\"", ", line 4"),
        ("server = { listen = \"127.0.0.1:1\", workers = \"x\" }", ", line 1"),
        ("[media]\n[server]\n  workers=\"x\" # here", ", line 3"),
        ("[server]\n\"workers\" = \"x\"", ""),
    ] {
        let said = said_of(text);
        assert!(said[0].contains(&format!("(from file F{line}): ")), "{said:?}");
    }
}
