//! Reads the import paths of one Rust source file.

use std::collections::BTreeSet;

/// What one source file imports and defines.
#[derive(Debug, Default)]
pub struct Source {
    /// Paths in `use` declarations, and paths elsewhere that begin with `crate`, `self` or `super`; without test code.
    pub paths: Vec<ImportPath>,
    /// Names of items at the top level of the file.
    pub items: BTreeSet<String>,
    /// Names of macros that `#[macro_export]` puts at the root of the crate.
    pub exported_macros: BTreeSet<String>,
    /// Child modules in files of their own that are compiled for tests alone.
    pub test_modules: BTreeSet<String>,
}

/// One imported path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportPath {
    pub line: usize,
    pub segments: Vec<String>,
    /// The name that a `use` at the top level of the file binds; `*` for a glob.
    pub binds: Option<String>,
    /// How many inline modules stand around the path.
    pub inline_depth: usize,
}

#[derive(Clone, Debug)]
struct Token {
    line: usize,
    text: String,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Reads one file.
pub fn scan(text: &str) -> Source {
    let tokens = tokenize(text);
    let mut source = Source::default();
    let mut modules_at = vec![];
    let (mut depth, mut i) = (0_usize, 0);
    let word = |i: usize| tokens.get(i).map_or("", |token: &Token| token.text.as_str());
    while i < tokens.len() {
        match word(i) {
            "#" if is_sequence(&tokens, i, &["#", "[", "cfg", "(", "test", ")", "]"]) => {
                i = skip_item(&tokens, i + 7, &mut source.test_modules);
                continue;
            }
            "#" if is_sequence(&tokens, i, &["#", "[", "macro_export", "]", "macro_rules", "!"]) => {
                source.exported_macros.insert(word(i + 6).to_owned());
            }
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if modules_at.last() == Some(&depth) {
                    modules_at.pop();
                }
            }
            "mod" if word(i + 2) == "{" => modules_at.push(depth),
            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" if depth == 0 => {
                let skipped = usize::from(word(i + 1) == "mut");
                source.items.insert(word(i + 1 + skipped).to_owned());
            }
            "macro_rules" => drop(source.items.insert(word(i + 2).to_owned())),
            "use" if word(i + 1) != "<" => {
                let mut paths = vec![];
                i = use_tree(&tokens, i + 1, &mut vec![], &mut paths);
                for mut path in paths {
                    path.binds = path.binds.filter(|_| depth == 0);
                    path.inline_depth = modules_at.len();
                    source.paths.push(path);
                }
                continue;
            }
            "crate" | "self" | "super" if word(i + 1) == "::" && !matches!(word(i.wrapping_sub(1)), "::" | "$") => {
                let line = tokens[i].line;
                let mut segments = vec![word(i).to_owned()];
                while word(i + 1) == "::" && tokens.get(i + 2).is_some_and(Token::is_word) {
                    segments.push(word(i + 2).to_owned());
                    i += 2;
                }
                source.paths.push(ImportPath { line, segments, binds: None, inline_depth: modules_at.len() });
            }
            _ => {}
        }
        i += 1;
    }
    source
}

fn is_sequence(tokens: &[Token], start: usize, texts: &[&str]) -> bool {
    texts.iter().enumerate().all(|(i, text)| tokens.get(start + i).is_some_and(|token| token.text == *text))
}

/// The index after the item that starts at `i`. Notes a module in a file of its own.
fn skip_item(tokens: &[Token], mut i: usize, modules: &mut BTreeSet<String>) -> usize {
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text.as_str());
    let (mut depth, mut is_use) = (0_usize, false);
    while i < tokens.len() {
        match text(i) {
            "use" if depth == 0 => is_use = true,
            "mod" if depth == 0 && text(i + 2) == ";" => drop(modules.insert(text(i + 1).to_owned())),
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && text(i) == "}" && !is_use {
                    return i + 1;
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
        i += 1;
    }
    i
}

/// Expands the tree of a `use` declaration; returns the index after it.
fn use_tree(tokens: &[Token], mut i: usize, prefix: &mut Vec<String>, paths: &mut Vec<ImportPath>) -> usize {
    let length = prefix.len();
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text.as_str());
    while i < tokens.len() {
        let line = tokens[i].line;
        let mut leaf = |prefix: &[String], name: &str| {
            // `use a::b::{self}` binds `b`.
            let mut segments = prefix.to_vec();
            if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
                segments.pop();
            }
            let last = segments.last().cloned().unwrap_or_default();
            let binds = Some(if name.is_empty() { last } else { name.to_owned() });
            paths.push(ImportPath { line, segments, binds, inline_depth: 0 });
        };
        match text(i) {
            "::" => {}
            "{" => loop {
                i = use_tree(tokens, i + 1, prefix, paths);
                match text(i) {
                    "," => {}
                    "}" => break,
                    _ => return i,
                }
            },
            "*" => leaf(prefix, "*"),
            "as" => {
                i += 1;
                leaf(prefix, text(i));
                prefix.truncate(length);
                return i + 1;
            }
            "," | "}" | ";" => {
                if prefix.len() > length && !matches!(text(i - 1), "}" | "*") {
                    leaf(prefix, "");
                }
                prefix.truncate(length);
                return i;
            }
            name => prefix.push(name.to_owned()),
        }
        i += 1;
    }
    i
}

/// Splits a file into words, `::` and single characters, without comments, literals, lifetimes and white space.
fn tokenize(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut tokens = vec![];
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let start = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => i = block_comment_end(&chars, i),
            '"' => i = string_end(&chars, i, 0, false),
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            '\'' => {
                i += 1;
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
            }
            ':' if at(i + 1) == ':' => {
                tokens.push(Token { line, text: "::".into() });
                i += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                let word: String = chars[start..i].iter().collect();
                let hashes = (i..).take_while(|&j| at(j) == '#').count();
                let is_raw = matches!(word.as_str(), "r" | "br" | "cr");
                match at(i + hashes) {
                    '"' if is_raw => i = string_end(&chars, i + hashes, hashes, true),
                    '"' if hashes == 0 && matches!(word.as_str(), "b" | "c") => i = string_end(&chars, i, 0, false),
                    _ if word == "r" && hashes == 1 => i += 1,
                    _ => tokens.push(Token { line, text: word }),
                }
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(Token { line, text: c.into() });
                }
                i += 1;
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn block_comment_end(chars: &[char], mut i: usize) -> usize {
    let mut depth = 0;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

/// The index after the string whose opening quote stands at `i`.
fn string_end(chars: &[char], mut i: usize, hashes: usize, is_raw: bool) -> usize {
    i += 1;
    while i < chars.len() {
        match chars[i] {
            '\\' if !is_raw => i += 1,
            '"' if chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes => {
                return i + 1 + hashes;
            }
            _ => {}
        }
        i += 1;
    }
    i
}
