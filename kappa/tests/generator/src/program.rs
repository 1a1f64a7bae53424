//! Writes random programs of nested control flow: as text for `twins! { .. }`.
//!
//! Every loop burns fuel, so every program ends; arithmetic wraps, so none overflows. Names come from a small pool, so shadowing is frequent.

use std::fmt::Write;

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Copy)]
struct Loop {
    label: usize,
    /// A `loop`, so that `break` has a value; or a labelled block.
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Valued,
    Block,
}

struct Writer {
    random: Random,
    out: String,
    indent: usize,
    /// Visible variables: name, and whether it can be assigned.
    scope: Vec<(String, bool)>,
    loops: Vec<Loop>,
    labels: usize,
    /// How many more statements may be written.
    budget: usize,
}

/// The text of one program, `async fn NAME(cx, a: i64, b: i64) -> Result<Vec<i64>> { .. }`.
pub(crate) fn program(name: &str, seed: u64) -> String {
    let mut writer = Writer {
        random: Random(seed),
        out: String::new(),
        indent: 2,
        scope: vec![("a".into(), false), ("b".into(), false)],
        loops: vec![],
        labels: 0,
        budget: 34,
    };
    writer.line("let mut trace: Vec<i64> = vec![];");
    writer.line("let mut fuel = 40_i64;");
    writer.line("let mut v0 = a;");
    writer.line("let mut v1 = b ^ 5;");
    // Places inside a variable, always visible and assignable.
    writer.line("let mut pair = (a, b);");
    writer.line("let mut list = [1, a, b, 4];");
    writer.scope.extend([("v0".into(), true), ("v1".into(), true)]);
    writer.statements(0);
    writer.show();
    writer.line("Ok(trace)");
    format!(
        "    async fn {name}(cx, a: i64, b: i64) -> Result<Vec<i64>> {{\n{}    }}\n",
        writer.out
    )
}

impl Writer {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{:width$}{text}", "", width = self.indent * 4);
    }

    /// A block with braces; what it declares goes out of scope.
    fn block(&mut self, head: &str, tail: &str, body: impl FnOnce(&mut Self)) {
        self.line(&format!("{head} {{"));
        let scope = self.scope.clone();
        self.indent += 1;
        body(self);
        self.indent -= 1;
        self.scope = scope;
        self.line(&format!("}}{tail}"));
    }

    fn loop_block(&mut self, head: &str, tail: &str, kind: Kind, declares: Option<&str>, depth: usize) {
        let label = self.labels;
        self.labels += 1;
        self.loops.push(Loop { label, kind });
        self.block(&format!("'l{label}: {head}"), tail, |this| {
            this.scope.extend(declares.map(|name| (name.to_string(), false)));
            if kind != Kind::Block {
                this.line("fuel -= 1;");
                this.line("if fuel < 0 { trace.push(-99); return Ok(trace); }");
            }
            this.statements(depth + 1);
            match kind {
                Kind::Valued if this.random.one_in(2) => {
                    let value = this.expr(1);
                    this.line(&format!("break {value};"));
                }
                Kind::Block => {
                    let value = this.expr(1);
                    this.line(&value);
                }
                _ => {}
            }
        });
        self.loops.pop();
    }

    fn statements(&mut self, depth: usize) {
        for _ in 0..=self.random.below(4) {
            if self.budget == 0 {
                return;
            }
            self.budget -= 1;
            self.statement(depth);
            if self.random.one_in(4) {
                self.show();
            }
        }
    }

    /// Every visible variable counts: a value that was lost or mixed up shows.
    fn show(&mut self) {
        let names: std::collections::BTreeSet<String> = self.scope.iter().map(|(name, _)| name.clone()).collect();
        for name in names {
            self.line(&format!("trace.push({name});"));
        }
        self.line("trace.extend([pair.0, pair.1]);");
        self.line("trace.extend(list);");
    }

    fn fresh(&mut self) -> String {
        format!("v{}", self.random.below(4))
    }

    fn variable(&mut self) -> String {
        let at = self.random.below(self.scope.len());
        self.scope[at].0.clone()
    }

    fn assignable(&mut self) -> Option<String> {
        // The innermost of each name is the one that is meant.
        let mut seen = std::collections::BTreeMap::new();
        for (name, mutable) in &self.scope {
            seen.insert(name.clone(), *mutable);
        }
        let names: Vec<String> = seen
            .into_iter()
            .filter(|(_, mutable)| *mutable)
            .map(|(name, _)| name)
            .collect();
        if names.is_empty() {
            None
        } else {
            Some(names[self.random.below(names.len())].clone())
        }
    }

    fn declare(&mut self, value: &str) {
        let name = self.fresh();
        let mutable = !self.random.one_in(3);
        self.line(&format!("let {}{name} = {value};", if mutable { "mut " } else { "" }));
        self.scope.push((name, mutable));
    }

    fn statement(&mut self, depth: usize) {
        let nested = depth < 3;
        match self.random.below(if nested { 24 } else { 12 }) {
            0 | 1 => {
                let value = self.expr(2);
                self.declare(&value);
            }
            2 => self.line("cx.checkpoint().await;"),
            3 => {
                let value = self.expr(2);
                self.line(&format!("let seen = {value};"));
                self.line("trace.push(seen);");
            }
            4 | 5 => {
                let value = self.expr(2);
                match self.assignable() {
                    Some(name) => {
                        let op = ["=", "^=", "|=", "&="][self.random.below(4)];
                        self.line(&format!("{name} {op} {value};"));
                    }
                    None => self.declare(&value),
                }
            }
            6 => self.jump(),
            7 => {
                let value = self.expr(1);
                self.line(&format!("let seen = cx.call(fallible({value})).await?;"));
                self.line("trace.push(seen);");
            }
            8 => {
                let value = self.expr(1);
                let name = self.fresh();
                self.line(&format!("let Some({name}) = even({value}) else {{"));
                self.indent += 1;
                if self.random.one_in(2) {
                    self.line("cx.checkpoint().await;");
                }
                self.leave();
                self.indent -= 1;
                self.line("};");
                self.scope.push((name, false));
            }
            9 => self.line("cx.checkpoint_if_due().await;"),
            10 | 11 => {
                let (place, value) = (self.place(2), self.expr(2));
                let op = ["=", "^=", "|=", "&="][self.random.below(4)];
                self.line(&format!("{place} {op} {value};"));
            }
            12 | 13 => {
                let condition = self.condition(2);
                self.block(&format!("if {condition}"), "", |this| this.statements(depth + 1));
                if self.random.one_in(2) {
                    self.block("else", "", |this| this.statements(depth + 1));
                }
            }
            14 => {
                let value = self.expr(1);
                let name = self.fresh();
                let extra = if self.random.one_in(2) {
                    format!(" && {}", self.condition(1))
                } else {
                    String::new()
                };
                self.block(&format!("if let Some({name}) = even({value}){extra}"), "", |this| {
                    this.scope.push((name, false));
                    this.statements(depth + 1);
                });
                self.block("else", "", |this| this.statements(depth + 1));
            }
            15 => {
                let condition = self.condition(2);
                self.loop_block(&format!("while {condition}"), "", Kind::Plain, None, depth);
            }
            16 => {
                let name = self.fresh();
                let end = self.random.below(4);
                let head = match self.random.below(4) {
                    0 => format!("for {name} in 0..{end}_i64"),
                    1 => format!("for {name} in (1..={end}_i64).rev()"),
                    2 => {
                        let (x, y) = (self.expr(1), self.expr(1));
                        format!("for {name} in vec![{x}, {y}]")
                    }
                    _ => {
                        let x = self.expr(1);
                        format!("for {name} in even({x})")
                    }
                };
                self.loop_block(&head, "", Kind::Plain, Some(&name), depth);
            }
            17 => {
                let name = self.fresh();
                let mutable = self.random.one_in(2);
                self.line(&format!("let {}{name}: i64 =", if mutable { "mut " } else { "" }));
                self.loop_block("loop", ";", Kind::Valued, None, depth);
                self.scope.push((name, mutable));
            }
            18 => {
                let name = self.fresh();
                self.line(&format!("let {name}: i64 ="));
                self.loop_block("", ";", Kind::Block, None, depth);
                self.scope.push((name, false));
            }
            19 | 20 => self.choice(depth),
            21 => self.block("", "", |this| this.statements(depth + 1)),
            22 => {
                // A name that is not visible: the values must not mean the new variable.
                self.labels += 1;
                let name = format!("d{}", self.labels);
                let condition = self.condition(2);
                let (x, y) = (self.expr(2), self.expr(2));
                self.line(&format!("let {name};"));
                self.line(&format!("if {condition} {{ {name} = {x}; }} else {{ {name} = {y}; }}"));
                self.scope.push((name, false));
            }
            _ => {
                let name = self.fresh();
                self.loop_block(
                    &format!("while let Some({name}) = trace.pop()"),
                    "",
                    Kind::Plain,
                    Some(&name),
                    depth,
                );
            }
        }
    }

    fn choice(&mut self, depth: usize) {
        let value = self.expr(2);
        let guard = self.condition(1);
        self.block(&format!("match ({value}).rem_euclid(5)"), "", |this| {
            this.block("0 =>", "", |this| this.statements(depth + 1));
            this.block(&format!("1 | 2 if {guard} =>"), "", |this| this.statements(depth + 1));
            let name = this.fresh();
            this.block(&format!("{name} @ 2..=3 =>"), "", |this| {
                this.scope.push((name, false));
                this.statements(depth + 1);
            });
            let name = this.fresh();
            this.block(&format!("{name} =>"), "", |this| {
                this.scope.push((name, false));
                this.statements(depth + 1);
            });
        });
    }

    /// `break`, `continue` or `return`, under a condition.
    fn jump(&mut self) {
        let condition = self.condition(1);
        self.line(&format!("if {condition} {{"));
        self.indent += 1;
        self.leave();
        self.indent -= 1;
        self.line("}");
    }

    fn leave(&mut self) {
        if self.loops.is_empty() || self.random.one_in(8) {
            self.line("return Ok(trace);");
            return;
        }
        let target = self.loops[self.random.below(self.loops.len())];
        let label = target.label;
        match target.kind {
            Kind::Plain if self.random.one_in(2) => self.line(&format!("break 'l{label};")),
            Kind::Block => {
                let value = self.expr(1);
                self.line(&format!("break 'l{label} {value};"));
            }
            Kind::Valued if self.random.one_in(2) => {
                let value = self.expr(1);
                self.line(&format!("break 'l{label} {value};"));
            }
            _ => self.line(&format!("continue 'l{label};")),
        }
    }

    /// A part of a variable; what is computed inside may suspend and have side effects.
    fn place(&mut self, depth: usize) -> String {
        match self.random.below(4) {
            0 => "pair.0".into(),
            1 => "pair.1".into(),
            2 => format!("list[{}]", self.random.below(4)),
            _ => format!("list[at({})]", self.expr(depth.saturating_sub(1))),
        }
    }

    /// Reads a place on the left while the right side suspends and changes it.
    fn overtaken(&mut self, depth: usize) -> String {
        let place = match self.assignable() {
            Some(name) if self.random.one_in(2) => name,
            _ => ["pair.0", "pair.1", "list[2]", "list[at(a)]"][self.random.below(4)].to_string(),
        };
        let (new, value) = (self.expr(depth - 1), self.expr(depth - 1));
        let right = format!("{{ {place} = cx.call(echo({new})).await; {value} }}");
        match self.random.below(4) {
            0 => format!("({place}).wrapping_sub({right})"),
            1 => format!("three({place}, {right}, {place})"),
            2 => format!("i64::from({place} < {right})"),
            _ => format!("(({place}) ^ ({right}))"),
        }
    }

    fn expr(&mut self, depth: usize) -> String {
        if depth == 0 {
            return if self.random.one_in(3) {
                format!("{}_i64", self.random.below(7))
            } else {
                self.variable()
            };
        }
        match self.random.below(15) {
            12 => self.place(depth),
            13 | 14 => self.overtaken(depth),
            0 | 1 => self.expr(0),
            2 => format!("({}).wrapping_add({})", self.expr(depth - 1), self.expr(depth - 1)),
            3 => format!("({}).wrapping_mul({})", self.expr(depth - 1), self.expr(depth - 1)),
            4 => format!("(({}) ^ ({}))", self.expr(depth - 1), self.expr(depth - 1)),
            5 | 6 => format!("cx.call(echo({})).await", self.expr(depth - 1)),
            7 => format!(
                "(if {} {{ {} }} else {{ {} }})",
                self.condition(depth - 1),
                self.expr(depth - 1),
                self.expr(depth - 1)
            ),
            8 => format!("({{ trace.push({}); {} }})", self.expr(0), self.expr(depth - 1)),
            9 => match self.assignable() {
                Some(name) => format!("({{ {name} = {}; {name} }})", self.expr(depth - 1)),
                None => self.expr(depth - 1),
            },
            10 => format!(
                "three({}, {}, {})",
                self.expr(depth - 1),
                self.expr(depth - 1),
                self.expr(0)
            ),
            _ => format!("i64::from({})", self.condition(depth - 1)),
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth == 0 {
            return format!("{} % 2 == 0", self.expr(0));
        }
        match self.random.below(6) {
            0 => format!("({} && {})", self.condition(depth - 1), self.condition(depth - 1)),
            1 => format!("({} || {})", self.condition(depth - 1), self.condition(depth - 1)),
            2 => format!("!({})", self.condition(depth - 1)),
            3 => format!("cx.call(echo({})).await > {}", self.expr(depth - 1), self.expr(0)),
            _ => format!("({}) < ({})", self.expr(depth - 1), self.expr(depth - 1)),
        }
    }
}
