//! Bundles the pages' scripts and styles with npm and esbuild, in cargo's build directory: the sources are copied
//! there and nothing is written beside them. What comes out is compiled into the binary as a table, `assets.rs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// What the bundle is made of, below `static/`.
const SOURCES: [&str; 7] =
    ["package.json", "package-lock.json", "tsconfig.json", "build.mjs", "player", "dashboard", "wrapper"];
const MISSING: &str = "building Screener needs Node.js 20 or later with its npm: install both (on Debian and Ubuntu: apt-get install nodejs npm), then build again";

#[expect(clippy::print_stderr, reason = "it is how a build script tells why it stops")]
fn main() -> ExitCode {
    match bundle() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn bundle() -> Result<(), String> {
    let sources = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("static");
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    for name in SOURCES {
        println!("cargo::rerun-if-changed={}", sources.join(name).display());
    }
    let workshop = out.join("player");
    fs::create_dir_all(&workshop).map_err(|error| told(&workshop, &error))?;
    for name in SOURCES {
        // A source that is gone must not be bundled from the last copy.
        let copy = workshop.join(name);
        if copy.is_dir() {
            fs::remove_dir_all(&copy).map_err(|error| told(&copy, &error))?;
        }
        copy_all(&sources.join(name), &copy)?;
    }
    install(&workshop)?;
    run(Command::new("node").arg("build.mjs").current_dir(&workshop))?;
    let table = table(&workshop.join("built"))?;
    let path = out.join("assets.rs");
    fs::write(&path, table).map_err(|error| told(&path, &error))
}

/// Fetches the packages of the lock file, unless these are the ones that are there.
fn install(workshop: &Path) -> Result<(), String> {
    let read = |name: &str| {
        let path = workshop.join(name);
        fs::read_to_string(&path).map_err(|error| told(&path, &error))
    };
    let wanted = read("package.json")? + &read("package-lock.json")?;
    let stamp = workshop.join("node_modules/.screener-installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    // Packages that only a peer asks for are used by nothing that we bundle.
    let options = ["ci", "--ignore-scripts", "--omit=peer", "--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").args(options).current_dir(workshop))?;
    fs::write(&stamp, wanted).map_err(|error| told(&stamp, &error))
}

/// The table that `src/http/ui.rs` includes, from the manifest of build.mjs: name, media type and hash a line.
fn table(built: &Path) -> Result<String, String> {
    let path = built.join("manifest");
    let manifest = fs::read_to_string(&path).map_err(|error| told(&path, &error))?;
    let mut text = String::from("&[\n");
    for line in manifest.lines() {
        let [name, content_type, hash] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("{}: \"{line}\" is not a name, a type and a hash", path.display()));
        };
        let file = built.join(name).display().to_string();
        writeln!(
            text,
            "BuiltIn {{ name: {name:?}, content_type: {content_type:?}, hash: {hash:?}, plain: include_bytes!({file:?}), \
             brotli: include_bytes!({:?}) }},",
            format!("{file}.br")
        )
        .map_err(|error| error.to_string())?;
    }
    text.push(']');
    Ok(text)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => MISSING.to_owned(),
        _ => format!("{command:?}: {error}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&said)))
}

fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    if !from.is_dir() {
        return fs::copy(from, to).map(|_| ()).map_err(|error| told(from, &error));
    }
    fs::create_dir_all(to).map_err(|error| told(to, &error))?;
    for entry in fs::read_dir(from).map_err(|error| told(from, &error))? {
        let entry = entry.map_err(|error| told(from, &error))?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn told(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
