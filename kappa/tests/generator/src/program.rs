//! Writes random programs that Rust accepts: nests of control flow around values whose evaluation order, moves and drops can be seen.
//!
//! Each program has some of the themes only (see [`Theme`]), so that what is refused, or known to differ, does not hide the rest. Every loop burns fuel, so
//! every program ends; arithmetic wraps, so none overflows. Names come from a small pool, so shadowing is frequent. What is moved is known, so that nothing
//! is used afterwards.

mod control;
mod expressions;
mod patterns;
mod random;
mod scope;
mod statements;
mod values;

use crate::case::Case;
use random::Random;
use scope::{Loop, Type, Variable};
use std::fmt::Write;

/// What a program may contain, besides numbers and control flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Theme {
    /// Operands that methods of later operands change.
    Order,
    /// Values whose drop is seen.
    Tokens,
    /// Temporaries whose drop is seen: in scrutinees, operands, conditions.
    Temporaries,
    /// Patterns of structs, enums, arrays; guards.
    Patterns,
    /// Guards and arms of or-patterns with suspension points in them.
    Guards,
    /// `break` and `continue` inside operands.
    Jumps,
    Closures,
    /// Fields that are moved out and assigned again; strings.
    Fields,
    /// User's types with attributes of serde.
    Serde,
    /// Ranges held in variables.
    Ranges,
    /// Macros with names inside.
    Macros,
    /// `for` over collections.
    Collections,
    /// References, items and constants between suspension points; `cfg`.
    Items,
    /// Tasks, queues and recursion.
    Calls,
}

const THEMES: [Theme; 14] = [
    Theme::Order,
    Theme::Tokens,
    Theme::Temporaries,
    Theme::Patterns,
    Theme::Guards,
    Theme::Jumps,
    Theme::Closures,
    Theme::Fields,
    Theme::Serde,
    Theme::Ranges,
    Theme::Macros,
    Theme::Collections,
    Theme::Items,
    Theme::Calls,
];

struct Writer {
    random: Random,
    out: String,
    indent: usize,
    scope: Vec<Variable>,
    /// Variables that something borrows right now.
    locked: Vec<String>,
    loops: Vec<Loop>,
    labels: usize,
    /// How many more statements may be written.
    budget: usize,
    themes: Vec<Theme>,
    /// No suspension point may be here.
    quiet: usize,
    /// What `?` and `return` may do: the result is a `Result`.
    fallible: bool,
    /// The name of the function, if it calls itself.
    recursive: Option<String>,
}

/// Themes to leave out.
pub mod without {
    use super::Theme;

    /// None.
    pub const NONE: [Theme; 0] = [];
    /// Themes of which many programs are refused today: most of them about destructors.
    pub const NOT_YET: [Theme; 4] = [Theme::Tokens, Theme::Temporaries, Theme::Ranges, Theme::Collections];
}

/// The program of a seed, with the name `pSEED`.
pub fn program(seed: u64, without: &[Theme]) -> Case {
    let mut random = Random::new(seed);
    let allowed: Vec<Theme> = THEMES.into_iter().filter(|theme| !without.contains(theme)).collect();
    // One theme alone finds what is wrong with it; many find what is wrong together.
    let count = 1 + random.below(4);
    let themes: Vec<Theme> = (0..count).map(|_| allowed[random.below(allowed.len())]).collect();
    let fallible = !random.one_in(3);
    let recursive = themes.contains(&Theme::Calls) && random.one_in(2);
    let name = format!("p{seed}");
    let auto = if random.one_in(12) { "(auto)" } else { "" };
    let token = themes.contains(&Theme::Tokens) && random.one_in(4);
    let mut writer = Writer {
        random,
        out: String::new(),
        indent: 1,
        scope: vec![
            Variable::new("a", Type::Int, false),
            Variable::new("b", Type::Int, false),
        ],
        locked: vec![],
        loops: vec![],
        labels: 0,
        budget: 14,
        themes,
        quiet: 0,
        fallible,
        recursive: recursive.then(|| name.clone()),
    };
    if token {
        writer.scope.push(Variable::new("given", Type::Token, true));
    }
    writer.body();
    let result = if fallible { "Result<Vec<i64>>" } else { "Vec<i64>" };
    let (parameter, argument) = if token {
        (", mut given: Tok", ", Tok(77)")
    } else {
        ("", "")
    };
    let mut tasks =
        format!("#[kappa::task{auto}] async fn {name}(cx: &mut Context, a: i64, b: i64{parameter}) -> {result} {{\n");
    tasks.push_str(&writer.out);
    tasks.push_str("}\n");
    let same = if fallible { "same_result" } else { "same" };
    let mut tests = String::new();
    for (a, b) in [(0, 1), (7, -3), (-12, 6)] {
        let _ = writeln!(tests, "{same}!({name}({a}, {b}{argument}));");
    }
    Case {
        name,
        tasks,
        tests,
        ..Case::default()
    }
}

impl Writer {
    fn has(&self, theme: Theme) -> bool {
        self.themes.contains(&theme)
    }

    fn body(&mut self) {
        self.line("let mut trace: Vec<i64> = vec![];");
        self.line("let mut fuel = 10_i64;");
        if self.recursive.is_some() {
            let stop = if self.fallible {
                "return Ok(vec![b]);"
            } else {
                "return vec![b];"
            };
            self.line(&format!("if a.rem_euclid(16) > 13 {{ {stop} }}"));
        }
        for name in ["v0", "v1"] {
            let value = self.expression(0);
            self.line(&format!("let mut {name} = {value};"));
            self.scope.push(Variable::new(name, Type::Int, true));
        }
        // Something to work on, always there.
        for theme in self.themes.clone() {
            self.furnish(theme);
        }
        self.statements(0);
        while self.budget > 5 {
            self.statements(0);
        }
        self.show_all();
        let value = if self.fallible { "Ok(trace)" } else { "trace" };
        self.line(value);
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{:width$}{text}", "", width = self.indent * 4);
    }

    /// A checkpoint, if one may be here.
    fn point(&mut self) {
        if self.quiet > 0 {
            return;
        }
        let text = match self.random.below(6) {
            0 => "cx.checkpoint_if_due().await;",
            _ => "cx.checkpoint().await;",
        };
        self.line(text);
    }

    /// A block with braces; what it declares goes out of scope, what it moves is gone.
    fn block(&mut self, head: &str, tail: &str, body: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        self.indent += 1;
        let outside = self.enter();
        body(self);
        self.leave_scope(outside);
        self.indent -= 1;
        self.line(&format!("}}{tail}"));
    }

    /// The end of the function, with what it has found so far.
    fn give_up(&mut self) {
        let value = if self.fallible {
            "return Ok(trace);"
        } else {
            "return trace;"
        };
        self.line(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_program_each_time_and_another_seed_another_one() {
        assert_eq!(program(7, &[]), program(7, &[]));
        assert_ne!(program(7, &[]).tasks, program(8, &[]).tasks);
    }

    #[test]
    fn every_theme_is_there_and_most_programs_have_suspension_points() {
        let programs: Vec<Case> = (0..300).map(|seed| program(seed, &[])).collect();
        let text: String = programs.iter().map(|program| program.tasks.clone()).collect();
        for part in [
            ".bump()",
            "tok(",
            "match ",
            " | ",
            "break 'l",
            "|x",
            ".name",
            "skips(",
            "..=",
            "matches!(",
            "for ",
            "#[cfg(",
            "cx.spawn(",
            "else {",
            "?;",
            "event!(",
            "consume(",
            "let _ =",
            "if let ",
            "while let ",
            "auto",
            "cx.queue",
            "move |",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(programs.iter().filter(|program| program.points() > 2).count() > 280);
    }
}
