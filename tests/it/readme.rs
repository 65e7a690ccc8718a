//! The README and the operations manual, followed to the letter: every fenced block is run, every row of the README's
//! tables is asked of a server. A block that nothing here knows how to run fails.

use crate::support::{Claims, Reply, Server, now, sign};
use reader::Reader;
pub use reader::{install_clients, repository};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[expect(clippy::disallowed_methods, reason = "the sample is for programs that have no clock to be handed")]
#[rustfmt::skip]
mod mint;
mod operations;
mod reader;

struct Block {
    section: String,
    language: String,
    text: String,
}

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).unwrap()
}

fn blocks(document: &str) -> Vec<Block> {
    let (mut blocks, mut section, mut open) = (Vec::new(), String::new(), None::<Block>);
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { section: section.clone(), language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {
                if let Some(heading) = line.strip_prefix("## ") {
                    heading.clone_into(&mut section);
                }
            }
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// The JSON documents that commands printed one after another.
fn documents(printed: &str) -> Vec<Value> {
    serde_json::Deserializer::from_str(printed).into_iter::<Value>().map(Result::unwrap).collect()
}

fn last(printed: &str) -> Value {
    documents(printed).pop().expect("the commands printed no JSON")
}

fn word_after(printed: &str, prefix: &str) -> String {
    let word = printed.split_whitespace().find(|word| word.starts_with(prefix));
    word.unwrap_or_else(|| panic!("no {prefix}… in:\n{printed}")).to_owned()
}

#[test]
fn every_block_of_the_readme_runs() {
    install_clients();
    let mut reader = Reader::of("README.md");
    for block in blocks(&readme()) {
        let is_export = block.text.lines().all(|line| line.starts_with("export "));
        match (block.section.as_str(), block.language.as_str()) {
            ("Try it", "sh") => run_demo(&block.text),
            (_, "sh") if is_export => has_what_is_exported(&reader, &block.text),
            ("Install and run", "toml") => check_configuration(&reader, &block.text),
            ("Tests", "sh") => is_the_test_script(&block.text),
            (section, "sh") => {
                let printed = reader.run(&block.text);
                learn(&mut reader, section, &block.text, &printed);
            }
            (_, "js") => {
                let token = reader.interpret(&["node", "--input-type=module"], &block.text);
                plays(&mut reader, token.trim());
            }
            (_, "python") => {
                let python = repository().join("target/test-tools/venv/bin/python");
                let token = reader.interpret(&[python.to_str().unwrap()], &block.text);
                plays(&mut reader, token.trim());
            }
            (_, "rust") => {
                assert_eq!(
                    block.text,
                    include_str!("readme/mint.rs"),
                    "the README's sample is not the one that is tested"
                );
                let [kid, secret, video] = ["KEY_ID", "KEY_SECRET", "VIDEO_ID"].map(|name| reader.variable(name));
                let token = mint::mint(kid, secret, video).unwrap();
                plays(&mut reader, &token);
            }
            (_, "html") => embeds(&reader, &block.text),
            (section, language) => panic!("no test knows how to run this {language:?} of {section:?}:\n{}", block.text),
        }
    }
}

/// What the reader takes from the answers, as the text around the block says, and whether they are what it promises.
fn learn(reader: &mut Reader, section: &str, block: &str, printed: &str) {
    if block.contains("screener init") {
        reader.export("PRIVATE_KEY", &word_after(printed, "mvi_priv_"));
        reader.export("PUBLISHABLE_KEY", &word_after(printed, "mvi_pub_"));
        let status = last(&printed[printed.rfind("\n{").unwrap()..]);
        reader.export("SCREENER_URL", status["publicUrl"].as_str().unwrap());
    } else if block.contains("/revoke\"") {
        let old = reader.variable("TOKEN").to_owned();
        assert_eq!(playback(reader, &old), (401, "playback_token_revoked".to_owned()));
        let (kid, secret) = (reader.variable("NEW_KEY_ID").to_owned(), reader.variable("NEW_KEY_SECRET").to_owned());
        reader.export("KEY_ID", &kid);
        reader.export("KEY_SECRET", &secret);
        let token = mint::mint(&kid, &secret, reader.variable("VIDEO_ID")).unwrap();
        plays(reader, &token);
    } else if block.contains("/rotate\"") {
        let key = last(printed);
        reader.export("NEW_KEY_ID", key["id"].as_str().unwrap());
        reader.export("NEW_KEY_SECRET", key["secret"].as_str().unwrap());
        let old = reader.variable("TOKEN").to_owned();
        plays(reader, &old);
    } else if block.contains("screener key revoke") {
        let token = reader.variable("TOKEN").to_owned();
        assert_eq!(playback(reader, &token), (401, "playback_token_revoked".to_owned()));
    } else if block.contains("/signing-keys\"") {
        let key = last(printed);
        reader.export("KEY_ID", key["id"].as_str().unwrap());
        reader.export("KEY_SECRET", key["secret"].as_str().unwrap());
        std::fs::write(reader.clone_directory().join("key.secret"), key["secret"].as_str().unwrap()).unwrap();
    } else if block.contains("\"title\"") {
        let video = last(printed);
        assert_eq!(video["visibility"], "private", "the default that was set before is in force");
        reader.export("VIDEO_ID", video["id"].as_str().unwrap());
        reader.export("EMBED_ID", video["embedId"].as_str().unwrap());
    } else if block.contains("lesson.mp4") {
        assert_eq!(last(printed)["status"], "ready");
    } else if block.contains("token mint") {
        plays(reader, printed.trim());
    } else if block.contains("/playback\"") {
        let answer = last(printed);
        for member in ["/title", "/durationSeconds", "/videoWidthPx", "/playback/uri", "/playback/refreshAfter"] {
            assert!(answer.pointer(member).is_some_and(|value| !value.is_null()), "{member}");
        }
        reader.export("RENEW_URI", answer["session"]["renewUri"].as_str().unwrap());
        reader.export("RENEW_TOKEN", answer["session"]["renewToken"].as_str().unwrap());
    } else if block.contains("RENEW_URI") {
        assert!(last(printed)["uri"].is_string());
    } else if block.contains("token explain") {
        assert!(printed.starts_with("plays"), "{printed}");
    } else if block.contains("check-config --print") {
        assert!(printed.contains("server.listen") && printed.contains("SCREENER__SERVER__LISTEN"), "{printed}");
    } else if block.contains("backup restore") {
        let key = reader.variable("KEY_ID").to_owned();
        let list = reader.run("screener key list");
        let line = list.lines().find(|line| line.starts_with(&key)).unwrap();
        assert!(line.contains("revoked"), "a revoked key came back: {line}");
    } else {
        let known = [
            "key rotate-asset",
            "screener check-config --example",
            "\"visibility\"",
            "bundleIds",
            "organization create",
            "backup verify",
        ];
        assert!(
            known.iter().any(|part| block.contains(part)),
            "no test knows what this of {section:?} promises:\n{block}"
        );
    }
}

/// The reader's token now, which has to play through both doors.
fn plays(reader: &mut Reader, token: &str) {
    assert_eq!(playback(reader, token), (200, String::new()));
    reader.export("TOKEN", token);
}

fn client(reader: &Reader) -> reqwest::blocking::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let pem = std::fs::read(reader.variable("CA")).unwrap();
    let builder = reqwest::blocking::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()]);
    builder.no_proxy().build().unwrap()
}

fn playback(reader: &Reader, token: &str) -> (u16, String) {
    let url = format!("{}/api/v1/embeds/{}/playback", reader.variable("SCREENER_URL"), reader.variable("EMBED_ID"));
    let request = client(reader).get(url).bearer_auth(reader.variable("PUBLISHABLE_KEY"));
    let reply = Reply::read(request.header("x-moviie-playback-token", token).send().unwrap());
    (reply.status, reply.code())
}

fn embeds(reader: &Reader, html: &str) {
    let start = html.find("https://").unwrap();
    let url = html[start..].split('"').next().unwrap();
    let url = url
        .replace("https://video.example.com", reader.variable("SCREENER_URL"))
        .replace("EMBED_ID", reader.variable("EMBED_ID"))
        .replace("TOKEN", reader.variable("TOKEN"));
    let page = Reply::read(client(reader).get(url).send().unwrap()).expect(200).text();
    assert!(page.contains("<video"), "{page}");
}

fn has_what_is_exported(reader: &Reader, block: &str) {
    for line in block.lines() {
        let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
        let is_placeholder = value.contains('…') || value == "https://video.example.com";
        assert!(is_placeholder && !reader.variable(name).is_empty(), "{line}");
    }
}

fn check_configuration(reader: &Reader, toml: &str) {
    let tls = tempfile::tempdir().unwrap();
    // Any server's own certificate will do.
    let server = Server::start();
    for (from, to) in [("certificate.pem", "fullchain.pem"), ("key.pem", "privkey.pem")] {
        std::fs::copy(server.state().join("tls").join(from), tls.path().join(to)).unwrap();
    }
    let text = toml.replace("/etc/screener/tls", tls.path().to_str().unwrap());
    let file = tls.path().join("config.toml");
    std::fs::write(&file, format!("{text}[state]\ndir = {:?}\n", reader.path("/var/lib/screener"))).unwrap();
    let checked = crate::support::screener(&["check-config", "--json", "--config", file.to_str().unwrap()]).unwrap();
    assert_eq!(checked["ok"], true, "{checked}");
}

fn is_the_test_script(block: &str) {
    use std::os::unix::fs::PermissionsExt;
    let script = repository().join(block.trim());
    assert!(std::fs::metadata(script).unwrap().permissions().mode() & 0o111 != 0);
}

/// Runs the demo, and then every command it prints.
fn run_demo(block: &str) {
    let arguments = block.trim().strip_prefix("cargo run --release -- ").unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_screener"))
        .args(arguments.split(' '))
        .args(["--listen", "127.0.0.1:0"])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    for line in BufReader::new(demo.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        printed.push_str(&line);
        printed.push('\n');
        if line.contains("Ctrl-C ends the demo") {
            break;
        }
    }
    let directory = std::fs::read_dir(temporary.path()).unwrap().next().unwrap().unwrap().path();
    let pages: Vec<&str> = printed.split_whitespace().filter(|word| word.contains("/embed/")).collect();
    let ca = directory.join("tls/ca.pem");
    let ask = |url: &str| {
        let curl = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", ca.to_str().unwrap(), url];
        String::from_utf8(Command::new("curl").args(curl).output().unwrap().stdout).unwrap()
    };
    let statuses: Vec<String> = pages.iter().map(|page| ask(page)).collect();
    assert_eq!(statuses, ["200", "200", "401"], "{printed}");
    let commands: Vec<&str> =
        printed.split("\n\n").filter_map(|part| part.split_once("  curl ")).map(|(_, it)| it).collect();
    assert_eq!(commands.len(), 2, "{printed}");
    for command in commands {
        let script = format!("curl -sS --fail-with-body {command}");
        let output = Command::new("bash").args(["-ec", &script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(ask(pages[1]), "401", "the key is revoked");
    Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert!(demo.wait().unwrap().success());
    assert!(!directory.exists(), "the demo left something behind");
}

/// The cells of the table in a section.
fn rows(section: &str) -> Vec<Vec<String>> {
    let readme = readme();
    let text = readme.split("\n## ").find(|part| part.starts_with(section)).unwrap();
    let lines = text.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn every_outcome_in_the_readme_is_what_the_server_answers() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let (_, public) = server.video("public");
    let token = server.token(&video);
    let with = |changes: Value| {
        let mut claims = Claims::of(&video);
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        server.playback(&embed, Some(&sign(&server.kid, &server.secret, &claims)))
    };
    let settings = |body: Value| drop(server.admin(Method::PATCH, "/organization", &body).expect(200));
    let mut seen = 0;
    for row in rows("What happens when") {
        let code = row[2].trim_matches('`');
        let reply = match (row[0].as_str(), code) {
            ("Valid token", "") => server.playback(&embed, Some(&token)),
            ("Public video, any token or none", "") => {
                server.playback(&public, None).expect(200);
                server.playback(&public, Some("nonsense"))
            }
            (_, "playback_token_missing") => server.playback(&embed, None),
            (_, "playback_token_invalid") => server.playback(&embed, Some("nonsense")),
            (_, "playback_token_expired") => with(json!({ "iat": now() - 100, "exp": now() - 1 })),
            (_, "playback_token_revoked") => {
                let key = server.admin(Method::POST, "/signing-keys", &json!({})).expect(201).json();
                let text = |name: &str| key[name].as_str().unwrap().to_owned();
                let signed = sign(&text("id"), &text("secret"), &Claims::of(&video));
                server.admin(Method::POST, &format!("/signing-keys/{}/revoke", text("id")), &Value::Null).expect(200);
                server.playback(&embed, Some(&signed))
            }
            (_, "playback_token_too_long_lived") => with(json!({ "exp": now() + 90_000 })),
            (_, "playback_token_wrong_video") => with(json!({ "sub": "0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11" })),
            (_, "token_access_disabled") => {
                settings(json!({ "tokenAccess": false }));
                let reply = server.playback(&embed, Some(&token));
                settings(json!({ "tokenAccess": true }));
                reply
            }
            (_, "referrer_blocked") => {
                settings(json!({ "originRules": ["acme.com"] }));
                let request = server.playback_request(&public).header("origin", "https://evil.example");
                let reply = Reply::read(request.send().unwrap());
                server.playback(&public, None).expect(200);
                settings(json!({ "originRules": [] }));
                reply
            }
            (_, "bundle_blocked") => {
                let body = json!({ "bundleIds": ["com.acme.shop"] });
                let key = server.admin(Method::POST, "/publishable-keys", &body).expect(201).json();
                let path = format!("/api/v1/embeds/{public}/playback");
                let request = server.request(Method::GET, &path).header("x-api-key", key["key"].as_str().unwrap());
                Reply::read(request.header("x-moviie-client", "bundle_id=com.evil").send().unwrap())
            }
            (_, "not_found") => server.playback("0b9f3a52-6f0c-4a53-9d3e-0f8f4f5f7c11", None),
            (_, "video_not_ready") => server.playback(&server.pending_video("public").1, None),
            _ => panic!("no test knows this outcome: {row:?}"),
        };
        reply.expect_code(row[1].parse().unwrap(), code);
        seen += 1;
    }
    assert!(seen >= 13, "the table was not found");
}

#[test]
fn every_call_in_the_readme_is_one_that_the_server_knows() {
    let server = Server::start();
    let (video, embed) = server.video("private");
    let opened = server.playback(&embed, Some(&server.token(&video))).expect(200).json();
    let id_of = |list: &str| {
        let list = server.admin(Method::GET, list, &Value::Null).expect(200).json();
        list["items"][0]["id"].as_str().unwrap().to_owned()
    };
    let ids = [
        ("/signing-keys/", server.kid.clone()),
        ("/publishable-keys/", id_of("/publishable-keys")),
        // Another one than the key in use, which would refuse every call after its revocation.
        (
            "/private-keys/",
            server.admin(Method::POST, "/private-keys", &json!({})).json()["id"].as_str().unwrap().to_owned(),
        ),
        ("/videos/", video),
        ("/embeds/", embed),
        ("/uploads/", an_upload(&server)),
        ("/sessions/", opened["session"]["id"].as_str().unwrap().to_owned()),
    ];
    let mut calls: Vec<String> = rows("The admin API")
        .into_iter()
        .flat_map(|row| row[1].split(", ").map(|call| call.trim_matches('`').to_owned()).collect::<Vec<_>>())
        .collect();
    assert!(calls.len() >= 25, "the table was not found");
    // What deletes comes last, the video, whose embeds go with it, at the very end.
    calls.sort_by_key(|call| (call.starts_with("DELETE"), call.contains("/videos"), call.ends_with("/videos/{id}")));
    for call in calls {
        let (method, path) = call.split_once(' ').unwrap();
        let id = ids.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, id)| id.as_str());
        let path = path.replace("{id}", id.unwrap_or("{id}")).replace("{language}", "en").replace("{label}", "360p");
        if method == "PUT" {
            let bytes = match path.rsplit('/').next() {
                Some("poster") => &include_bytes!("../fixtures/poster.jpg")[..],
                Some("en") => &include_bytes!("../fixtures/captions.vtt")[..],
                _ => &include_bytes!("../fixtures/h264_aac.mp4")[..],
            };
            let request = server.request(Method::PUT, &format!("/admin/v1{path}")).bearer_auth(&server.private_key);
            Reply::read(request.body(bytes).send().unwrap()).expect(200);
            continue;
        }
        let body = if path == "/explain" { json!({ "embedId": ids[4].1 }) } else { json!({}) };
        let body = if method == "GET" { Value::Null } else { body };
        let status = server.admin(Method::from_bytes(method.as_bytes()).unwrap(), &path, &body).status;
        assert!(![401, 403, 404, 405, 500].contains(&status), "{call}: {status}");
    }
}

/// The id of an upload that was begun.
fn an_upload(server: &Server) -> String {
    let request = server.request(Method::POST, "/admin/v1/uploads").bearer_auth(&server.private_key);
    let headers = [("tus-resumable", "1.0.0"), ("upload-length", "5"), ("upload-metadata", "name eA==")];
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let reply = Reply::read(request.send().unwrap()).expect(201);
    reply.header("location").unwrap().rsplit('/').next().unwrap().to_owned()
}

#[test]
fn every_link_in_the_readme_and_the_manual_leads_somewhere() {
    for page in ["README.md", "docs/OPERATIONS.md"] {
        let text = std::fs::read_to_string(repository().join(page)).unwrap();
        let directory = repository().join(page).parent().unwrap().to_owned();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("https://")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { repository().join(page) } else { directory.join(path) };
            assert!(path.exists(), "{page}: {target} is not there");
            let heading = |line: &str| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
            let has_heading = || std::fs::read_to_string(&path).unwrap().lines().any(|line| heading(line) == anchor);
            assert!(anchor.is_empty() || has_heading(), "{page}: {target} has no such heading");
        }
    }
}
