//! Statements of control flow.

use super::scope::{Kind, Loop, Type};
use super::{Theme, Writer};

impl Writer {
    pub(super) fn loop_block(&mut self, head: &str, tail: &str, kind: Kind, pattern: &[(&str, Type)], depth: usize) {
        let label = self.labels;
        self.labels += 1;
        self.line(&format!("'l{label}: {head} {{"));
        self.indent += 1;
        let outside = self.enter();
        self.loops.push(Loop { label, kind });
        for (name, ty) in pattern {
            self.see(name, *ty, false);
        }
        if kind != Kind::Block {
            let give_up = if self.fallible {
                "return Ok(trace);"
            } else {
                "return trace;"
            };
            self.line("fuel -= 1;");
            self.line(&format!("if fuel < 0 {{ trace.push(-99); {give_up} }}"));
        }
        self.statements(depth + 1);
        match kind {
            Kind::Valued if self.random.one_in(2) => {
                let value = self.expression(1);
                self.line(&format!("break ({value});"));
            }
            Kind::Block => {
                let value = self.expression(1);
                self.line(&value);
            }
            _ => {}
        }
        self.loops.pop();
        self.leave_scope(outside);
        self.indent -= 1;
        self.line(&format!("}}{tail}"));
    }

    pub(super) fn control(&mut self, depth: usize) {
        match self.random.below(13) {
            0 | 1 => {
                let condition = self.condition(1);
                self.block(&format!("if {condition}"), "", |this| this.statements(depth + 1));
                if self.random.one_in(2) {
                    self.block("else", "", |this| this.statements(depth + 1));
                }
            }
            2 => {
                let value = self.expression(1);
                let name = self.fresh();
                let more = match self.random.below(3) {
                    0 => format!(" && {}", self.condition(0)),
                    1 => format!(" && let Some(y) = even({name}) && y > {}", self.expression(0)),
                    _ => String::new(),
                };
                self.block(&format!("if let Some({name}) = even({value}){more}"), "", |this| {
                    this.see(&name, Type::Int, false);
                    this.statements(depth + 1);
                });
                self.block("else", "", |this| this.statements(depth + 1));
            }
            3 => {
                let outside = self.enter();
                let condition = self.in_loop_head(|this| this.condition(1));
                self.leave_scope(outside);
                self.loop_block(&format!("while {condition}"), "", Kind::Plain, &[], depth);
            }
            4 => {
                let name = self.fresh();
                let end = self.random.below(4);
                let head = match self.random.below(5) {
                    0 => format!("for {name} in 0..{end}_i64"),
                    1 => format!("for {name} in (1..={end}_i64).rev()"),
                    2 => format!("for {name} in (0..9_i64).step_by(4)"),
                    3 => format!("for {name} in vec![{}, {}]", self.expression(1), self.expression(1)),
                    _ => format!("for {name} in even({})", self.expression(1)),
                };
                self.loop_block(&head, "", Kind::Plain, &[(&name, Type::Int)], depth);
            }
            5 => {
                let name = self.fresh();
                let mutable = if self.random.one_in(2) { "mut " } else { "" };
                self.line(&format!("let {mutable}{name}: i64 ="));
                self.loop_block("loop", ";", Kind::Valued, &[], depth);
                self.see(&name, Type::Int, !mutable.is_empty());
            }
            6 => {
                let name = self.fresh();
                self.line(&format!("let {name}: i64 ="));
                self.loop_block("", ";", Kind::Block, &[], depth);
                self.see(&name, Type::Int, false);
            }
            7 => self.choice(depth),
            8 => self.block("", "", |this| this.statements(depth + 1)),
            9 => {
                self.labels += 1;
                let name = format!("d{}", self.labels);
                let condition = self.condition(1);
                self.line(&format!("let {name};"));
                for head in [format!("if {condition}"), "else".to_string()] {
                    self.block(&head, "", |this| {
                        if this.random.one_in(3) {
                            this.point();
                        }
                        let value = this.expression(1);
                        this.line(&format!("{name} = {value};"));
                    });
                }
                self.see(&name, Type::Int, false);
            }
            10 => {
                let name = self.fresh();
                self.loop_block(
                    &format!("while let Some({name}) = trace.pop()"),
                    "",
                    Kind::Plain,
                    &[(&name, Type::Int)],
                    depth,
                );
            }
            11 => {
                let value = self.expression(1);
                let name = self.fresh();
                self.block(&format!("let Some({name}) = even({value}) else"), ";", |this| {
                    if this.random.one_in(2) {
                        this.point();
                    }
                    this.away();
                });
                self.see(&name, Type::Int, false);
            }
            _ => {
                let condition = self.condition(1);
                self.block(&format!("if {condition}"), "", |this| {
                    if this.random.one_in(3) {
                        this.point();
                    }
                    this.away();
                });
            }
        }
    }

    /// The condition of a loop is evaluated many times: nothing is moved in it.
    pub(super) fn in_loop_head(&mut self, write: impl FnOnce(&mut Self) -> String) -> String {
        self.loops.push(Loop {
            label: usize::MAX,
            kind: Kind::Plain,
        });
        let text = write(self);
        self.loops.pop();
        text
    }

    /// `break`, `continue` or `return`.
    fn away(&mut self) {
        match self.jump_out() {
            Some(jump) if !self.random.one_in(6) => self.line(&format!("{jump};")),
            _ if self.fallible && self.random.one_in(3) => self.line("return Err(Error::msg(\"away\"));"),
            _ => self.give_up(),
        }
    }

    fn choice(&mut self, depth: usize) {
        let value = self.expression(1);
        let points = self.has(Theme::Guards);
        self.block(&format!("match ({value}).rem_euclid(5)"), "", |this| {
            this.block("0 =>", "", |this| this.statements(depth + 1));
            let guard = this.guard(points, "2 > 1");
            this.block(&format!("1 | 2 if {guard} =>"), "", |this| this.statements(depth + 1));
            let name = this.fresh();
            let guard = this.guard(points, &format!("{name} > 1"));
            this.block(&format!("{name} @ 2..=3 if {guard} =>"), "", |this| {
                this.see(&name, Type::Int, false);
                this.statements(depth + 1);
            });
            let name = this.fresh();
            this.block(&format!("{name} =>"), "", |this| {
                this.see(&name, Type::Int, false);
                this.statements(depth + 1);
            });
        });
    }

    /// A guard: it moves nothing, and is evaluated on some paths only.
    pub(super) fn guard(&mut self, points: bool, own: &str) -> String {
        let outside = self.enter();
        let quiet = self.quiet;
        if !points {
            self.quiet += 1;
        }
        let condition = self.in_loop_head(|this| this.condition(1));
        self.quiet = quiet;
        self.leave_scope(outside);
        if self.random.one_in(2) {
            condition
        } else {
            format!("{own} && {condition}")
        }
    }
}
