//! The arrows of `docs/ARCHITECTURE.md`, checked from the sources.

use crate::support::files_below;
use std::path::{Path, PathBuf};

/// Each room, the rooms it may name, and the outside crates that are its alone or that it may share.
const ROOMS: [(&str, &[&str]); 8] = [
    ("domain", &["domain"]),
    ("media", &["media", "domain"]),
    ("auth", &["auth", "domain"]),
    ("store", &["store", "domain"]),
    ("config", &["config"]),
    ("app", &["app", "auth", "config", "domain", "media", "store"]),
    ("http", &["http", "app", "auth", "config", "domain", "media", "store"]),
    ("server", &["server", "app", "config", "domain", "http", "store"]),
];

/// Outside crates that only these places may name.
const CRATES: [(&str, &[&str]); 22] = [
    ("actix_web", &["http/", "server", "cli/"]),
    ("actix_http", &["server/listener.rs", "cli/output.rs"]),
    ("actix_server", &["server/listener.rs"]),
    ("actix_service", &["server/listener.rs"]),
    ("tokio_rustls", &["server/line.rs"]),
    ("httparse", &["server/line.rs"]),
    ("actix_files", &["http/ui.rs"]),
    ("jsonwebtoken", &["auth/playback_token.rs"]),
    ("aws_lc_rs::aead", &["auth/crypto.rs"]),
    ("aws_lc_rs::digest", &["store/appending.rs"]),
    ("hmac::", &["auth/crypto.rs"]),
    ("sled::", &["store/index.rs", "store/filling.rs", "store/guarded.rs"]),
    ("mp4_atom", &["media/"]),
    ("getrandom", &["app/seams.rs"]),
    ("SystemTime::now", &["app/seams.rs"]),
    ("std::fs", &["store/", "config/", "server", "cli/"]),
    ("std::process::{", &["app/transcode/run.rs"]),
    ("std::process::Command", &["cli/child.rs"]),
    ("tokio::fs", &[]),
    ("clap::", &["cli/"]),
    ("governor", &["http/rate.rs"]),
    ("StatusCode", &["http/"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    assert!(paths.len() > 50, "only {} sources were found", paths.len());
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests inside a file may use what they like; comments name what they explain.
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            (path.strip_prefix(&root).unwrap().to_owned(), code)
        })
        .filter(|(path, _)| !path.ends_with("tests.rs"))
        .collect()
}

#[test]
fn every_room_names_only_the_rooms_it_may() {
    for (path, code) in sources() {
        let first = path.iter().next().unwrap().to_str().unwrap();
        let room = first.strip_suffix(".rs").unwrap_or(first);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else { continue };
        for (at, _) in code.match_indices("crate::") {
            let named = code[at + 7..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let is_outside_crate = code[..at].ends_with("::");
            assert!(is_outside_crate || allowed.contains(&named), "{} names crate::{named}", path.display());
        }
    }
}

#[test]
fn every_outside_crate_is_named_only_where_it_belongs() {
    for (path, code) in sources() {
        let path = path.to_str().unwrap();
        for (name, places) in CRATES {
            let is_named = code.contains(name);
            let may = places.iter().any(|place| path.starts_with(place));
            assert!(!is_named || may, "{path} names {name}");
        }
    }
}

#[test]
fn one_function_admits_to_bytes_and_one_handler_calls_it() {
    let callers: Vec<String> = sources()
        .into_iter()
        .filter(|(_, code)| code.contains("admit_asset("))
        .map(|(path, _)| path.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(callers.len(), 2, "{callers:?}");
    assert!(callers.contains(&"auth/gate.rs".to_owned()) && callers.contains(&"http/media.rs".to_owned()));
}

#[test]
fn every_source_says_at_its_head_what_lives_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (path, _) in sources() {
        let text = std::fs::read_to_string(root.join(&path)).unwrap();
        assert!(text.starts_with("//!"), "{} has no //! head", path.display());
    }
}

#[test]
fn every_file_is_a_part_of_its_program() {
    for root in ["src", "tests/it", "benches/load"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
        for file in files_below(&root).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs")) {
            let directory = file.parent().unwrap();
            let name = match file.file_stem().unwrap().to_str().unwrap() {
                "main" | "lib" => continue,
                "mod" => directory.file_name().unwrap().to_str().unwrap(),
                name => name,
            };
            let beside =
                [directory, directory.parent().unwrap()].map(|directory| std::fs::read_dir(directory).unwrap());
            let mut beside = beside.into_iter().flatten().map(|entry| entry.unwrap().path());
            let names = |parent: PathBuf| {
                std::fs::read_to_string(parent)
                    .is_ok_and(|text| text.lines().any(|line| line.ends_with(&format!("mod {name};"))))
            };
            assert!(beside.any(names), "{} is compiled into nothing", file.display());
        }
    }
}
