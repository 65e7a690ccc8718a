//! The samples of the Embed page, run as they are copied.

use super::{Browser, between, unescape};
use crate::readme::{install_clients, repository};
use crate::support::{Server, path_of};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What someone copies from the page.
fn sample(page: &str, name: &str) -> String {
    format!("{}\n", unescape(between(page, &format!("<code id=\"sample-{name}\">"), "</code>")))
}

/// What a program prints that has the secret where the sample reads it.
fn run(server: &Server, directory: &Path, command: &[&str]) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .current_dir(directory)
        .env("SIGNING_KEY_SECRET", &server.secret)
        // Go keeps what it has built, and looks nothing up.
        .env("GOCACHE", repository().join("target/test-tools/go"))
        .env("GO111MODULE", "off")
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", command[0]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Compiles `token.rs` against the libraries that this program is built of.
fn compile(directory: &Path) {
    let program = std::env::current_exe().unwrap();
    let libraries = program.parent().unwrap();
    let library = |name: &str| {
        let prefix = format!("lib{name}-");
        let all = std::fs::read_dir(libraries).unwrap().flatten().map(|entry| entry.path());
        let ours = all.filter(|path| {
            let file = path.file_name().unwrap().to_str().unwrap();
            file.starts_with(&prefix) && file.ends_with(".rlib")
        });
        let newest = ours.max_by_key(|path| std::fs::metadata(path).unwrap().modified().unwrap());
        format!("{name}={}", newest.unwrap_or_else(|| panic!("no {prefix}")).display())
    };
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
        .current_dir(directory)
        .args(["--edition", "2024", "token.rs", "-L", &format!("dependency={}", libraries.display())])
        .args(["--extern", &library("jsonwebtoken"), "--extern", &library("serde_json")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_tokens_of_every_languages_sample_open_the_video() {
    install_clients();
    let server = Server::start();
    let (video, embed) = server.video("private");
    let page = Browser::sign_in(&server).page(&format!("/dashboard/videos/{video}/embed"));
    let directory = server.scratch().join("samples");
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::symlink(repository().join("tests/clients/node_modules"), directory.join("node_modules"))
        .unwrap();
    let python = repository().join("target/test-tools/venv/bin/python");
    let mut tokens = Vec::new();
    for (name, file, command) in [
        ("node", "token.mjs", &["node", "token.mjs"][..]),
        ("python", "token.py", &[python.to_str().unwrap(), "token.py"]),
        ("php", "token.php", &["php", "token.php"]),
        ("go", "token.go", &["go", "run", "token.go"]),
    ] {
        std::fs::write(directory.join(file), sample(&page, name)).unwrap();
        tokens.push((name, run(&server, &directory, command)));
    }
    std::fs::write(directory.join("token.rs"), sample(&page, "rust")).unwrap();
    compile(&directory);
    tokens.push(("rust", run(&server, &directory, &["./token"])));
    for (name, token) in tokens {
        let asked = json!({ "embedId": embed, "token": token });
        let answer = server.admin(Method::POST, "/explain", &asked).expect(200).json();
        assert_eq!(answer["outcome"], "plays", "{name}: {answer}");
        server.playback(&embed, Some(&token)).expect(200);
    }
}

#[test]
fn the_embed_code_and_the_playback_call_name_this_video_on_this_server() {
    let server = Server::start();
    let browser = Browser::sign_in(&server);
    for visibility in ["private", "public"] {
        let (video, embed) = server.video(visibility);
        let page = browser.page(&format!("/dashboard/videos/{video}/embed"));
        let frame = sample(&page, "iframe");
        let url = between(&frame, "src=\"", "\"").replace("TOKEN", &server.token(&video));
        let token = if visibility == "private" { format!("?token={}", server.token(&video)) } else { String::new() };
        assert!(url.starts_with(&format!("{}/embed/{embed}", server.base_url)), "{url}");
        assert_eq!(url.contains('?'), !token.is_empty());
        server.get(path_of(&url)).expect(200);
        assert!(frame.contains("title=\"Video: A test video\"") && frame.trim_end().ends_with("</iframe>"), "{frame}");
        let script = sample(&page, "api").replace("curl ", "curl --silent --fail --cacert \"$CA\" ");
        let output = Command::new("bash")
            .args(["-euc", &script])
            .env("CA", server.ca())
            .env("PUBLISHABLE_KEY", &server.publishable_key)
            .env("TOKEN", server.token(&video))
            .env("no_proxy", "127.0.0.1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(answer["playback"]["uri"].is_string(), "{answer}");
    }
}
