//! A program as text: what it declares, its task functions, and what is to be run. [`Case::module`] makes a Rust module of it in which the task
//! functions exist twice, as tasks and as plain `async` functions.

use std::fmt::Write;

/// A program, or a case that somebody has written. In a file, each part follows a line `=== PART`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Case {
    /// Its name, and that of its module.
    pub name: String,
    /// `=== shared`: items that both twins use.
    pub shared: String,
    /// `=== taskuse`: imports that only the tasks need.
    pub imports: String,
    /// `=== tasks`: functions with `#[kappa::task]`.
    pub tasks: String,
    /// `=== tests`: statements with `same!(f(arguments))` or `same_result!(f(arguments))`.
    pub tests: String,
    /// `=== more`: items that the tests use.
    pub more: String,
}

impl Case {
    /// Reads the parts of a file.
    ///
    /// # Errors
    /// A part has an unknown name, or none.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut case = Case {
            name: name.to_string(),
            ..Case::default()
        };
        let mut part = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("=== ") {
                part = Some(match name.trim() {
                    "shared" => &mut case.shared,
                    "taskuse" => &mut case.imports,
                    "tasks" => &mut case.tasks,
                    "tests" => &mut case.tests,
                    "more" => &mut case.more,
                    other => return Err(format!("{}: there is no part `{other}`", case.name)),
                });
            } else if let Some(part) = &mut part {
                part.push_str(line);
                part.push('\n');
            } else if !line.trim().is_empty() {
                return Err(format!("{}: the text begins without a line `=== PART`", case.name));
            }
        }
        Ok(case)
    }

    /// The file of which [`Case::parse`] makes the same case.
    pub fn text(&self) -> String {
        let parts = [
            ("shared", &self.shared),
            ("taskuse", &self.imports),
            ("tasks", &self.tasks),
            ("tests", &self.tests),
            ("more", &self.more),
        ];
        let mut text = String::new();
        for (name, part) in parts.into_iter().filter(|(_, part)| !part.trim().is_empty()) {
            let _ = write!(text, "=== {name}\n{part}");
            if !part.ends_with('\n') {
                text.push('\n');
            }
        }
        text
    }

    /// How many suspension points its tasks have.
    pub fn points(&self) -> usize {
        self.tasks.matches("cx.").count() - self.tasks.matches("cx.shared(").count()
    }

    /// The module with both twins, and `pub fn check()` that compares them.
    pub fn module(&self) -> String {
        format!(
            "use kappa_random_programs::support::*;\nuse kappa_random_programs::{{event, field, same, same_result, twice}};\n{}\n\
             pub mod tasks {{\nuse super::*;\n#[allow(unused_imports)] use kappa_random_programs::support::both::tasks::*;\nuse kappa::Context;\n{}\n{}\n}}\n{}\n{}\n\
             pub fn check() {{\n{}\n}}\n",
            self.public_items(),
            self.imports,
            functions(&self.tasks).tasks,
            self.plain_module(),
            self.more,
            self.tests
        )
    }

    /// The same without the tasks: whether Rust itself takes the program.
    pub fn plain_only(&self) -> String {
        format!(
            "use kappa_random_programs::support::*;\nuse kappa_random_programs::{{event, field, twice}};\n{}\n{}\n",
            self.public_items(),
            self.plain_module()
        )
    }

    fn plain_module(&self) -> String {
        format!(
            "pub mod plain {{\nuse super::*;\n#[allow(unused_imports)] use kappa_random_programs::support::both::plain::*;\n\
             use kappa_random_programs::support::Plain as Context;\n{}\n}}",
            functions(&self.tasks).plain
        )
    }

    /// The shared items; types at the beginning of a line are made public, since they are in the signatures of public functions.
    fn public_items(&self) -> String {
        let mut text = String::new();
        for line in self.shared.lines() {
            let start = match line.strip_prefix("#[derive(") {
                Some(rest) => line.len() - rest.len() + rest.find(")]").map_or(0, |end| end + 2),
                None => 0,
            };
            let (attribute, item) = line.split_at(start);
            let item = item.trim_start();
            let is_type = ["struct ", "enum ", "trait "].iter().any(|word| item.starts_with(word));
            let public = if is_type { " pub " } else { " " };
            let _ = writeln!(text, "{attribute}{public}{item}");
        }
        text
    }
}

struct Twins {
    tasks: String,
    plain: String,
}

/// Splits a text with task functions into the tasks, made public, and plain functions of the same names that give a boxed future.
fn functions(text: &str) -> Twins {
    let mut twins = Twins {
        tasks: String::new(),
        plain: String::new(),
    };
    let mut wrappers = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("#[kappa::task") {
        let Some(header) = Header::parse(&rest[at..]) else {
            let (before, after) = rest.split_at(at + 1);
            twins.tasks.push_str(before);
            twins.plain.push_str(before);
            rest = after;
            continue;
        };
        let before = &rest[..at];
        twins.tasks.push_str(before);
        twins.plain.push_str(before);
        twins.tasks.push_str(&header.task());
        let (function, wrapper) = header.plain();
        twins.plain.push_str(&function);
        wrappers.push_str(&wrapper);
        rest = &rest[at + header.length..];
    }
    twins.tasks.push_str(rest);
    twins.plain.push_str(rest);
    twins.plain.push('\n');
    twins.plain.push_str(&wrappers);
    twins
}

/// `#[kappa::task] async fn NAME(cx: &mut Context, ARGUMENTS) -> RESULT {`
struct Header<'a> {
    length: usize,
    attributes: &'a str,
    visibility: &'a str,
    name: &'a str,
    arguments: Vec<&'a str>,
    result: &'a str,
    /// From `(` to `{`, as it stands.
    signature: &'a str,
}

impl<'a> Header<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let function = text.find("async fn ")?;
        let before = &text[..function];
        let attributes = before.trim_end().trim_end_matches("pub").trim_end();
        if !attributes.ends_with(']') || attributes.contains('{') {
            return None;
        }
        let visibility = before[attributes.len()..].trim();
        let open = function + text[function..].find('(')?;
        let name = text[function + "async fn ".len()..open].trim();
        let close = open + closing(&text[open..])?;
        let body = close + text[close..].find('{')?;
        let mut arguments = split(&text[open + 1..close]);
        if arguments.is_empty() || !arguments.remove(0).starts_with("cx: &mut") {
            return None;
        }
        let result = text[close + 1..body].trim().strip_prefix("->").map_or("()", str::trim);
        Some(Header {
            length: body + 1,
            attributes,
            visibility,
            name,
            arguments,
            result,
            signature: &text[open..=body],
        })
    }

    fn task(&self) -> String {
        let visibility = if self.visibility.is_empty() {
            "pub"
        } else {
            self.visibility
        };
        format!(
            "{} {visibility} async fn {}{}",
            self.attributes, self.name, self.signature
        )
    }

    /// The function itself, and one that boxes its future.
    fn plain(&self) -> (String, String) {
        let bare = self.name.trim_start_matches("r#");
        let typed: Vec<&str> = self
            .arguments
            .iter()
            .map(|argument| argument.trim_start_matches("mut "))
            .collect();
        let names: Vec<&str> = typed
            .iter()
            .map(|argument| argument.split(':').next().unwrap_or(""))
            .collect();
        let wrapper = format!(
            "pub fn {}({}) -> Later<{}> {{ Box::pin(async move {{ {bare}__inner(&mut Plain, {}).await }}) }}\n",
            self.name,
            typed.join(", "),
            self.result,
            names.join(", ")
        );
        (format!("async fn {bare}__inner{}", self.signature), wrapper)
    }
}

/// Where the bracket that the text begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Splits at the commas that are in no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '<' => depth += 1,
            ')' | ']' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "=== shared\nstruct A;\n#[derive(Clone)] enum B { C }\n=== tasks\n\
        #[kappa::task] async fn f(cx: &mut Context, mut a: u32, b: Vec<(u8, u8)>) -> Vec<u32> {\n    cx.checkpoint().await; vec![a]\n}\n\
        === tests\nsame!(f(1, vec![]));\n";

    #[test]
    fn a_case_is_read_and_written() {
        let case = Case::parse("f", TEXT).unwrap();
        assert_eq!(case.text(), TEXT);
        assert!(Case::parse("g", "=== test\n").is_err());
        assert!(Case::parse("g", "fn f() {}\n").is_err());
    }

    #[test]
    fn the_functions_of_a_case_exist_as_tasks_and_as_plain_rust() {
        let module = Case::parse("f", TEXT).unwrap().module();
        for part in [
            "#[kappa::task] pub async fn f(cx: &mut Context, mut a: u32, b: Vec<(u8, u8)>) -> Vec<u32> {",
            "async fn f__inner(cx: &mut Context, mut a: u32, b: Vec<(u8, u8)>) -> Vec<u32> {",
            "pub fn f(a: u32, b: Vec<(u8, u8)>) -> Later<Vec<u32>> { Box::pin(async move { f__inner(&mut Plain, a, b).await }) }",
            " pub struct A;",
            "#[derive(Clone)] pub enum B { C }",
        ] {
            assert!(module.contains(part), "{part} in {module}");
        }
        assert_eq!(module.matches("cx.checkpoint().await; vec![a]").count(), 2);
    }
}
