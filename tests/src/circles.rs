//! Finds circular dependencies (circles) between the files of one crate: file A uses what file B defines, and B uses A,
//! directly or through other files.
//!
//! It splits the sources into words and looks for paths that begin with `crate`, `self`, `super` or the name of a child
//! module. It follows re-exports (`pub use child::Name`) and imports to the file that defines what the path names.
//! Declaring a child module or re-exporting from it does not count as using the child. So a parent may define shared
//! types for its children, or use what they define, but not both.
//!
//! Unit tests inside a file (`#[cfg(test)] mod tests { … }`) don't count. A use that only type inference reveals, such
//! as a method call, is not found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module in the crate. Empty for the root.
type Module = Vec<String>;

/// What one file declares, imports and uses.
#[derive(Default)]
struct File {
    children: BTreeSet<String>,
    defined: BTreeSet<String>,
    /// Names that `use` items import, with the path of each.
    imports: BTreeMap<String, Module>,
    globs: Vec<Module>,
    /// All paths that the file uses, with their lines.
    used: Vec<(Module, usize)>,
}

/// The circles between the files below `src`, one text for each.
pub fn circles(src: &Path) -> Vec<String> {
    let mut files = BTreeMap::new();
    for root in ["lib.rs", "main.rs"] {
        let path = src.join(root);
        if files.is_empty() && path.exists() {
            read(&path, src, Vec::new(), &mut files);
        }
    }
    let uses = uses(&files);
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for from in uses.keys() {
        let Some(circle) = way(&uses, from, from) else { continue };
        if told.insert(circle.iter().cloned().collect::<BTreeSet<_>>()) {
            let steps = circle.iter().zip(circle.iter().cycle().skip(1));
            let told: Vec<_> =
                steps.map(|(a, b)| format!("{} (line {}) uses {}", name(a), uses[a][b], name(b))).collect();
            found.push(told.join(", "));
        }
    }
    found
}

fn name(module: &Module) -> String {
    if module.is_empty() { "the crate's root".to_owned() } else { module.join("::") }
}

/// Reads a file and the files of the modules that it declares.
fn read(path: &Path, directory: &Path, module: Module, files: &mut BTreeMap<Module, File>) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = parse(&text);
    for child in &file.children {
        let in_file = directory.join(format!("{child}.rs"));
        let folder = directory.join(child);
        let path: PathBuf = if in_file.exists() { in_file } else { folder.join("mod.rs") };
        let module = [module.as_slice(), std::slice::from_ref(child)].concat();
        read(&path, &folder, module, files);
    }
    files.insert(module, file);
}

/// The files that each file uses, with the line of the first use.
fn uses(files: &BTreeMap<Module, File>) -> BTreeMap<Module, BTreeMap<Module, usize>> {
    let mut uses = BTreeMap::new();
    for (module, file) in files {
        let mut mine = BTreeMap::new();
        for (path, line) in &file.used {
            if let Some(target) = absolute(files, module, path).and_then(|path| resolve(files, &path, 0))
                && target != *module
            {
                mine.entry(target).or_insert(*line);
            }
        }
        uses.insert(module.clone(), mine);
    }
    uses
}

/// The path from the crate's root. `None` if it does not lead into the crate.
fn absolute(files: &BTreeMap<Module, File>, module: &Module, path: &[String]) -> Option<Module> {
    let mut base = module.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                base.pop()?;
                rest = &rest[1..];
            }
        }
        child if files[module].children.contains(child) => {}
        _ => return None,
    }
    Some([base.as_slice(), rest].concat())
}

/// The module whose file defines what the path names.
fn resolve(files: &BTreeMap<Module, File>, path: &[String], depth: usize) -> Option<Module> {
    let mut module = Module::new();
    for (at, word) in path.iter().enumerate() {
        let file = &files[&module];
        if file.children.contains(word) {
            module.push(word.clone());
            continue;
        }
        // Imports may be circular. No real import is nested more deeply than this.
        if depth < 16 && !file.defined.contains(word) {
            if let Some(import) = file.imports.get(word) {
                let target = absolute(files, &module, import)?;
                return resolve(files, &[target.as_slice(), &path[at + 1..]].concat(), depth + 1);
            }
            for glob in &file.globs {
                let Some(target) = absolute(files, &module, glob) else { continue };
                let full = [target.as_slice(), &path[at..]].concat();
                let found = resolve(files, &full, depth + 1);
                if found.as_ref().is_some_and(|found| files[found].defined.contains(word)) {
                    return found;
                }
            }
        }
        return Some(module);
    }
    Some(module)
}

/// The shortest chain of uses from one file to another. The other file is not included.
fn way(uses: &BTreeMap<Module, BTreeMap<Module, usize>>, from: &Module, to: &Module) -> Option<Vec<Module>> {
    let mut before: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut at_hand = vec![from];
    while !at_hand.is_empty() {
        let mut next = Vec::new();
        for here in at_hand {
            for there in uses[here].keys() {
                if there == to {
                    let mut way = vec![here.clone()];
                    let mut here = here;
                    while let Some(earlier) = before.get(here) {
                        way.push((*earlier).clone());
                        here = earlier;
                    }
                    way.reverse();
                    return Some(way);
                }
                if there != from && !before.contains_key(there) {
                    before.insert(there, here);
                    next.push(there);
                }
            }
        }
        at_hand = next;
    }
    None
}

/// A word or punctuation mark of the source, with its line.
#[derive(Clone)]
struct Token {
    text: String,
    line: usize,
}

fn parse(text: &str) -> File {
    let tokens = without_tests(&tokens(text));
    let mut file = File::default();
    let mut reexported = Vec::new();
    let mut at = 0;
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "mod" if is(at + 2, ";") => {
                file.children.insert(tokens[at + 1].text.clone());
                at += 3;
                continue;
            }
            "use" => {
                let is_public = at > 0 && (is(at - 1, "pub") || is(at - 1, ")"));
                let line = token.line;
                let (found, end) = tree(&tokens, at + 1, &[]);
                for (name, path) in found {
                    if name == "*" {
                        file.globs.push(path.clone());
                    } else {
                        file.imports.insert(name.clone(), path.clone());
                    }
                    if is_public {
                        reexported.push((name, path));
                    } else {
                        file.used.push((path, line));
                    }
                }
                at = end;
                continue;
            }
            "fn" | "struct" | "enum" | "trait" | "const" | "static" | "type" | "union" => {
                if let Some(name) = tokens.get(at + 1) {
                    file.defined.insert(name.text.clone());
                }
            }
            first if is(at + 1, "::") && (at == 0 || !is(at - 1, "::")) && first.starts_with(is_word) => {
                let (found, end) = tree(&tokens, at, &[]);
                file.used.extend(found.into_iter().map(|(_, path)| (path, token.line)));
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    let plain = plain_words(&tokens);
    for (name, path) in reexported {
        if let Some(line) = plain.get(name.as_str()) {
            file.used.push((path, *line));
        }
    }
    file
}

/// The words outside `use` items and declarations of modules, each with its first line. If a re-exported name is among
/// these, the re-exporting file also uses it.
fn plain_words(tokens: &[Token]) -> BTreeMap<&str, usize> {
    let mut plain = BTreeMap::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let declares = token.text == "mod" && tokens.get(at + 2).is_some_and(|token| token.text == ";");
        if token.text == "use" || declares {
            at = end_of_item(tokens, at);
            continue;
        }
        plain.entry(token.text.as_str()).or_insert(token.line);
        at += 1;
    }
    plain
}

/// The paths of a `use` tree, or of one path in an expression, each with the name that it gets. Also returns the
/// position after it.
fn tree(tokens: &[Token], mut at: usize, before: &[String]) -> (Vec<(String, Module)>, usize) {
    let mut path = before.to_vec();
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            let mut found = Vec::new();
            at += 1;
            while at < tokens.len() && !is(at, "}") {
                let (more, end) = tree(tokens, at, &path);
                found.extend(more);
                at = end.max(at + 1);
                if is(at, ",") {
                    at += 1;
                }
            }
            return (found, at + 1);
        }
        if token.text == "*" {
            return (vec![("*".to_owned(), path)], at + 1);
        }
        if !token.text.starts_with(is_word) {
            break;
        }
        // `use a::{self}` names `a` itself.
        if token.text != "self" || path.is_empty() {
            path.push(token.text.clone());
        }
        at += 1;
        if !is(at, "::") {
            break;
        }
        at += 1;
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if is(at, "as") && tokens.get(at + 1).is_some() {
        name.clone_from(&tokens[at + 1].text);
        at += 2;
    }
    (vec![(name, path)], at)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The tokens without `#[cfg(test)] mod … { … }`, `#[cfg(test)] mod …;` and other items that are only for tests.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let words = |at: usize, wanted: &[&str]| {
        wanted.iter().enumerate().all(|(n, word)| tokens.get(at + n).is_some_and(|token| token.text == *word))
    };
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if words(at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            at = end_of_item(tokens, at + 7);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The position after the next `;`, or after the next block of braces.
fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                // The braces of a `use` are followed by a `;`.
                let goes_on = tokens.get(at).is_some_and(|next| next.text == ";");
                if depth == 0 && token.text == "}" && !goes_on {
                    break;
                }
            }
            ";" if depth == 0 => break,
            _ => {}
        }
    }
    at
}

/// Words and punctuation marks, without comments and quoted text.
fn tokens(text: &str) -> Vec<Token> {
    let letters: Vec<char> = text.chars().collect();
    let next = |at: usize| letters.get(at).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < letters.len() {
        let start = at;
        match letters[at] {
            '/' if next(at + 1) == '/' => at = end_of(&letters, at, |at| next(at) == '\n'),
            '/' if next(at + 1) == '*' => at = end_of(&letters, at, |at| next(at) == '*' && next(at + 1) == '/') + 2,
            'r' if matches!(next(at + 1), '"' | '#') && raw_hashes(&letters, at + 1).is_some() => {
                let hashes = raw_hashes(&letters, at + 1).unwrap_or(0);
                let closes = |at: usize| next(at) == '"' && (1..=hashes).all(|n| next(at + n) == '#');
                at = end_of(&letters, at + hashes + 2, closes) + hashes + 1;
            }
            '"' => {
                at += 1;
                while at < letters.len() && letters[at] != '"' {
                    at += if letters[at] == '\\' { 2 } else { 1 };
                }
                at += 1;
            }
            // A character literal. Any other quote begins a lifetime.
            '\'' if next(at + 1) == '\\' => at = end_of(&letters, at + 3, |at| next(at) == '\'') + 1,
            '\'' if next(at + 2) == '\'' => at += 3,
            ':' if next(at + 1) == ':' => {
                tokens.push(Token { text: "::".to_owned(), line });
                at += 2;
            }
            letter if is_word(letter) => {
                at = end_of(&letters, at, |at| !is_word(next(at)));
                tokens.push(Token { text: letters[start..at].iter().collect(), line });
            }
            letter => {
                if !letter.is_whitespace() {
                    tokens.push(Token { text: letter.to_string(), line });
                }
                at += 1;
            }
        }
        at = at.min(letters.len());
        line += letters[start..at].iter().filter(|letter| **letter == '\n').count();
    }
    tokens
}

/// The number of `#` before the quote of a raw string. `None` if it is not a raw string.
fn raw_hashes(letters: &[char], at: usize) -> Option<usize> {
    let hashes = letters[at..].iter().take_while(|letter| **letter == '#').count();
    (letters.get(at + hashes) == Some(&'"')).then_some(hashes)
}

fn end_of(letters: &[char], from: usize, is_end: impl Fn(usize) -> bool) -> usize {
    (from..letters.len()).find(|&at| is_end(at)).unwrap_or(letters.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a crate that consists of these files.
    fn of(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        circles(folder.path())
    }

    #[test]
    fn two_files_that_use_each_other_are_a_circle() {
        let lib = ("lib.rs", "mod a; mod b;");
        let a = ("a.rs", "use crate::b::B; pub struct A(B);");
        assert_eq!(of(&[lib, a, ("b.rs", "pub struct B;")]), Vec::<String>::new());
        let found = of(&[lib, a, ("b.rs", "pub struct B;\nfn f(_: super::a::A) {}")]);
        assert_eq!(found, ["a (line 1) uses b, b (line 2) uses a"]);
    }

    #[test]
    fn a_longer_circle_through_re_exports_is_found_once() {
        let lib = ("lib.rs", "mod a; mod b; mod c; pub use a::A; pub use b::B; pub use c::{C, D as E};");
        let a = ("a/mod.rs", "use crate::B; pub struct A(B);");
        let b = ("b.rs", "pub struct B(Vec<crate::E>);");
        let c = ("c.rs", "use crate::{A, other}; pub struct C(A); pub struct D;");
        assert_eq!(of(&[lib, a, b, c]).len(), 1);
        assert_eq!(of(&[lib, a, b, ("c.rs", "pub struct C; pub struct D;")]).len(), 0);
    }

    #[test]
    fn a_parent_may_hold_things_for_its_children_or_use_theirs() {
        let child = ("a.rs", "use super::Shared; pub fn f(_: Shared) {}");
        assert_eq!(of(&[("lib.rs", "mod a; pub use a::f; pub struct Shared;"), child]).len(), 0);
        assert_eq!(of(&[("lib.rs", "mod a; pub struct Shared; fn g() { a::f(Shared) }"), child]).len(), 1);
        assert_eq!(of(&[("lib.rs", "mod a; pub use a::f; pub struct Shared; fn g() { f(Shared) }"), child]).len(), 1);
        let alone = ("a.rs", "pub fn f() {}");
        assert_eq!(of(&[("lib.rs", "mod a; pub struct Shared; fn g() { a::f() }"), alone]).len(), 0);
    }

    #[test]
    fn comments_texts_and_tests_are_no_uses() {
        let lib = ("lib.rs", "mod a; mod b;");
        let a = ("a.rs", "use crate::b::B; pub struct A(B);");
        let b = "// crate::a::A\n/* crate::a::A */ pub struct B; const T: &str = \"crate::a::A\"; const R: &str = r#\"crate::a::A\"#;\n\
                 const Q: char = '\"'; fn f<'a>(_: &'a B) {}\n#[cfg(test)]\nmod tests { use crate::a::A; }";
        assert_eq!(of(&[lib, a, ("b.rs", b)]), Vec::<String>::new());
        assert_eq!(of(&[lib, a, ("b.rs", &format!("{b}\nfn g() {{ crate::a::f(); }}"))]).len(), 1);
    }
}
