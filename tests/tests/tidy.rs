//! Style rules that matter and that no lint checks.

use std::fs;
use std::path::{Path, PathBuf};

use septet_tests::workspace_dir;

const LINES_MAX: usize = 500;
/// The file that maps memory shared with other processes, and the files that bind librbd and librados.
const UNSAFE_ALLOWED: [&str; 3] = ["ipc/src/shm/mapping.rs", "rbd/src/ffi.rs", "rbd/src/rados.rs"];

/// All source files with this extension: the path from the root, and the text.
fn sources(endings: &[&str]) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    walk(workspace_dir(), &mut paths);
    let wanted = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)));
    let text = |path: PathBuf| {
        let name = path.strip_prefix(workspace_dir()).unwrap().to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    let sources: Vec<_> = wanted.map(text).collect();
    assert!(!sources.is_empty());
    sources
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            // Skips build output and downloaded files.
            if !name.starts_with('.') && name != "target" && name != "__pycache__" {
                walk(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

/// The lines that contain the word in code, not in comments.
fn lines_with<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.filter(move |line| {
        line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|found| found == word)
    })
}

#[test]
fn no_file_is_long() {
    for (name, text) in sources(&["rs", "py", "sh"]) {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{name} has {lines} lines: it is about more than one thing");
    }
}

#[test]
fn unsafe_code_is_in_few_places() {
    let keyword = concat!("un", "safe");
    for (name, text) in sources(&["rs"]) {
        let found = lines_with(&text, keyword).count();
        assert!(found == 0 || UNSAFE_ALLOWED.contains(&name.as_str()), "{name} has {keyword} code");
    }
    for name in UNSAFE_ALLOWED {
        let text = fs::read_to_string(workspace_dir().join(name)).unwrap();
        let (blocks, reasons) = (lines_with(&text, keyword).count(), text.matches("SAFETY:").count());
        assert!(reasons >= blocks, "{name}: {blocks} times {keyword}, and only {reasons} reasons");
    }
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("#[ign", "ore"),
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("db", "g!"),
    ];
    for (name, text) in sources(&["rs", "py", "sh", "toml", "md"]) {
        for mark in marks {
            assert!(!text.contains(mark), "{name} has {mark}");
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (name, text) in sources(&["rs"]) {
        assert!(text.starts_with("//!") || text.starts_with("#![") || text.starts_with("#!/"), "{name} has no header");
    }
}

#[test]
fn the_tests_that_hold_the_promises_exist() {
    let promises = fs::read_to_string(workspace_dir().join("PROMISES.md")).unwrap();
    let named: Vec<_> = promises.split('`').filter_map(|quoted| quoted.split_once("::")).collect();
    assert!(named.len() > 20, "{named:?}");
    for (file, test) in named {
        let text = fs::read_to_string(workspace_dir().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("#[test]\nfn {test}() {{")), "{file} has no test {test}");
    }
}
