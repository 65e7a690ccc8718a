//! The pages of `docs/attacks`: every row of a group stands there once, in order, and the tests that it names exist.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Each page, its group's letter and how many rows the group has.
const GROUPS: [(&str, char, usize); 11] = [
    ("a-tokens.md", 'A', 56),
    ("b-presentation.md", 'B', 27),
    ("c-keys.md", 'C', 28),
    ("d-asset-urls.md", 'D', 39),
    ("e-ranges.md", 'E', 29),
    ("f-leaks.md", 'F', 29),
    ("g-pages.md", 'G', 27),
    ("h-admin.md", 'H', 26),
    ("i-uploads.md", 'I', 42),
    ("j-connections.md", 'J', 42),
    ("k-faults.md", 'K', 35),
];
/// The page that explains the others.
const INTRODUCTION: &str = "README.md";
/// How a row begins its last cell that has no test.
const EXEMPT: &str = "does not apply: ";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The cells of a table's line; none for any other line. A bar inside a cell is written `\|`.
fn cells(line: &str) -> Option<Vec<String>> {
    let inside = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let parted = inside.replace("\\|", "\u{0}");
    Some(parted.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect())
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every test of this program, by its path from the root of `tests/it`.
fn tests_of_this_program() -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap()).args(["--list", "--format", "terse"]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// The names of a file's functions under `#[test]`, or another crate's attribute of that name.
fn tests_of_file(text: &str) -> impl Iterator<Item = &str> {
    let functions = text.split("test]").skip(1).filter_map(|rest| rest.split("fn ").nth(1));
    functions.filter_map(|function| function.split('(').next())
}

/// Why a row's reference names nothing; `None` where it names a test. A reference is
/// `module::function` of this program, `path/of/a/file.rs::function`, `path/of/a/test: its title`, or the path of a program.
fn fault_of(reference: &str, ours: &[String]) -> Option<String> {
    if !reference.contains('/') {
        let is_there = ours.iter().any(|name| name == reference);
        return (!is_there).then(|| format!("`{reference}` is no test of tests/it"));
    }
    let (path, part) = match (reference.split_once("::"), reference.split_once(": ")) {
        (Some((path, function)), _) => (path, Some(function)),
        (None, Some((path, title))) => (path, Some(title)),
        (None, None) => (reference, None),
    };
    if !["src/", "tests/", "fuzz/", "benches/"].iter().any(|place| path.starts_with(place)) {
        return Some(format!("{path} lies where no tests are"));
    }
    let Ok(text) = fs::read_to_string(root().join(path)) else { return Some(format!("there is no {path}")) };
    let is_there = match part {
        Some(function) if path.ends_with(".rs") => tests_of_file(&text).any(|name| name == function),
        Some(title) => text.contains(&format!("'{title}'")),
        None => !path.ends_with(".rs") || path.starts_with("benches/"),
    };
    (!is_there).then(|| format!("{path} has no test `{}`", part.unwrap_or_default()))
}

/// All that is wrong with a page.
fn faults_of(text: &str, group: char, rows: usize, ours: &[String]) -> Vec<String> {
    let is_id = |cell: &str| cell.strip_prefix(group).is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()));
    let table: Vec<Vec<String>> = text.lines().filter_map(cells).filter(|row| is_id(&row[0])).collect();
    let ids: Vec<&str> = table.iter().map(|row| row[0].as_str()).collect();
    let expected: Vec<String> = (1..=rows).map(|number| format!("{group}{number:02}")).collect();
    let mut faults = Vec::new();
    if ids != expected {
        let missing: Vec<&String> = expected.iter().filter(|id| !ids.contains(&id.as_str())).collect();
        faults.push(format!("not {group}01 to {group}{rows}, once each and in order; missing: {missing:?}"));
    }
    for row in &table {
        let id = &row[0];
        let [_, sent, answered, test] = row.as_slice() else {
            faults.push(format!("{id} has {} cells instead of 4", row.len()));
            continue;
        };
        if sent.is_empty() || answered.is_empty() {
            faults.push(format!("{id} doesn't say what is sent and what comes back"));
        }
        let references = quoted(test);
        match test.strip_prefix(EXEMPT) {
            Some(why) if why.len() < 10 => faults.push(format!("{id} doesn't say why it does not apply")),
            None if references.is_empty() => faults.push(format!("{id} names no test")),
            _ => {}
        }
        faults.extend(references.iter().filter_map(|name| fault_of(name, ours)).map(|fault| format!("{id}: {fault}")));
    }
    faults
}

#[test]
fn every_row_of_the_list_stands_in_its_place_and_names_its_tests() {
    let directory = root().join("docs/attacks");
    let ours = tests_of_this_program();
    assert!(ours.len() > 200, "{ours:?}");
    let mut faults = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == INTRODUCTION {
            continue;
        }
        let text = fs::read_to_string(directory.join(&name)).unwrap();
        match GROUPS.iter().find(|(page, ..)| *page == name) {
            Some((_, group, rows)) => {
                faults
                    .extend(faults_of(&text, *group, *rows, &ours).into_iter().map(|fault| format!("{name}: {fault}")));
            }
            None => faults.push(format!("{name} is no group's page")),
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_page_with_a_row_missing_doubled_or_testing_nothing_is_faulted() {
    let ours = ["tokens::one".to_owned()];
    let right = "| id | sent | back | test |\n|---|---|---|---|\n| A01 | a \\| b | 401 | `tokens::one` |\n\
                 | A02 | c | 401 | does not apply: there are no such keys |\n";
    assert_eq!(faults_of(right, 'A', 2, &ours), Vec::<String>::new());
    for (from, to) in [
        ("| A02 ", "| A03 "),
        ("| A02 ", "| A01 "),
        ("| A02 ", "A02 "),
        ("tokens::one", "tokens::two"),
        ("tokens::one", "src/auth/gate.rs"),
        ("tokens::one", "src/auth/gate.rs::no_such_test"),
        ("tokens::one", "tests/it/tokens.rs::no_such_test"),
        ("tokens::one", "tests/browser/blocked.test.mjs: no such title"),
        ("tokens::one", "docs/attacks/README.md"),
        ("`tokens::one`", "tokens::one"),
        ("`tokens::one`", ""),
        ("there are no such keys", ""),
        ("401 | does", "| does"),
        ("401 | does", "401 | 401 | does"),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right);
        assert!(!faults_of(&wrong, 'A', 2, &ours).is_empty(), "{wrong}");
    }
    for reference in [
        "tests/it/attacks/list.rs::every_row_of_the_list_stands_in_its_place_and_names_its_tests",
        "tests/browser/blocked.test.mjs: without a token the video is private",
        "tests/faults/power-cut",
    ] {
        assert_eq!(fault_of(reference, &ours), None);
    }
}
